"""Values an edit brings in, aligned with the hook's axes by name.

A number goes everywhere. A labelled array (xarray) is aligned by its dimension names: they are put into the
hook's order, missing ones broadcast, foreign ones are refused, and its `seed` labels must be the network's. A
plain tensor has no names, so its shape must say, exactly and in one way only, which axes it has: all of the
hook's; all but `seed`, all but `example`, or all but both; the last one; or `seed` and the last one. Where
two readings fit, or none does, it is refused: nothing broadcasts by position, and a size of 1 stands only for
an axis of size 1.

Along an axis the edit is restricted on, a value has the axis's full length (it is read at the same places),
or one entry per selected position, or it lacks the axis. A value that overflows in the network's dtype is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from interp.reading.activations import Activations
from interp.refusals import Refused, unknown
from interp.writing.places import Window, mask_of


@dataclass(frozen=True)
class Site:
    """Where an edit acts: the hook, its axes as they are now, the seeds, and the positions chosen.

    `by_example`: what is chosen example by example, bool `[example, position]`. `memory` lasts as long as the `with`
    block: what is costly or random is made once there (see `once`). Where only a part of a tensor is there (a sweep
    leaves out positions that cannot change), `lengths` are those of the whole and `window` says which part it is.
    """

    hook: str
    axes: tuple[str, ...]
    seeds: tuple[int, ...] | None
    positions: Mapping[str, Sequence[int]]
    by_example: Mapping[str, Tensor] = field(default_factory=dict)
    memory: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)
    lengths: Mapping[str, int] = field(default_factory=dict)
    window: Window = field(default_factory=dict)

    def sizes(self, tensor: Tensor) -> dict[str, int]:
        """The length of each axis, of the whole where the tensor is a part."""
        return {axis: self.lengths.get(axis, n) for axis, n in zip(self.axes, tensor.shape, strict=True)}

    def windowed(self, whole: Tensor, dims: Sequence[str]) -> Tensor:
        """The part of a whole tensor that the window shows."""
        for axis, part in self.window.items():
            if axis in dims and whole.shape[dims.index(axis)] > 1:
                whole = whole[(slice(None),) * dims.index(axis) + (part,)]
        return whole

    def mask(self, tensor: Tensor) -> Tensor | None:
        """True where the edit counts, to be broadcast over the tensor; None where that is everywhere."""
        if not self.positions and not self.by_example:
            return None
        whole = mask_of(self.positions, self.sizes(tensor), self.by_example)
        return self.windowed(whole, self.axes).to(tensor.device)

    def place(self, tensor: Tensor) -> tuple[slice, ...] | None:
        """The part of the tensor where the edit counts, where that is one range along each axis; else None."""
        if self.by_example or any(len(chosen) > 1 for chosen in self.positions.values()):
            return None
        found = []
        for axis, length in zip(self.axes, tensor.shape, strict=True):
            if axis not in self.positions:
                found.append(slice(0, length))
                continue
            begin = self.positions[axis][0] - (self.window[axis].start if axis in self.window else 0)
            found.append(slice(begin, begin + 1) if 0 <= begin < length else slice(0, 0))
        return tuple(found)

    def once(self, key: object, make: Any) -> Any:
        """What `make()` gave when it was first asked for in this block."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]


class Value:
    """A number, a tensor, or a tensor with axis names; compared by content, shown by its shape."""

    def __init__(self, data: float | Tensor | np.ndarray[Any, Any] | xr.DataArray) -> None:
        self.dims: tuple[str, ...] | None = None
        self.laid: tuple[object, Tensor] | None = (
            None  # as last laid over a hook's tensor: sweeps ask again and again
        )
        self.seeds: tuple[int, ...] | None = None
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
        value.dims, value.seeds = tuple(dims), self.seeds
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
        return same and torch.equal(self.tensor, other.tensor)

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
    return value


def _as_tensor(data: Any) -> Tensor:
    try:
        return torch.as_tensor(data)
    except TypeError as error:
        raise Refused(f"A value of dtype {getattr(data, 'dtype', type(data))} is no activation.") from error


def aligned(value: Value, like: Tensor, site: Site) -> Tensor:
    """The value as a tensor that broadcasts over `like` [site.axes], with its dtype and device; see above."""
    key = (site.axes, tuple(like.shape), like.dtype, like.device, site.seeds, site.positions.get("seed"))
    if value.laid is not None and value.laid[0] == key and not site.window:
        return value.laid[1]
    if value.holds_nan:
        raise Refused(f"The value for {site.hook!r} holds NaN.")
    tensor = _cast(value, like, site)
    if tensor.ndim == 0:
        return tensor
    sizes = site.sizes(like)
    dims = named_dims(value, list(sizes.values()), site)
    short = [axis for axis in site.positions if axis in dims and tensor.shape[dims.index(axis)] < sizes[axis]]
    for axis in short:
        tensor = _spread(tensor, dims.index(axis), sizes[axis], site.positions[axis])
    tensor = site.windowed(tensor, dims)
    order = [dims.index(axis) for axis in site.axes if axis in dims]
    lengths = dict(zip(dims, tensor.shape, strict=True))
    result = tensor.permute(order).reshape([lengths.get(axis, 1) for axis in site.axes])
    if value.dims is not None and not short and not site.window:
        value.laid = (key, result)
    return result


def _cast(value: Value, like: Tensor, site: Site) -> Tensor:
    """The value in the dtype and on the device of what it meets."""
    given = value.tensor
    tensor = given.to(device=like.device, dtype=like.dtype)
    if given.dtype != like.dtype and given.device.type != "meta" and tensor.device.type != "meta":
        overflow = tensor.isinf() & given.isfinite().to(tensor.device)
        if bool(overflow.any()):
            raise Refused(f"The value for {site.hook!r} is too large for the network's {like.dtype}.")
    return tensor


def named_dims(value: Value, shape: Sequence[int], site: Site) -> tuple[str, ...]:
    """The axes of a value, by its names or by the one reading its shape allows; `Refused` otherwise."""
    sizes = dict(zip(site.axes, shape, strict=True))
    readings = _readings(site) if value.dims is None else [value.dims]
    check_names(value.dims or (), value.seeds, site)
    fitting = [dims for dims in readings if _fits(dims, tuple(value.tensor.shape), sizes, site)]
    if len(fitting) == 1:
        return fitting[0]
    here = ", ".join(f"{axis} {n}" for axis, n in sizes.items())
    if fitting:
        both = " or ".join(f"[{', '.join(dims)}]" for dims in fitting)
        raise Refused(f"A value {value!r} at {site.hook!r} [{here}] could be {both}: {_NAME_IT}")
    raise Refused(f"A value {value!r} does not fit {site.hook!r} [{here}]{_chosen(site)}: {_NAME_IT}")


_NAME_IT = "give it as an xarray.DataArray with named dimensions."


def check_names(dims: Sequence[str], of_seeds: tuple[int, ...] | None, site: Site) -> None:
    """Refuses dimensions the hook does not have, and seeds other than the network's."""
    for dim in dims:
        if dim not in site.axes:
            raise unknown(f"axis of {site.hook!r}", dim, site.axes)
    seeds = site.seeds or ()
    chosen = tuple(seeds[place] for place in site.positions.get("seed", range(len(seeds))))
    if of_seeds is not None and of_seeds not in (seeds, chosen):
        raise Refused(
            f"The value for {site.hook!r} is of seeds {of_seeds}; the edit acts on {chosen} of {seeds}."
        )


def _readings(site: Site) -> list[tuple[str, ...]]:
    """The axes an unnamed tensor may have, each reading once."""
    axes, last = site.axes, site.axes[-1]
    without = [
        tuple(a for a in axes if a not in gone) for gone in ((), ("seed",), ("example",), ("seed", "example"))
    ]
    chosen_one = {a for a, positions in site.positions.items() if len(positions) == 1} | set(site.by_example)
    fewer = [tuple(a for a in dims if a not in chosen_one) for dims in without]
    ends = [(last,), ("seed", last)] if "seed" in axes else [(last,)]
    return list(dict.fromkeys(dims for dims in [*without, *fewer, *ends] if dims))


def _fits(dims: Sequence[str], shape: tuple[int, ...], sizes: Mapping[str, int], site: Site) -> bool:
    """Whether every dimension has its axis's length, or that of the selection along it."""
    if len(dims) != len(shape) or len(set(dims)) < len(dims) or any(dim not in sizes for dim in dims):
        return False
    return all(
        n in (sizes[d], len(site.positions.get(d, range(sizes[d])))) for d, n in zip(dims, shape, strict=True)
    )


def _spread(tensor: Tensor, place: int, length: int, positions: Sequence[int]) -> Tensor:
    """One entry per selected position, laid out along the whole axis (the rest is never used)."""
    if tensor.shape[place] == length:
        return tensor
    shape = list(tensor.shape)
    shape[place] = length
    index = torch.tensor(positions, device=tensor.device)
    return torch.zeros(shape, dtype=tensor.dtype, device=tensor.device).index_copy(place, index, tensor)


def _chosen(site: Site) -> str:
    return (
        f" where {', '.join(f'{a} has {len(p)}' for a, p in site.positions.items())}"
        if site.positions
        else ""
    )
