"""Values an edit brings in: a number, a tensor, or a tensor whose axes have names.

What a caller may give is taken as it is, without a copy; compared by content, shown by its shape. How a value meets the
tensor at a hook is aligning.py's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from interp.reading.activations import Activations
from interp.refusals import Refused, unknown


class Value:
    """A number, a tensor, or a tensor with axis names; compared by content, shown by its shape."""

    def __init__(self, data: float | Tensor | np.ndarray[Any, Any] | xr.DataArray) -> None:
        self.dims: tuple[str, ...] | None = None
        self.laid: tuple[object, Tensor] | None = (
            None  # as last laid over a hook's tensor: sweeps ask again and again
        )
        self.seeds: tuple[int, ...] | None = None
        self.whole = False  # whether it is known to be of the whole hook, as what was captured is
        self.real: Tensor | None = None  # of captured activations: False where a sequence was padded
        if isinstance(data, xr.DataArray):
            self.dims = tuple(str(dim) for dim in data.dims)
            self.seeds = (
                tuple(map(int, data["seed"].values))
                if "seed" in data.coords and "seed" in data.dims
                else None
            )
            data = np.array(data.values)
        self.tensor = data if isinstance(data, Tensor) else _as_tensor(data)
        if self.tensor.is_complex() or self.tensor.dtype == torch.bool:
            raise Refused(f"A value of dtype {self.tensor.dtype} is no activation: give real numbers.")

    def relabelled(self, tensor: Tensor, dims: Sequence[str]) -> Value:
        """A tensor made from this one, with these axis names and the same seeds."""
        value = Value(tensor)
        value.dims, value.seeds, value.whole = tuple(dims), self.seeds, self.whole
        return value

    @cached_property
    def holds_nan(self) -> bool:
        """Looked for once, and where it lies: on a GPU each look waits for all before it."""
        return bool(self.tensor.isnan().any())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value):
            return NotImplemented
        same = (
            self.dims == other.dims and self.seeds == other.seeds and self.tensor.dtype == other.tensor.dtype
        )
        return same and torch.equal(self.tensor, other.tensor) and _alike(self.real, other.real)

    def __hash__(self) -> int:
        return hash((self.dims, self.seeds, tuple(self.tensor.shape), self.tensor.dtype))

    def __repr__(self) -> str:
        if self.tensor.ndim == 0:
            return f"{self.tensor.item():g}"
        names = self.dims or ("",) * self.tensor.ndim
        return (
            "["
            + ", ".join(f"{name} {n}".strip() for name, n in zip(names, self.tensor.shape, strict=True))
            + "]"
        )


def value_of(given: Any, hook: str) -> Value:
    """A value from what the caller gave; of a mapping such as `Activations`, the entry of this hook."""
    if isinstance(given, Mapping):
        if hook not in given:
            raise unknown("hook in the activations given", hook, map(str, given))
        if isinstance(given, Activations):
            return _of_activations(given, hook)
        given = given[hook]
    if isinstance(given, Value):
        return given
    if not isinstance(given, int | float | np.number | np.ndarray | Tensor | xr.DataArray):
        raise Refused(
            f"A {type(given).__name__} is no value for {hook!r}: give a number, a tensor or a DataArray."
        )
    return Value(float(given) if isinstance(given, np.number) else given)


def _of_activations(activations: Activations, hook: str) -> Value:
    """The activations of a hook with their axes, without a copy."""
    value = Value(activations.tensor(hook).detach())
    value.dims = activations.axes(hook)
    value.seeds = activations.seeds if "seed" in value.dims else None
    value.whole, value.real = True, activations.mask
    return value


def _alike(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))


def _as_tensor(data: Any) -> Tensor:
    try:
        return torch.as_tensor(data)
    except TypeError as error:
        raise Refused(f"A value of dtype {getattr(data, 'dtype', type(data))} is no activation.") from error
