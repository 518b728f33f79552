"""Reference activations: their mean over the examples, and rows of them as donors.

Activations captured from padded sequences know where they are real (`Activations.mask`); what stands at padding means
nothing. So a mean is taken over the examples that are real at a position, and refused where there are none; a donor
that is padding where it would be put in is refused. An array or tensor taken out of `Activations` has lost its mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp.refusals import Refused
from interp.writing.places import Where, laid
from interp.writing.sites import Site
from interp.writing.values import Value

POSITIONS = ("pos", "query_pos")


def mean_over_examples(reference: Value, site: Site) -> Value:
    """The mean over the example axis of reference activations; what has no example axis is that mean."""
    axes, ndim = site.axes, reference.tensor.ndim
    if reference.dims is None and (ndim < len(axes) - 1 or (ndim < len(axes) and "seed" not in axes)):
        return reference
    if reference.dims is not None and "example" not in reference.dims:
        return reference
    dims = with_examples(reference, site)
    place, tensor = dims.index("example"), reference.tensor
    dtype, real = torch.promote_types(tensor.dtype, torch.float32), _real(reference, dims, site.hook)
    if real is None:
        mean = tensor.mean(dim=place, dtype=dtype)
    else:
        _refuse(real.any(dim=place), [dim for dim in dims if dim != "example"], site, what="The mean of")
        total = torch.where(real, tensor, 0).sum(dim=place, dtype=dtype)
        mean = total / real.sum(dim=place).clamp(min=1)
    return reference.relabelled(mean, [dim for dim in dims if dim != "example"])


def with_examples(value: Value, site: Site) -> tuple[str, ...]:
    """The axes of activations of many examples, however many."""
    if value.dims is not None and "example" in value.dims:
        return value.dims
    if value.dims is None and value.tensor.ndim == len(site.axes):
        return site.axes
    raise Refused(
        f"{value!r} has no certain `example` axis at {site.hook!r} [{', '.join(site.axes)}]: "
        "give all these axes, or an xarray.DataArray with named dimensions."
    )


def refuse_padded_donors(source: Value, dims: Sequence[str], site: Site) -> None:
    """Refuses donors that are padding where the edit acts."""
    real = _real(source, dims, site.hook)
    if real is not None:
        _refuse(real, dims, site, what="A donor at")


def refuse_padded_batch(hook: str, axes: Sequence[str], where: Where, real: Tensor) -> None:
    """Refuses donors from the batch itself, of which `real [*seed, example, pos]` says what is padding."""
    axis = next((axis for axis in POSITIONS if axis in axes), None)
    if axis is None:
        return
    own = Where(tuple(choice for choice in where.choices if choice[0] == axis))
    dims, shape = ("example", axis), tuple(real.shape[-2:])
    site = Site(hook, dims, None, own.positions(dims, shape, ()), own.by_example(dims, shape))
    _refuse(real, ("seed", *dims)[-real.ndim :], site, what="A donor at")


def _real(value: Value, dims: Sequence[str], hook: str) -> Tensor | None:
    """Where the value is real, to be broadcast over it; None where nothing of it is padding."""
    axis = next((axis for axis in POSITIONS if axis in dims), None)
    if value.real is None or axis is None:
        return None
    length = value.tensor.shape[dims.index(axis)]
    if value.real.shape[-1] != length:
        raise Refused(
            f"{value!r} at {hook!r} was captured from padded sequences of {value.real.shape[-1]} positions, and has "
            f"{length}: which of them are padding is unknown. Capture sequences of one length."
        )
    own = ("seed", "example", axis)[-value.real.ndim :]
    return laid(value.real.to(value.tensor.device), own, dims)


def _refuse(real: Tensor, dims: Sequence[str], site: Site, *, what: str) -> None:
    """Refuses where something is not real at a position where the edit acts."""
    axis = next(axis for axis in POSITIONS if axis in dims)
    by_position = real.movedim(list(dims).index(axis), 0).flatten(1).all(dim=1)
    acted_on = torch.zeros_like(by_position)
    if axis in site.by_example:
        acted_on |= site.by_example[axis].any(dim=0).to(acted_on.device)
    else:
        acted_on[list(site.positions.get(axis, range(len(acted_on))))] = True
    if bad := (acted_on & ~by_position).nonzero().flatten().tolist():
        raise Refused(
            f"{what} {site.hook!r}, {axis} {', '.join(map(str, bad))}, would be of padding: sequences end before. "
            f"Give sequences of one length, or restrict the edit with {axis}= to positions that are real."
        )
