"""Path patching: what a sender tells a receiver directly, or through chosen parts, and what that does to the metric.

First the sender is as in the source's run and every attention (at `hook_z`) and MLP (at `hook_mlp_out`) behind it is
frozen at what it was untouched, but for the receivers and those in `through`: so only the paths left open carry the
difference, and what then reaches the receivers is recorded. Then the receivers alone are given that, in a run where
all else goes on as it will, and the metric is taken. A sender inside a part (a neuron, a value, what a part's own
normalisation gives it) leaves that part free: what the part then writes is how the sender speaks. It misleads where the
effect comes through a part that is neither frozen nor meant, such as the scale of a LayerNorm, which is left free.
(Wang et al. 2022, https://arxiv.org/abs/2211.00593; Goldowsky-Dill et al. 2023, https://arxiv.org/abs/2304.05969.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from interp.locating.effects import Effects
from interp.locating.patching import Data, measure
from interp.reading.activations import Activations
from interp.reading.capture import capture
from interp.reading.feeding import feed_of
from interp.reading.points import hook_point, hook_points, matching
from interp.refusals import Refused
from interp.writing.edits import Edit, edited, freeze, patch
from interp.writing.places import Where
from interp.writing.sweep import Metric, sweep

Place = tuple[str, Mapping[str, Any]]
"""A hook and a restriction there: `("blocks.1.attn.hook_q", {"head": 2})`."""
PARTS = ("attn.hook_z", "hook_mlp_out")
INSIDE = {
    "ln1": "attn.hook_z",
    "attn": "attn.hook_z",
    "ln_cross": "cross_attn.hook_z",
    "cross_attn": "cross_attn.hook_z",
    "ln2": "hook_mlp_out",
    "mlp": "hook_mlp_out",
}
"""Where a layer keeps what only one of its parts goes on from, and that part."""


@dataclass(frozen=True)
class Paths:
    """From each sender, in turn, to the receivers, directly or `through` hooks that match these patterns."""

    senders: Sequence[Place]
    receivers: Sequence[Place]
    through: str | Sequence[str] = ()

    def check(self, model: nn.Module) -> None:
        """Raises `Refused` for none of either, unknown hooks, no parts, and a sender that no receiver lies behind."""
        if not self.senders or not self.receivers:
            raise Refused("Path patching needs at least one sender and one receiver.")
        for hook, where in (*self.senders, *self.receivers):
            hook_point(model, hook)
            Where.of(where)
        order = list(hook_points(model))
        if not any(name.endswith(PARTS) for name in order):
            raise Refused(
                f"Path patching freezes attentions and MLPs, at hooks named {' and '.join(PARTS)}. This "
                f"{type(model).__name__} has none, so no path through it would be kept apart from the others: for the "
                "effect by all of them, use activation_patching."
            )
        for sender, _ in self.senders:
            if not self.behind(sender, order):
                names = [name for name, _ in self.receivers]
                raise Refused(f"No receiver lies behind the sender {sender!r}: {names}.")

    def behind(self, sender: str, order: Sequence[str]) -> list[Place]:
        """The receivers behind a sender."""
        return [one for one in self.receivers if order.index(one[0]) > order.index(sender)]

    def frozen(self, order: Sequence[str]) -> list[str]:
        """The attentions and MLPs that may carry nothing on, wherever they are; but see `own_part`."""
        free = {hook for hook, _ in self.receivers} | set(
            matching(self.through, order) if self.through else ()
        )
        return [name for name in order if name.endswith(PARTS) and name not in free]


def path_patching(
    model: nn.Module, inputs: Data, source: Data, metric: Metric, paths: Paths, *, at: int | None = None
) -> Effects:
    """The metric when each sender, in turn, reaches the receivers as in the run of `source`; one edit a sender.

    The edits carry `sender` and `layer`. `metric` and `at` as in `sweep`. Raises `Refused` for a sender that no
    receiver lies behind, and for a network without attentions or MLPs by these names.
    """
    paths.check(model)
    order = list(hook_points(model))
    parts, places = paths.frozen(order), {name: place for place, name in enumerate(order)}
    untouched = capture(model, inputs, parts or order[:1])
    sent = capture(model, source, list(dict.fromkeys(hook for hook, _ in paths.senders)))
    entries = []
    for hook, where in paths.senders:
        silent = [part for part in parts if places[part] > places[hook] and part != own_part(hook)]
        edits = [patch(hook, sent, **where), *(freeze(part, untouched) for part in silent)]
        entries.append(_received(model, inputs, edits, paths.behind(hook, order)))
    under = sweep(model, inputs, entries, metric, at=at).assign_coords(sender=("edit", _names(paths.senders)))
    return Effects(under, measure(model, inputs, metric, at=at), measure(model, source, metric, at=at))


def own_part(sender: str) -> str | None:
    """The attention or MLP that a sender stands inside of: the only way by which it can be heard."""
    block, _, inner = sender.rpartition(".")
    layer, _, room = block.rpartition(".")
    return f"{layer}.{INSIDE[room]}" if inner and room in INSIDE else None


def _names(places: Sequence[Place]) -> list[str]:
    return [hook + "".join(f" {axis}={value}" for axis, value in where.items()) for hook, where in places]


def _received(
    model: nn.Module, inputs: Data, edits: Sequence[Edit], receivers: Sequence[Place]
) -> list[Edit]:
    """The receivers as they are under these edits."""
    names = list(dict.fromkeys(hook for hook, _ in receivers))
    examples = feed_of(model, inputs, batch_size=None).total
    with edited(model, _up_to(model, edits, names)):
        reached: Activations = capture(model, inputs, names, batch_size=examples)
    return [patch(hook, reached, **where) for hook, where in receivers]


def _up_to(model: nn.Module, edits: Sequence[Edit], names: Sequence[str]) -> list[Edit]:
    """The edits before the last receiver: those behind it change nothing there, and a capture stops before them."""
    order = list(hook_points(model))
    last = max(order.index(name) for name in names)
    return [edit for edit in edits if order.index(edit.hook) < last]
