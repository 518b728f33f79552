"""Is what can be decoded also used? Remove it, and see what the network loses.

At each hook the component along the decoded directions is projected out (about the mean, so that what all examples have
in common stays), and a metric of the output is compared with the untouched network's. Any removal does harm, so it is
held against two that mean nothing, averaged over several draws:

    random_directions   the component along as many random orthonormal directions is removed
    random_same_norm    each example is moved by as much as the real removal moves it, along random directions

The difference in metric speaks of use; it misleads where the network is pushed off the activations it knows, which is
what the second control is for.

Sources: Elazar et al. 2021 (amnesic probing), https://arxiv.org/abs/2006.00995; Ravfogel et al. 2020,
https://arxiv.org/abs/2004.07667.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from interp.measuring.controls import random_directions
from interp.measuring.statistics import disjoint_shares
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
    """The metric after each removal, `[hook, removed, seed]`, each seed on its own share of the examples (decoding.py).

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
    measure = _Measure(model, inputs, metric, torch.from_numpy(disjoint_shares(len(seeds), len(inputs))))
    rows = [measure.at(hook, basis, draws=draws) for hook, basis in directions.items()]
    coords = {"hook": list(directions), "removed": list(REMOVED), "seed": list(seeds)}
    return xr.DataArray(np.stack(rows), coords=coords, dims=list(coords))


@dataclass(frozen=True)
class _Measure:
    """The metric of a network under edits, averaged over each seed's share `[seed, example]` of the inputs."""

    model: nn.Module
    inputs: Tensor
    metric: Metric
    shares: Tensor

    def at(self, hook: str, basis: Tensor, *, draws: int) -> np.ndarray:
        """`[removed, seed]` at one hook."""
        x = capture(self.model, self.inputs, hook).tensor(hook).to(basis)
        random = [_random_like(basis, draw) for draw in range(draws)]
        removed = [self.under(project_out(hook, other, about=x)) for other in random]
        moved = [self.under(patch(hook, moved_alike(x, basis, other))) for other in random]
        real = self.under(project_out(hook, basis, about=x))
        return np.stack([self.under(), real, np.mean(removed, axis=0), np.mean(moved, axis=0)])

    @torch.no_grad()
    def under(self, *edits: Edit) -> np.ndarray:
        """The metric, a number for each seed, with these edits in force."""
        with edited(self.model, edits):
            values = self.metric(self.model(self.inputs)).detach().double().cpu()
        means = (values * self.shares).sum(-1) / self.shares.sum(-1)
        return np.asarray(means.numpy())


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
