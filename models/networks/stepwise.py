"""Hooks on what goes on in time: one firing shows a whole trajectory, and an edit of it is felt by all later steps.

A hook on a recurrent layer is given `[*seed, example, pos, unit]`, all positions at once. Where nobody edits, each hook
is called once, on the trajectory as it was. Where one does, the steps are taken again from the first position that it
changed: at each position the hook is given the trajectory so far (later positions as they were without edits), and
its answer at this position is what the next step goes on from. So an edit must treat each position by itself, and is
called once a position more. A hook that declares `reads_only = True` (as `interp`'s recorders do) must not change
anything and is called once, at the end, on what came of it; one that does not, at a point where nobody edits, is called
on what came of it as well.

When it misleads: a user's own edit that draws random numbers draws anew at each position (the library's do not).

Gradients: a trajectory that was read has the gradient of all that hangs on it, the way through later steps included
(`Passing`), if nobody edits the layer; where somebody does, take gradients of what a hook adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.networks.hooked import AxisHookPoint
from models.refusals import Refused

Points = Mapping[str, AxisHookPoint]


def edits_among(points: Points, plain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the hooks that do not declare `reads_only` make of the plain trajectories, for points where they edit."""
    edits = {}
    for name, trajectory in plain.items():
        returned = call_hooks(points[name], trajectory, readers=False)
        if returned is not trajectory:
            edits[name] = returned
    return edits


def first_change(edits: Mapping[str, Tensor], plain: Mapping[str, Tensor]) -> int | None:
    """The first position that an edit changes, None if none does; 0 where gradients are kept."""
    places = []
    for name, edited in edits.items():
        if edited.shape != plain[name].shape:
            raise Refused(f"A hook at {name!r} turned {tuple(plain[name].shape)} into {tuple(edited.shape)}.")
        if torch.is_grad_enabled():
            return 0  # also an edit that leaves the values as they were may cut or add a gradient
        changed = (edited != plain[name]).movedim(-2, 0).flatten(1).any(dim=1)
        places += changed.nonzero()[:1].flatten().tolist()
    return min(places, default=None)


class Replay:
    """The steps taken again with edits: `see` of a cell's step. Trajectories are `before` and `after` the hooks."""

    def __init__(self, points: Points, plain: Mapping[str, Tensor], edited: set[str], start: int) -> None:
        self.points, self.edited, self.start = points, edited, start
        self.plain = {name: list(trajectory.unbind(-2)) for name, trajectory in plain.items()}
        self._before: dict[str, list[Tensor]] = {name: [] for name in plain}
        self._after: dict[str, list[Tensor]] = {name: [] for name in plain}

    def __call__(self, name: str, row: Tensor) -> Tensor:
        """One value of one step: what stands there before and after the hooks."""
        if name not in self.plain:
            return row
        before, plain = self._before[name], self.plain[name]
        place = len(before)
        if place < self.start:
            before.append(plain[place])
            self._after[name].append(plain[place])
            return row
        before.append(row)
        if name in self.edited:
            trajectory = torch.stack([*before, *plain[place + 1 :]], dim=-2)
            row = call_hooks(self.points[name], trajectory, readers=False).select(-2, place)
        self._after[name].append(row)
        return row

    def show(self) -> None:
        """Shows what came of it: to every hook of a point where nobody edits, else to the readers.

        A reader that stands before the first hook that may edit is shown what that one was given; an editing hook is
        not asked again, it might draw other random numbers than those that the network went on with.
        """
        for name, point in self.points.items():
            if name not in self.edited:
                call_hooks(point, self.after(name))
                continue
            shown = torch.stack(self._before[name], dim=-2)
            for forward_hook in point._forward_hooks.values():
                if getattr(forward_hook, "reads_only", False):
                    forward_hook(point, (shown,), shown)
                else:
                    shown = self.after(name)

    def after(self, name: str) -> Tensor:
        """What the network went on with at each position."""
        return torch.stack(self._after[name], dim=-2)


def call_hooks(point: AxisHookPoint, trajectory: Tensor, *, readers: bool | None = None) -> Tensor:
    """What a point's forward hooks make of a trajectory: all of them, only the readers, or all but these."""
    kept = trajectory.clone() if trajectory.is_inference() else None
    version = None if kept is not None else trajectory._version
    out = trajectory
    for key, forward_hook in point._forward_hooks.items():
        if readers is None or getattr(forward_hook, "reads_only", False) is readers:
            takes_kwargs = key in point._forward_hooks_with_kwargs
            out = _called(forward_hook, point, trajectory, out, takes_kwargs)
    written = version is not None and trajectory._version != version
    if written or (kept is not None and not torch.equal(kept, trajectory)):
        raise Refused(
            "A hook wrote into a recurrent layer's trajectory: return a new tensor, later steps hang on it."
        )
    return out


def _called(
    forward_hook: Callable[..., Any], point: AxisHookPoint, given: Tensor, out: Tensor, takes_kwargs: bool
) -> Tensor:
    result = forward_hook(point, (given,), {}, out) if takes_kwargs else forward_hook(point, (given,), out)
    return out if result is None else result


def refuse_other_hooks(points: Points) -> None:
    """Refuses hooks that would see only part of the way through time."""
    for name, point in points.items():
        if point._backward_hooks or point._backward_pre_hooks or point._forward_pre_hooks:
            raise Refused(
                f"At hook_{name} of a recurrent layer only forward hooks are called. For a gradient there, keep the "
                "tensor that a forward hook is given, and ask torch.autograd.grad for it."
            )
