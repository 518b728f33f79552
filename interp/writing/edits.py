"""Writing: small frozen edits of what passes a hook point, in force inside a `with`.

    with edited(model, [zero("blocks.1.hook_mlp_out"), steer("blocks.0.hook_resid_post", direction, 3.0)]):
        logits = model(tokens)

An `Edit` is a hook, what happens to the tensor there (changes.py), and a restriction along named axes
(places.py): `zero(hook, neuron=[1, 3])`, `patch(hook, clean, pos=-1)`, `steer(hook, direction, seed=7)`.
Values may be labelled arrays, aligned by name, or tensors whose shape says in one way only what they are
(aligning.py). Outside the restriction the tensor keeps its bits. Several edits act in the order given; those of
one hook compose. Blocks nest, the inner one acts after the outer; a user's own hooks stay as they are.

A call that changes nothing is the field's commonest silent error, so an edit that did not fire by the end of
the block raises, as does one that gives another shape, dtype or device, or NaN in its value, or writes into
the tensor it was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.reading.points import axes_of, declared_axes, hook_point, seeds_of
from interp.refusals import Refused
from interp.writing.changes import Add, Freeze, Mean, Noise, ProjectOut, Replace, Resample, Scale, Zero
from interp.writing.drawing import begin_pass
from interp.writing.places import Where
from interp.writing.sites import Site
from interp.writing.values import value_of

Change = Callable[[Tensor, Site], Tensor]


@dataclass(frozen=True)
class Edit:
    """One edit: at a hook, a change, where it counts. Immutable; compared by content."""

    hook: str
    change: Change
    where: Where = field(default_factory=Where)

    def __post_init__(self) -> None:
        if not isinstance(self.hook, str):
            raise Refused(f"A hook is named by its name, a string; given {self.hook!r}.")

    def __repr__(self) -> str:
        where = f", {self.where!r}" if self.where.choices else ""
        return f"Edit({self.hook!r}, {self.change!r}{where})"

    def apply(self, tensor: Tensor, site: Site) -> Tensor:
        """The tensor with the change made where it counts. Raises `Refused` when the change breaks a rule."""
        return _where_it_counts(self.changed(tensor, site), tensor, site)

    def write(self, tensor: Tensor, site: Site) -> None:
        """As `apply`, but into the tensor itself, which must be the caller's own."""
        changed, place = self.changed(tensor, site), site.place(tensor)
        if place is None:
            tensor.copy_(_where_it_counts(changed, tensor, site))
        else:
            tensor[place] = changed[place]

    def changed(self, tensor: Tensor, site: Site) -> Tensor:
        """What the change makes of the whole tensor, wherever it counts. Raises `Refused` when it breaks a rule."""
        version = None if tensor.is_inference() else tensor._version
        changed = self.change(tensor, site)
        _check_kept(self, tensor, changed)
        if version is not None and tensor._version != version:
            raise Refused(f"The edit {self!r} wrote into the tensor it was given: return a new one.")
        return changed

    def site(self, axes: tuple[str, ...], shape: Sequence[int], seeds: tuple[int, ...] | None) -> Site:
        """Where this edit acts in a tensor of these axes and lengths."""
        self.where.check_axes(self.hook, axes)
        positions, by_example = (
            self.where.positions(axes, shape, seeds or ()),
            self.where.by_example(axes, shape),
        )
        return Site(self.hook, axes, seeds, positions, by_example)


def zero(hook: str, /, **where: Any) -> Edit:
    """Sets the activation to zero (zero ablation)."""
    return Edit(hook, Zero(), Where.of(where))


def mean(hook: str, reference: Any, /, **where: Any) -> Edit:
    """Replaces by the mean over the examples of reference activations (mean ablation).

    `reference`: activations with an example axis (of any length), that mean itself, or `Activations` holding
    the hook.
    """
    return Edit(hook, Mean(value_of(reference, hook)), Where.of(where))


def resample(hook: str, source: Any = None, /, *, draw: int | torch.Generator = 0, **where: Any) -> Edit:
    """Replaces each example's activation by another example's, drawn at random (resampling ablation).

    `source`: activations with an example axis, drawn from with replacement; none: the batch itself, no
    example its own donor. `draw`: the seed of the draws, begun anew by each `edited` block (the word `seed`
    is an axis here), or a CPU generator that goes on. An example has one donor throughout a pass.
    """
    return Edit(
        hook, Resample(None if source is None else value_of(source, hook), _draw(draw)), Where.of(where)
    )


def patch(hook: str, value: Any, /, **where: Any) -> Edit:
    """Replaces by a value, for instance the activation of another run (activation patching).

    `value`: a number, a tensor, a labelled array, or `Activations` holding the hook; it has the full length
    of a restricted axis (then it is read at the same places), one entry per selected position, or not that
    axis.
    """
    return Edit(hook, Replace(value_of(value, hook)), Where.of(where))


def freeze(hook: str, reference: Any, /, **where: Any) -> Edit:
    """Holds the activation at what it was in another run of the same examples, whatever changes before it.

    `reference`: those activations, example for example (path patching: Goldowsky-Dill et al. 2023,
    https://arxiv.org/abs/2304.05969). Unlike `patch` it refuses one value for all examples.
    """
    return Edit(hook, Freeze(value_of(reference, hook)), Where.of(where))


def scale(hook: str, factor: float, /, *, about: Any = None, **where: Any) -> Edit:
    """Multiplies the distance from `about` (zero unless given; activations: their mean) by a factor."""
    centre = None if about is None else value_of(about, hook)
    return Edit(hook, Scale(_finite(factor, "factor", hook), centre), Where.of(where))


def add_noise(hook: str, std: Any, /, *, draw: int | torch.Generator = 0, **where: Any) -> Edit:
    """Adds normal noise of standard deviation `std` (a number, or one for each place), drawn from `draw`.

    Drawn anew for each example and place, alike for every seed of a population, and the same in each `edited` block
    unless `draw` is a CPU generator, which goes on (Meng et al. 2022 corrupt a subject so). A second pass in a block
    draws other noise; however often the hook is called in one pass (recurrent layers: once a position), it is the same.
    """
    spread = value_of(std, hook)
    if bool((spread.tensor < 0).any()):
        raise Refused(f"The standard deviation of the noise at {hook!r} is below 0.")
    return Edit(hook, Noise(spread, _draw(draw)), Where.of(where))


def steer(hook: str, direction: Any, strength: float = 1.0, /, **where: Any) -> Edit:
    """Adds `strength` times a direction, which is taken as it is, not normalised (activation addition).

    `direction`: `[feature]` along the hook's last axis, one for each seed, or any labelled array.
    """
    return Edit(hook, Add(value_of(direction, hook), _finite(strength, "strength", hook)), Where.of(where))


def project_out(hook: str, directions: Any, /, *, about: Any = None, **where: Any) -> Edit:
    """Removes the component along directions: x - (x - about) V'V, V an orthonormal basis of their span.

    `directions`: `[feature]`, `[rank, feature]` shared or `[seed, rank, feature]`, along the hook's last
    axis; or a labelled array along any one axis. `about`: a centre that keeps its component (a mean, or
    activations to take the mean of over their examples); zero unless given.
    """
    centre = None if about is None else value_of(about, hook)
    return Edit(hook, ProjectOut(value_of(directions, hook), centre), Where.of(where))


@contextmanager
def edited(model: nn.Module, edits: Edit | Sequence[Edit]) -> Iterator[None]:
    """The network with these edits in force, for the length of the block; gone after it, exceptions included.

    Raises `Refused` on entry for an unknown or read-only hook or an axis it does not have; in the forward
    pass for what the tensor contradicts; on leaving for an edit that never fired (unless the block itself
    raised).
    """
    asked = edits_of(edits)
    running = [_InForce(edit, model) for edit in asked]
    handles: list[Any] = [model.register_forward_pre_hook(_BeginPass(running))]
    try:
        handles.extend(one.point.register_forward_hook(one) for one in running)
        yield
    finally:
        for handle in handles:
            handle.remove()
    _check_fired(running)


def edits_of(given: Edit | Sequence[Edit]) -> tuple[Edit, ...]:
    """One edit or several, as several. Raises `Refused` for anything else."""
    asked = (given,) if isinstance(given, Edit) else tuple(given)
    for one in asked:
        if not isinstance(one, Edit):
            raise Refused(
                f"{one!r} is no edit: make one with zero, patch, steer, … (a hook's name alone is none)."
            )
    return asked


def checked_point(edit: Edit, model: nn.Module) -> nn.Module:
    """The hook point of an edit. Raises `Refused` for an unknown or read-only one, or an axis that it does not have."""
    point = hook_point(model, edit.hook)
    if getattr(point, "read_only", False):
        raise Refused(f"Hook {edit.hook!r} is read-only: what passes there is not used afterwards.")
    axes = declared_axes(point)
    if axes is not None:
        edit.where.check_axes(edit.hook, axes if seeds_of(model) is None else ("seed", *axes))
    return point


def _finite(number: Any, what: str, hook: str) -> float:
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float | np.number)
        or not math.isfinite(number)
    ):
        raise Refused(f"The {what} at {hook!r} is a finite number; given {number!r}.")
    return float(number)


def _draw(draw: Any) -> int | torch.Generator:
    if isinstance(draw, bool) or not isinstance(draw, int | np.integer | torch.Generator):
        raise Refused(f"draw is a seed (a whole number) or a torch.Generator; given {draw!r}.")
    return draw if isinstance(draw, torch.Generator) else int(draw)


class _InForce:
    """One edit in one block: the forward hook, whether it fired, and what it remembers."""

    def __init__(self, edit: Edit, model: nn.Module) -> None:
        self.edit, self.point, self.seeds = edit, checked_point(edit, model), seeds_of(model)
        self.fired = False
        self.memory: dict[object, Any] = {}

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Tensor:
        edit = self.edit
        if not isinstance(output, Tensor):
            raise Refused(f"What passes hook {edit.hook!r} is a {type(output).__name__}, not a tensor.")
        axes = axes_of(edit.hook, self.point, ndim=output.ndim, seeds=self.seeds)
        site = replace(edit.site(axes, output.shape, self.seeds), memory=self.memory)
        changed = edit.apply(output, site)
        self.fired = True
        return changed


class _BeginPass:
    """Before each pass of the network: what is drawn in it is drawn anew."""

    def __init__(self, running: Sequence[_InForce]) -> None:
        self.running = running

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        for one in self.running:
            begin_pass(one.memory)


def _where_it_counts(changed: Tensor, tensor: Tensor, site: Site) -> Tensor:
    """What was changed where the edit counts, the tensor elsewhere."""
    mask = site.mask(tensor)
    return changed.contiguous() if mask is None else torch.where(mask, changed, tensor)


def _check_kept(edit: Edit, before: Tensor, after: Any) -> None:
    """Refuses a change that gives anything but a tensor of the same shape, dtype and device."""
    if not isinstance(after, Tensor):
        raise Refused(f"The edit {edit!r} gave a {type(after).__name__}, not a tensor.")
    if (after.shape, after.dtype, after.device) == (before.shape, before.dtype, before.device):
        return
    for what in ("shape", "dtype", "device"):
        was, now = getattr(before, what), getattr(after, what)
        if was != now:
            raise Refused(f"The edit {edit!r} changed the {what} from {was} to {now}; it must keep it.")


def _check_fired(running: Sequence[_InForce]) -> None:
    silent = [one.edit.hook for one in running if not one.fired]
    if silent and len(silent) == len(running):
        raise Refused(
            f"No edit fired ({', '.join(silent)}): run the network inside the block, past these hooks."
        )
    if silent:
        raise Refused(
            f"The edit at {silent[0]!r} did not fire, though the network ran: it did not pass that hook."
        )
