"""Directions to project out: the axis they lie along, a basis of their span, the component in it."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from interp.measuring.geometry import orthonormal_basis
from interp.refusals import Refused
from interp.writing.aligning import check_names
from interp.writing.sites import Site
from interp.writing.values import Value


def orthonormal(
    directions: Float[Tensor, "*seed rank feature"], *, hook: str = "the hook"
) -> Float[Tensor, "*seed basis feature"]:
    """An orthonormal basis of the directions' span (measuring/geometry.py), float64 on the CPU.

    Raises `Refused` for directions that are all zero, or hold NaN or infinity.
    """
    if not bool(directions.isfinite().all()):
        raise Refused(f"The directions for {hook!r} hold NaN or infinity.")
    basis = orthonormal_basis(directions.detach().cpu())
    if not bool(basis.any(dim=-1).any(dim=-1).all()):
        raise Refused(f"The directions for {hook!r} are all zero: there is nothing to project out.")
    return basis


def component(
    x: Float[Tensor, "*axes feature"], basis: Float[Tensor, "*seed basis feature"]
) -> Float[Tensor, "*axes feature"]:
    """The component of x in the span of an orthonormal basis, shared or one a seed (the first axis)."""
    if basis.ndim == 2:
        return x @ basis.mT @ basis
    return (x.flatten(1, -2) @ basis.mT @ basis).reshape(x.shape)


def stacked_directions(directions: Value, tensor: Tensor, site: Site) -> tuple[str, Tensor]:
    """The axis the directions lie along, and the directions as [*seed, rank, feature]."""
    dims = directions.dims or _unnamed_dims(directions, site)
    rank = next((dim for dim in dims if dim != "seed" and dim not in site.axes), "rank")
    along = [dim for dim in dims if dim not in ("seed", rank)]
    check_names([dim for dim in dims if dim != rank], directions.seeds, site)
    lengths = site.sizes(tensor)
    sizes = dict(zip(dims, directions.tensor.shape, strict=True))
    if len(along) != 1 or along == ["example"] or any(n != lengths.get(dim, n) for dim, n in sizes.items()):
        here = ", ".join(f"{axis} {n}" for axis, n in lengths.items())
        raise Refused(
            f"Directions {directions!r} do not fit {site.hook!r} [{here}]: give [feature], [rank, feature] "
            "or [seed, rank, feature], the feature one of the hook's axes."
        )
    stacked = directions.tensor.permute([dims.index(dim) for dim in ("seed", rank, along[0]) if dim in dims])
    stacked = stacked if rank in dims else stacked.unsqueeze(-2)
    return along[0], stacked if stacked.is_floating_point() else stacked.double()


def _unnamed_dims(directions: Value, site: Site) -> tuple[str, ...]:
    """The axes of directions given as a plain tensor, where its shape leaves no doubt."""
    shape, seeds = tuple(directions.tensor.shape), len(site.seeds or ())
    if len(shape) == 2 and "seed" in site.axes and shape[0] == seeds:
        raise Refused(
            f"Directions of shape {shape} at {site.hook!r} could be one for each of {seeds} seeds, or "
            f"{seeds} for all: give [seed, rank, feature], or an xarray.DataArray with named dimensions."
        )
    if not 1 <= len(shape) <= 3:
        raise Refused(
            f"Directions are [feature], [rank, feature] or [seed, rank, feature]; given shape {shape}."
        )
    return ("seed", "rank", site.axes[-1])[-len(shape) :]
