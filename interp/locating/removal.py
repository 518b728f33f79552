"""Is what can be decoded also used? Remove it, and see what the network loses.

At each hook the component along the decoded directions is projected out (about the mean of the `probe` split, so that
what all examples have in common stays), and a metric of the output on the `test` split is compared with the untouched
network's. Any removal does harm, so it is held against three that mean nothing, averaged over several draws:

    random_directions      the component along as many random orthonormal directions is removed
    random_same_norm       each example is moved by as much as the real removal moves it, along random directions
    random_same_variance   as many random directions are removed along which the activations vary as much

The last is the hardest: decoded directions tend to lie where activations vary most, and there any removal costs much.
The difference in metric speaks of use; it misleads where the network is pushed off the activations it knows (random
moves of the same norm leave a ReLU's range more often than removals do), and a feature that is used may be used along
other directions, too. Sources: Elazar et al. 2021 (amnesic probing), https://arxiv.org/abs/2006.00995; Ravfogel et al.
2020, https://arxiv.org/abs/2004.07667.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from interp.locating.decoding import SplitData
from interp.measuring.controls import directions_of_variance, random_directions, variance_along
from interp.measuring.statistics import disjoint_shares
from interp.reading.capture import capture, evaluating
from interp.reading.feeding import taken_by
from interp.reading.points import seeds_of
from interp.refusals import Refused
from interp.writing.edits import Edit, edited, patch, project_out

Metric = Callable[[Tensor], Tensor]
CONTROLS = ("random_directions", "random_same_norm", "random_same_variance")
REMOVED = ("nothing", "decoded_directions", *CONTROLS)


def remove_directions(
    model: nn.Module,
    data: SplitData,
    directions: Mapping[str, Float[Tensor, "seed rank feature"]],
    metric: Metric,
    *,
    draws: int = 5,
) -> xr.DataArray:
    """The metric after each removal, `[hook, removed, seed]`, each seed on its own share of the test split.

    `directions` are orthonormal, one basis for each member of the population and hook, as `Decoding.directions` has
    them. `metric` takes the output on the test split `[seed, example, class]`, on the network's device, to a number for
    each seed and example. `draws` is how many random subspaces each control is averaged over. The network is in eval
    mode meanwhile. Raises `Refused` for a single network, no directions or draws, hooks with positions or maps, and
    a metric of another shape.
    """
    if draws < 1 or not directions:
        raise Refused(
            f"Removal needs directions at a hook and at least one draw; given {list(directions)}, {draws}."
        )
    seeds = seeds_of(model)
    if not seeds:
        raise Refused("Removal is measured over seeds: give a population, not a single network.")
    measure = _Measure(
        model, data, metric, torch.from_numpy(disjoint_shares(len(seeds), len(data.test.inputs)))
    )
    untouched = measure.under()[None]
    rows = [
        np.concatenate([untouched, measure.at(hook, basis, draws=draws)])
        for hook, basis in directions.items()
    ]
    coords = {"hook": list(directions), "removed": list(REMOVED), "seed": list(seeds)}
    return xr.DataArray(np.stack(rows), coords=coords, dims=list(coords))


@dataclass(frozen=True)
class _Measure:
    """The metric of a network under edits, averaged over each seed's share `[seed, example]` of the test split."""

    model: nn.Module
    data: SplitData
    metric: Metric
    shares: Tensor

    def at(self, hook: str, basis: Tensor, *, draws: int) -> np.ndarray:
        """`[removed, seed]` at one hook: the decoded directions, then each control."""
        fitted = capture(self.model, self.data.probe, hook)
        known, centre = fitted.tensor(hook).to(basis), fitted[hook].mean("example")
        if known.ndim != 3:
            raise Refused(
                f"Directions are removed at hooks whose axes are example and one more; {hook!r} has "
                f"{list(fitted.axes(hook))}."
            )
        test = capture(self.model, self.data.test, hook).tensor(hook).to(basis)
        random = [_random_like(basis, seed=f"{hook} {draw}") for draw in range(draws)]
        spread = _covariance(known)
        varied = [_of_same_variance(other, basis, spread) for other in random]
        moved = [moved_alike(test, basis, other, about=known.mean(-2, keepdim=True)) for other in random]
        controls = (
            [self.under(project_out(hook, other, about=centre)) for other in random],
            [self.under(patch(hook, value)) for value in moved],
            [self.under(project_out(hook, other, about=centre)) for other in varied],
        )
        real = self.under(project_out(hook, basis, about=centre))
        return np.stack([real, *(np.mean(each, axis=0) for each in controls)])

    @torch.no_grad()
    def under(self, *edits: Edit) -> np.ndarray:
        """The metric, a number for each seed, with these edits in force."""
        inputs = self.data.test.inputs
        with evaluating(self.model), edited(self.model, edits):
            values = self.metric(self.model(inputs.to(*taken_by(self.model, inputs)))).double().cpu()
        if values.shape != self.shares.shape:
            raise Refused(
                f"The metric gave shape {list(values.shape)}; it gives a number for each seed and example, "
                f"{list(self.shares.shape)}: leave the averaging out."
            )
        means = (values * self.shares).sum(-1) / self.shares.sum(-1)
        return np.asarray(means.numpy())


def moved_alike(
    x: Float[Tensor, "seed example feature"],
    basis: Float[Tensor, "seed rank feature"],
    other: Float[Tensor, "seed rank feature"],
    *,
    about: Float[Tensor, "seed 1 feature"],
) -> Float[Tensor, "seed example feature"]:
    """Each example moved along `other` by as much as removing its component along `basis` would move it."""
    return x - (x - about) @ basis.mT @ other


def _random_like(basis: Tensor, *, seed: str) -> Tensor:
    """Random orthonormal rows, as many as the basis has, each member's its own."""
    members, rank, features = basis.shape
    kept = int((basis.norm(dim=-1) > 0).sum(-1).max()) or rank
    drawn = random_directions(
        kept, features, seed=[zlib.crc32(f"{seed} {m}".encode()) for m in range(members)]
    )
    return nn.functional.pad(drawn.to(basis), (0, 0, 0, rank - kept))


def _of_same_variance(drawn: Tensor, basis: Tensor, covariance: Tensor) -> Tensor:
    """The drawn rows, turned until the activations vary along them as much as along the basis; float64."""
    kept = int((drawn.norm(dim=-1) > 0).sum(-1).max())
    wanted = variance_along(basis.double(), covariance)
    turned = directions_of_variance(drawn[:, :kept].double(), covariance, wanted)
    return nn.functional.pad(turned, (0, 0, 0, drawn.shape[1] - kept))


def _covariance(x: Tensor) -> Tensor:
    centred = (x - x.mean(-2, keepdim=True)).double()
    return centred.mT @ centred / x.shape[-2]
