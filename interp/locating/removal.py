"""Is what can be decoded also used? Remove it, and see what the network loses.

At each hook the component along the decoded directions is projected out (about the mean, so that what all examples have
in common stays), and a metric of the output is compared with the untouched network's. Any removal does harm, so it is
held against two that mean nothing, averaged over several draws:

    random_directions   the component along as many random orthonormal directions is removed
    random_same_norm    each example is moved by as much as the real removal moves it, along random directions

The difference in metric speaks of use; it misleads where the network is pushed off the activations it knows, which is
what the second control is for. Sources: Elazar et al. 2021 (amnesic probing), https://arxiv.org/abs/2006.00995; Ravfogel
et al. 2020, https://arxiv.org/abs/2004.07667.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from interp.measuring.controls import random_directions
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import Edit, edited, patch, project_out

Metric = Callable[[Tensor], Tensor]
REMOVED = ("nothing", "decoded_directions", "random_directions", "random_same_norm")


def remove_directions(
    model: nn.Module,
    inputs: Tensor,
    directions: Mapping[str, Float[Tensor, "seed rank feature"]],
    metric: Metric,
    *,
    draws: int = 5,
) -> xr.DataArray:
    """The metric after each removal, `[hook, removed, seed]`.

    `directions` are orthonormal, one basis for each member of the population and hook, as `Decoding.directions` has
    them. `metric` takes the output `[seed, example, class]` to a number for each seed. `draws` is how many random
    subspaces each control is averaged over.
    """
    if draws < 1 or not directions:
        raise Refused(
            f"Removal needs directions at a hook and at least one draw; given {list(directions)}, {draws}."
        )
    seeds = tuple(getattr(model, "seeds", None) or ())
    if not seeds:
        raise Refused("Removal is measured over seeds: give a population, not a single network.")
    clean = _measure(model, inputs, metric, None)
    rows = [_at_hook(model, inputs, hook, basis, metric, draws, clean) for hook, basis in directions.items()]
    coords = {"hook": list(directions), "removed": list(REMOVED), "seed": list(seeds)}
    return xr.DataArray(np.stack(rows), coords=coords, dims=list(coords))


def _at_hook(
    model: nn.Module, inputs: Tensor, hook: str, basis: Tensor, metric: Metric, draws: int, clean: np.ndarray
) -> np.ndarray:
    x = capture(model, inputs, hook).tensor(hook).to(basis)
    real = _measure(model, inputs, metric, project_out(hook, basis, about=x))
    random = [_random_like(basis, draw) for draw in range(draws)]
    removed = [_measure(model, inputs, metric, project_out(hook, other, about=x)) for other in random]
    moved = [_measure(model, inputs, metric, patch(hook, moved_alike(x, basis, other))) for other in random]
    return np.stack([clean, real, np.mean(removed, axis=0), np.mean(moved, axis=0)])


def moved_alike(
    x: Float[Tensor, "seed example feature"],
    basis: Float[Tensor, "seed rank feature"],
    other: Float[Tensor, "seed rank feature"],
) -> Float[Tensor, "seed example feature"]:
    """Each example moved along `other` by as much as removing its component along `basis` would move it."""
    component = (x - x.mean(-2, keepdim=True)) @ basis.mT
    return x - component @ other


def _random_like(basis: Tensor, draw: int) -> Tensor:
    members, rank, features = basis.shape
    kept = int((basis.norm(dim=-1) > 0).sum(-1).max()) or rank
    drawn = random_directions(kept, features, seed=[draw * 1_000_003 + member for member in range(members)])
    return torch.nn.functional.pad(drawn.to(basis), (0, 0, 0, rank - kept))


@torch.no_grad()
def _measure(model: nn.Module, inputs: Tensor, metric: Metric, edit: Edit | None) -> np.ndarray:
    edits: list[Edit] = [] if edit is None else [edit]
    with edited(model, edits):
        values = metric(model(inputs))
    return np.asarray(values.detach().double().cpu().numpy())
