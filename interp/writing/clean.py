"""The untouched pass of a sweep: what enters each layer, what passes the hooks in question, what is remembered.

A network with `forward(inputs, start_at_layer=, stop_at_layer=)` is run layer by layer once, so that every edited run
may start at the layer where it first acts. A hook whose tensor *is* what enters a layer (the very same object) can be
edited there without running the layer before it. A causal network that also takes `first_pos=` and `past=` says in
`past_points` which activations of earlier positions it needs (keys and values); those are kept too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from interp.reading.points import axes_of, hook_points, layer_of, seeds_of
from interp.refusals import Refused

BEFORE = -1
"""The start of a run that must begin with the inputs themselves."""


@dataclass(frozen=True)
class Abilities:
    """What a network's `forward` can leave out."""

    layers: bool
    positions: bool
    logits: bool
    columns: bool

    @classmethod
    def of(cls, model: nn.Module) -> Abilities:
        """Read off the signature of `forward`, and `past_points`."""
        known = _taken(getattr(model.forward, "__func__", model.forward))
        layers = {"start_at_layer", "stop_at_layer"} <= known
        positions = {"first_pos", "past"} <= known and getattr(model, "past_points", None) is not None
        return cls(layers, layers and positions, layers and "at" in known, layers and "changed" in known)


@lru_cache(maxsize=64)
def _taken(forward: Callable[..., Any]) -> frozenset[str]:
    """The names of what a function takes; read once for each, as every sweep asks."""
    return frozenset(inspect.signature(forward).parameters)


@dataclass(frozen=True)
class Passed:
    """What passed a hook in the untouched pass."""

    axes: tuple[str, ...]
    tensor: Tensor


@dataclass(frozen=True)
class Share:
    """The inputs of a part of the examples: which, of how many, along which axis."""

    inputs: Tensor
    axis: int
    examples: slice
    total: int

    @property
    def whole(self) -> bool:
        """Whether these are all the examples."""
        return self.examples == slice(0, self.total)


@dataclass(frozen=True)
class CleanPass:
    """`entering[l]` enters layer l (`BEFORE`: the inputs); `passed` and `past` by hook; the hooks' `order`."""

    entering: Mapping[int, Tensor]
    passed: Mapping[str, Passed]
    past: Mapping[str, Tensor]
    order: Mapping[str, int]
    output: Tensor | None
    seeds: tuple[int, ...] | None
    share: Share

    @property
    def last(self) -> int:
        """The layer after the last."""
        return max(self.entering)

    @property
    def lead(self) -> int:
        """How many axes stand before the example axis of an output."""
        return 0 if self.seeds is None else 1

    def example_axis(self, layer: int) -> int:
        """Where the examples are in what enters a layer: inputs may be shared by all seeds."""
        return self.share.axis if self.entering[layer] is self.entering[BEFORE] else self.lead

    def lengths(self, hook: str) -> dict[str, int]:
        """The length of each axis at a hook, for all the examples of the sweep."""
        passed = self.passed[hook]
        found = dict(zip(passed.axes, passed.tensor.shape, strict=True))
        return found | ({"example": self.share.total} if "example" in found else {})

    def entered_by(self, hook: str) -> int | None:
        """The layer that this hook's tensor enters as it is; None for a hook inside one."""
        tensor = self.passed[hook].tensor
        return next((layer for layer, x in self.entering.items() if x is tensor and layer != BEFORE), None)

    def start_of(self, hook: str) -> int:
        """The last layer at which a run can start and still have this hook's edit in it."""
        entered, own = self.entered_by(hook), layer_of(hook)
        if entered is not None:
            return entered
        if own is not None:
            return own
        layered = [place for name, place in self.order.items() if (layer_of(name) or BEFORE) >= 0]
        return self.last if self.order[hook] > max(layered, default=BEFORE) else BEFORE


def clean_pass(
    model: nn.Module, share: Share, hooks: Iterable[str], *, abilities: Abilities, at: int | None
) -> CleanPass:
    """Runs the network layer by layer, untouched, to its output where runs take a part of that (`at`: one position).

    What later positions need of earlier ones is kept where the network can start from it.
    """
    points, seeds = hook_points(model), seeds_of(model)
    to_the_end = abilities.columns or (abilities.positions and at is None)
    past_points: Sequence[str] = getattr(model, "past_points", ()) if abilities.positions else ()
    kept: dict[str, Tensor] = {}
    names = dict.fromkeys([*hooks, *past_points])
    handles = [points[name].register_forward_hook(_keeper(kept, name)) for name in names]
    try:
        entering = _layer_by_layer(model, share.inputs, points)
        output = None
        if to_the_end or len(kept) < len(names):
            output = model(entering[max(entering)], start_at_layer=max(entering))
    finally:
        for handle in handles:
            handle.remove()
    if silent := [name for name in names if name not in kept]:
        raise Refused(f"The edit at {silent[0]!r} would not fire: the network ran without passing that hook.")
    passed = {
        name: Passed(axes_of(name, points[name], ndim=kept[name].ndim, seeds=seeds), kept[name])
        for name in names
    }
    order = {name: place for place, name in enumerate(points)}
    return CleanPass(
        entering, passed, {name: kept[name] for name in past_points}, order, output, seeds, share
    )


def _layer_by_layer(model: nn.Module, inputs: Tensor, points: Iterable[str]) -> dict[int, Tensor]:
    """What enters each layer, from the inputs to what leaves the last."""
    count = 1 + max((layer for name in points if (layer := layer_of(name)) is not None), default=BEFORE)
    x = model(inputs, stop_at_layer=0)
    entering = {BEFORE: inputs, 0: x}
    for layer in range(1, count + 1):
        x = model(x, start_at_layer=layer - 1, stop_at_layer=layer)
        entering[layer] = x
    return entering


def _keeper(kept: dict[str, Tensor], name: str) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise Refused(f"What passes hook {name!r} is a {type(output).__name__}, not a tensor.")
        if name in kept:
            raise Refused(f"Hook {name!r} fired twice in one pass, so what passes it is not one activation.")
        kept[name] = output

    return keep
