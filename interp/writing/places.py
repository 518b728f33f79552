"""Where an edit acts: a restriction along named axes, the positions it selects, the mask over a tensor.

An axis is restricted to one position (`pos=-1`), to several (`neuron=[1, 3]`), to a range (`pos=slice(2, 5)`)
or by a mask as long as the axis (`neuron=mask`). Positions count from 0, or from the end when negative; along
`seed` they are the seeds themselves. What differs from example to example (the last token of the subject, say)
is a labelled array: `pos=` a pandas Series (a column of `examples`) or a DataArray along `example`, one position
each, or a DataArray of truth values along `example` and the axis. All are read in the order of the examples; a
Series' index is compared with that of `examples` where a sweep is given data that has it, elsewhere (a bare tensor,
`edited`) nothing tells whose rows they are. An axis the tensor does not have, a position
beyond its end, one named twice, a mask of another length, another number of examples and an empty choice are
refused: each would act elsewhere than meant, or nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from interp.refusals import Refused, unknown, unknown_axis


@dataclass(frozen=True)
class Mask:
    """One truth value per position of an axis."""

    entries: tuple[bool, ...]

    def __repr__(self) -> str:
        return f"mask of {sum(self.entries)} of {len(self.entries)}"


@dataclass(frozen=True)
class PerExample:
    """For each example one position, or one truth value per position."""

    entries: tuple[int, ...] | tuple[tuple[bool, ...], ...]
    index: pd.Index[Any] | None = field(default=None, compare=False)
    """The labels of the examples, where the choice came with some."""

    def __repr__(self) -> str:
        return f"per example, {len(self.entries)} of them"


Choice = int | slice | tuple[int, ...] | Mask | PerExample
Window = Mapping[str, slice]


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
                raise unknown_axis(hook, axis, axes)
        if "example" not in axes and any(isinstance(choice, PerExample) for _, choice in self.choices):
            raise Refused(
                f"Hook {hook!r} has no `example` axis, so no position can differ from one to another."
            )

    def check_examples(self, hook: str, examples: pd.DataFrame) -> None:
        """Raises `Refused` for positions that are labelled as those of other examples, or in another order."""
        for axis, choice in self.choices:
            index = choice.index if isinstance(choice, PerExample) else None
            if index is not None and not index.equals(examples.index):
                raise Refused(
                    f"{axis}= at {hook!r} is a Series whose index ({_some(index)}) is not that of the examples "
                    f"({_some(examples.index)}): give a column of these examples or, by their order, a "
                    "DataArray along `example`."
                )

    def positions(
        self, axes: Sequence[str], shape: Sequence[int], seeds: Sequence[int]
    ) -> dict[str, list[int]]:
        """The positions selected along each axis of a tensor that is restricted alike for all examples."""
        lengths = dict(zip(axes, shape, strict=True))
        return {
            axis: _positions(axis, choice, lengths[axis], seeds)
            for axis, choice in self.choices
            if not isinstance(choice, PerExample)
        }

    def by_example(self, axes: Sequence[str], shape: Sequence[int]) -> dict[str, Tensor]:
        """`[example, position]`, bool: what is selected along each axis restricted example by example."""
        lengths = dict(zip(axes, shape, strict=True))
        return {
            axis: _table(axis, choice, examples=lengths["example"], length=lengths[axis])
            for axis, choice in self.choices
            if isinstance(choice, PerExample)
        }


def mask_of(
    positions: Mapping[str, Sequence[int]],
    sizes: Mapping[str, int],
    by_example: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """True where every restricted axis is at its positions, to be broadcast over a tensor of these axes and sizes."""
    axes = tuple(sizes)
    mask = torch.ones([1] * len(axes), dtype=torch.bool)
    for axis, chosen in positions.items():
        along = torch.zeros(sizes[axis], dtype=torch.bool)
        along[list(chosen)] = True
        mask = mask & laid(along, (axis,), axes)
    for axis, table in (by_example or {}).items():
        mask = mask & laid(table, ("example", axis), axes)
    return mask


def laid(mask: Tensor, dims: Sequence[str], axes: Sequence[str]) -> Tensor:
    """A mask along some axes, shaped to meet a tensor of all of them."""
    order = sorted(range(len(dims)), key=lambda i: axes.index(dims[i]))
    mask = mask.permute(order)
    lengths = {dims[i]: n for i, n in zip(order, mask.shape, strict=True)}
    return mask.reshape([lengths.get(axis, 1) for axis in axes])


def _table(axis: str, choice: PerExample, *, examples: int, length: int) -> Tensor:
    """`[example, position]`, bool, of a choice made example by example."""
    entries = choice.entries
    if len(entries) != examples:
        raise Refused(f"{axis}={choice!r}: one for each example is needed, and there are {examples}.")
    if isinstance(entries[0], int):
        places = torch.tensor([_place(axis, n, length) for n in entries if isinstance(n, int)])
        return torch.nn.functional.one_hot(places, length).bool()
    table = torch.tensor(entries)
    if table.shape[1] != length:
        raise Refused(f"{axis}={choice!r}: {table.shape[1]} truth values each; the axis has {length}.")
    return table


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
    if isinstance(value, pd.Series) or (isinstance(value, xr.DataArray) and "example" in value.dims):
        return _choice_by_example(axis, value)
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


def _choice_by_example(axis: str, value: pd.Series[Any] | xr.DataArray) -> Choice:
    """What a labelled array says of each example."""
    if axis in ("example", "seed"):
        raise Refused(f"{axis}= cannot differ from example to example: give positions along it.")
    dims = ("example",) if isinstance(value, pd.Series) else value.dims
    if isinstance(value, xr.DataArray) and len(dims) == 2 and set(dims) == {"example", axis}:
        table = np.asarray(value.transpose("example", axis).values)
        if table.dtype == bool and table.any() and table.size:
            return PerExample(tuple(map(tuple, table.tolist())))
    array = np.asarray(value.values)
    if dims != ("example",) or array.dtype.kind not in "iu" or not array.size:
        raise Refused(
            f"{axis}= for each example is one whole number each along `example`, or truth values along "
            f"[example, {axis}] of which one is true; given {array.dtype} along [{', '.join(map(str, dims))}]."
        )
    index = value.index if isinstance(value, pd.Series) else None
    counted = isinstance(index, pd.RangeIndex) and (index.start, index.step) == (0, 1)  # as of a list
    return PerExample(tuple(int(n) for n in array), None if counted else index)


def _some(index: pd.Index[Any]) -> str:
    return ", ".join(map(str, index[:4])) + (", …" if len(index) > 4 else "")


def _positions(
    axis: str, choice: int | slice | tuple[int, ...] | Mask, length: int, seeds: Sequence[int]
) -> list[int]:
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
        return repr(choice)
    return (
        str(list(choice))
        if len(choice) <= 8
        else f"[{len(choice)} entries, {str(list(choice[:4]))[1:-1]}, …]"
    )
