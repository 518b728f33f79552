"""Where an edit acts: a restriction along named axes, the positions it selects, the mask over a tensor.

An axis is restricted to one position (`pos=-1`), to several (`neuron=[1, 3]`), to a range (`pos=slice(2, 5)`)
or by a mask as long as the axis (`neuron=mask`). Positions count from 0, or from the end when negative; along
`seed` they are the seeds themselves. An axis the tensor does not have, a position beyond its end, one named
twice, a mask of another length and an empty choice are refused: each would act elsewhere than meant, or
nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp.refusals import Refused, unknown


@dataclass(frozen=True)
class Mask:
    """One truth value per position of an axis."""

    entries: tuple[bool, ...]

    def __repr__(self) -> str:
        return f"mask of {sum(self.entries)} of {len(self.entries)}"


Choice = int | slice | tuple[int, ...] | Mask


@dataclass(frozen=True)
class Where:
    """A restriction along named axes; none at all means everywhere."""

    choices: tuple[tuple[str, Choice], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Where:
        """The restriction from keyword arguments: integers, slices, lists, arrays and masks."""
        return cls(tuple((axis, _choice(axis, value)) for axis, value in given.items()))

    def __repr__(self) -> str:
        return ", ".join(f"{axis}={_shown(choice)}" for axis, choice in self.choices)

    def __hash__(self) -> int:
        return hash(repr(self))

    def check_axes(self, hook: str, axes: Sequence[str]) -> None:
        """Raises `Refused` naming the nearest axis when one of these is not among `axes`."""
        for axis, _ in self.choices:
            if axis not in axes:
                raise unknown(f"axis of {hook!r}", axis, axes)

    def positions(
        self, axes: Sequence[str], shape: Sequence[int], seeds: Sequence[int]
    ) -> dict[str, list[int]]:
        """The positions selected along each restricted axis of a tensor."""
        lengths = dict(zip(axes, shape, strict=True))
        return {axis: _positions(axis, choice, lengths[axis], seeds) for axis, choice in self.choices}


def mask_of(positions: Mapping[str, Sequence[int]], axes: Sequence[str], like: Tensor) -> Tensor:
    """A boolean tensor that broadcasts over `like`, true where every restricted axis is at its positions."""
    mask = torch.ones([1] * like.ndim, dtype=torch.bool, device=like.device)
    for axis, chosen in positions.items():
        place = axes.index(axis)
        along = torch.zeros(like.shape[place], dtype=torch.bool, device=like.device)
        along[list(chosen)] = True
        mask = mask & along.view([-1 if i == place else 1 for i in range(like.ndim)])
    return mask


def _choice(axis: str, value: Any) -> Choice:
    """One axis's restriction in a form that can be compared and hashed."""
    if isinstance(value, bool) or value is None:
        raise Refused(
            f"{axis}={value!r} selects nothing: give a position, a list of positions, a slice or a mask."
        )
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, slice):
        return value
    array = np.asarray(value.cpu() if isinstance(value, Tensor) else value)
    if array.ndim == 0 and array.dtype.kind in "iu":
        return int(array)
    if (
        array.ndim != 1
        or array.dtype.kind not in "iub"
        or not (array.any() if array.dtype == bool else array.size)
    ):
        raise Refused(
            f"{axis}={value!r} is no choice along an axis: give a position, a list of positions, a slice or "
            "a mask, with at least one position."
        )
    entries = tuple(array.tolist())
    return Mask(entries) if array.dtype == bool else entries


def _positions(axis: str, choice: Choice, length: int, seeds: Sequence[int]) -> list[int]:
    """The positions a choice selects along an axis of this length, in the order given."""
    if isinstance(choice, slice):
        found = list(range(length)[choice])
        if not found or axis == "seed":
            raise Refused(f"{axis}={_shown(choice)} selects nothing of {length}; seeds are named one by one.")
        return found
    if isinstance(choice, Mask):
        if len(choice.entries) != length:
            raise Refused(f"{axis}={choice}: a mask has one entry per position, and the axis has {length}.")
        return [place for place, chosen in enumerate(choice.entries) if chosen]
    named = [choice] if isinstance(choice, int) else list(choice)
    found = [_seed_place(n, seeds) if axis == "seed" else _place(axis, n, length) for n in named]
    if len(set(found)) < len(found):
        raise Refused(f"{axis}={_shown(choice)} names a position twice.")
    return found


def _place(axis: str, position: int, length: int) -> int:
    if not -length <= position < length:
        raise Refused(f"{axis}={position} is beyond the axis: it has {length} positions, 0 to {length - 1}.")
    return position % length


def _seed_place(seed: int, seeds: Sequence[int]) -> int:
    if seed not in seeds:
        raise unknown("seed", str(seed), map(str, seeds))
    return list(seeds).index(seed)


def _shown(choice: Choice) -> str:
    if isinstance(choice, slice):
        parts = [choice.start, choice.stop] + ([] if choice.step is None else [choice.step])
        return f"slice({', '.join(map(str, parts))})"
    if not isinstance(choice, tuple):
        return str(choice)
    return (
        str(list(choice))
        if len(choice) <= 8
        else f"[{len(choice)} entries, {str(list(choice[:4]))[1:-1]}, …]"
    )
