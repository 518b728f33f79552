"""A value meets the tensor at a hook: axes are matched by name.

A number goes everywhere. A labelled array (xarray) is aligned by its dimension names: they are put into the
hook's order, missing ones broadcast, foreign ones are refused, and its `seed` labels must be the network's. A
plain tensor has no names, so its shape must say, exactly and in one way only, which axes it has: all of the
hook's; all but `seed`, all but `example`, or all but both; the last one; or `seed` and the last one. Where
two readings fit, or none does, it is refused: nothing broadcasts by position, and a size of 1 stands only for
an axis of size 1.

Along an axis the edit is restricted on, a value has the axis's full length (it is read at the same places),
or one entry per selected position, or it lacks the axis. Where all positions are selected in an order of their
own, the first two cannot be told apart and the value is refused (`seed` labels tell; `Activations` are whole).
A value that overflows in the network's dtype is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from interp.refusals import Refused, unknown_axis
from interp.writing.sites import Site
from interp.writing.values import Value


def aligned(value: Value, like: Tensor, site: Site) -> Tensor:
    """The value as a tensor that broadcasts over `like` [site.axes], with its dtype and device; see above."""
    whole = _laid(value, like, site)
    return site.windowed(whole, site.axes) if site.window and whole.ndim else whole


def _laid(value: Value, like: Tensor, site: Site) -> Tensor:
    """The same over the whole of which `like` is a part; kept for the next edit where no position is in it."""
    sizes = site.sizes(like)
    key = (tuple(sizes.items()), like.dtype, like.device, site.seeds, site.positions.get("seed"))
    kept = value.laid  # taken once: another thread may lay another in its place
    if kept is not None and kept[0] == key:
        return kept[1]
    if value.holds_nan:
        raise Refused(f"The value for {site.hook!r} holds NaN.")
    tensor = _cast(value, like, site)
    if tensor.ndim == 0:
        return tensor
    dims = named_dims(value, list(sizes.values()), site)
    lengths = dict(zip(dims, tensor.shape, strict=True))
    short = [
        axis
        for axis in site.positions
        if axis in dims and _by_choice(value, axis, lengths[axis], sizes, site)
    ]
    for axis in short:
        tensor = _spread(tensor, dims.index(axis), sizes[axis], site.positions[axis])
    order = [dims.index(axis) for axis in site.axes if axis in dims]
    lengths = dict(zip(dims, tensor.shape, strict=True))
    result = tensor.permute(order).reshape([lengths.get(axis, 1) for axis in site.axes])
    if value.dims is not None and not short:
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
            raise unknown_axis(site.hook, dim, site.axes)
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


def _by_choice(value: Value, axis: str, length: int, sizes: Mapping[str, int], site: Site) -> bool:
    """Whether the value has one entry per selected position, in their order, rather than one for each of the axis.

    Raises `Refused` where all are selected in an order of their own, which could be either.
    """
    chosen = list(site.positions[axis])
    if length < sizes[axis]:
        return True
    if value.whole or len(chosen) < length or chosen == sorted(chosen):
        return False
    if axis == "seed" and value.seeds is not None:
        return value.seeds != site.seeds
    raise Refused(
        f"{axis}= at {site.hook!r} selects all {length} in another order, so a value of {length} along it could be "
        f"meant at the same places or one by one: give {axis}= in ascending order, or not at all."
    )


def _spread(tensor: Tensor, place: int, length: int, positions: Sequence[int]) -> Tensor:
    """One entry per selected position, laid out along the whole axis (the rest is never used)."""
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
