"""Activations: what a network computed, by hook name, with named axes and one table of examples.

A mapping hook name -> `xarray.DataArray`; one xarray Dataset could not hold it, since layers of different
widths share an axis name. An array is built when it is first asked for and shares memory with the tensor
(bfloat16, which numpy lacks, is copied to float32). `seed` carries the seeds, and every column of `examples`
lies along `example` as a coordinate, so that `acts[hook].groupby("digit").mean("example")` works. Arrays are
read-only; the tensors behind them are handed out by `tensor` without a copy, so writing into one changes the
record.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Shaped
from torch import Tensor

from interp.refusals import Refused, unknown


class Recorded(Protocol):
    """Activations kept elsewhere than in memory: their shape, and how to get at them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def tensor(self) -> Tensor:
        """All of it, read into memory."""
        ...

    def lazy(self) -> Any:
        """Something xarray takes as data and reads only where it is indexed."""
        ...


class NoSuchHook(Refused, KeyError):
    """A hook that was not captured; a KeyError too, so that `in` and `get` work as in any mapping."""

    def __str__(self) -> str:
        return str(self.args[0])


class Activations(Mapping[str, xr.DataArray]):
    """An immutable mapping from hook name to activations with named axes; see the module's docstring.

    `mask`: False where the data was padded. Raises `Refused` when an array's axes or lengths contradict `examples` or
    `seeds`.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor | Recorded],
        *,
        axes: Mapping[str, tuple[str, ...]],
        examples: pd.DataFrame,
        seeds: Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> None:
        self._values = dict(values)
        self._axes = {name: tuple(axes[name]) for name in values}
        self._examples = examples.copy(deep=False)
        self._seeds = None if seeds is None else tuple(seeds)
        self._mask = mask
        self._built: dict[str, xr.DataArray] = {}
        self._columns: dict[str, tuple[str, np.ndarray[Any, Any]]] | None = None
        for name, value in self._values.items():
            self._check(name, tuple(value.shape))
        if mask is not None and (mask.dtype != torch.bool or mask.shape[-2] != len(self._examples)):
            raise Refused(
                f"A mask is truth values [*seed, example, pos]; given {mask.dtype} {list(mask.shape)} for "
                f"{len(self._examples)} examples."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The hooks captured, in network order."""
        return tuple(self._values)

    @property
    def examples(self) -> pd.DataFrame:
        """What is known of each example, a row each, in the order of the `example` axis (a shallow copy)."""
        return self._examples.copy(deep=False)

    @property
    def seeds(self) -> tuple[int, ...] | None:
        """The seeds along the `seed` axis; None for one network."""
        return self._seeds

    @property
    def mask(self) -> Tensor | None:
        """`[*seed, example, pos]`, False where a sequence was padded; None where none was, or nothing told of it."""
        return self._mask

    @property
    def nbytes(self) -> int:
        """Bytes of all the activations, in memory or on disk."""
        return sum(_bytes(value) for value in self._values.values())

    def axes(self, name: str) -> tuple[str, ...]:
        """The axis names of one hook's activations."""
        self._find(name)
        return self._axes[name]

    def tensor(self, name: str) -> Shaped[Tensor, "*axes"]:
        """One hook's activations as the tensor itself: no copy when in memory, read whole when on disk."""
        value = self._find(name)
        return value if isinstance(value, Tensor) else value.tensor()

    def __getitem__(self, name: str) -> xr.DataArray:
        value = self._find(name)
        if name not in self._built:
            data = _read_only(value) if isinstance(value, Tensor) else value.lazy()
            dims = self._axes[name]
            self._built[name] = xr.DataArray(
                xr.Variable(dims, data), coords=self._coordinates(dims), name=name
            )
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        rows = [
            f"  {name} [{', '.join(axes)}] {shape} {dtype}, {size}"
            for name, axes, shape, dtype, size in self._rows()
        ]
        return "\n".join([f"Activations of {self._summary()}", *rows])

    def _repr_html_(self) -> str:
        cells = (
            (name, ", ".join(axes), shape, dtype, size) for name, axes, shape, dtype, size in self._rows()
        )
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in cells)
        head = "".join(
            f'<th scope="col">{title}</th>' for title in ("hook", "axes", "shape", "dtype", "size")
        )
        caption = html.escape(f"Activations of {self._summary()}")
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _find(self, name: str) -> Tensor | Recorded:
        try:
            return self._values[name]
        except KeyError:
            raise NoSuchHook(str(unknown("captured hook", str(name), self._values))) from None

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuses axes that do not fit the tensor, the table of examples or the seeds."""
        axes = self._axes[name]
        lengths = {"example": len(self._examples), "seed": len(self._seeds or ())}
        wrong = [a for a, n in zip(axes, shape, strict=False) if n != lengths.get(a, n)]
        if len(axes) != len(shape) or len(set(axes)) != len(axes) or wrong:
            raise Refused(
                f"Activations at {name!r} have shape {shape} and axes [{', '.join(axes)}], "
                f"but there are {lengths['example']} examples and {lengths['seed']} seeds."
            )
        if clash := [str(c) for c in self._examples.columns if c in axes]:
            raise Refused(
                f"The column {clash[0]!r} of `examples` has the name of an axis of {name!r}: rename it."
            )

    def _coordinates(self, dims: tuple[str, ...]) -> dict[str, Any]:
        if self._columns is None:
            self._columns = {
                str(name): ("example", column.to_numpy()) for name, column in self._examples.items()
            }
        along_examples = self._columns if "example" in dims else {}
        return {**along_examples, **({"seed": list(self._seeds)} if self._seeds and "seed" in dims else {})}

    def _summary(self) -> str:
        seeds = "" if self._seeds is None else f", {len(self._seeds)} seeds"
        return f"{len(self._examples):,} examples{seeds} ({self.nbytes / 1e6:,.1f} MB)"

    def _rows(self) -> Iterator[tuple[str, tuple[str, ...], str, str, str]]:
        for name, value in self._values.items():
            shape = " × ".join(map(str, value.shape))
            dtype = str(value.dtype).removeprefix("torch.")
            yield name, self._axes[name], shape, dtype, f"{_bytes(value) / 1e6:,.1f} MB"


def _bytes(value: Tensor | Recorded) -> int:
    return int(np.prod(value.shape, dtype=np.int64)) * value.dtype.itemsize


def _read_only(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The tensor's memory as numpy sees it, not to be written through."""
    array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy().view()
    array.flags.writeable = False
    return array
