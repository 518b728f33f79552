"""What a probe's figure is held against: the same probe on labels, or along directions, that mean nothing.

- Shuffled labels keep how often each class occurs and cut every tie to the activations: a probe that beats
  chance on held-out examples then has a leak.
- A random label per type gives examples that look alike one random label, the same in training and testing.
  What a probe reaches on it, it reaches by memorising types; accuracy less that is selectivity. For words a
  type is the word. For images it is the nearest of `count` prototypes, k-means centres of the raw inputs. Few
  prototypes make an easy control task, many a hard one: report the count. Labels are spread evenly over types
  (the paper draws them independently), so that every class occurs.
- Random directions of the same rank and norm: what removing or adding any such subspace does. Of the same variance
  besides: what removing a subspace does along which activations vary as much.

Whatever is random takes a `seed`: one number, or several, which then become the leading axis. Never none: a
control that is not run controls nothing.

Source: Hewitt and Liang, "Designing and interpreting probes with control tasks" (2019),
arxiv.org/abs/1909.03368.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin
from torch import Tensor

from interp.measuring.labelled import check_finite
from interp.refusals import Refused

Seeds = int | Sequence[int]


def shuffled_labels(labels: Int[Tensor, "*batch label"], *, seed: Seeds) -> Int[Tensor, "*shuffled label"]:
    """The labels in random order along the last axis, each row on its own."""

    def draw(generator: torch.Generator) -> Tensor:
        order = torch.rand(labels.shape, generator=generator, dtype=torch.float64).argsort(-1)
        return labels.gather(-1, order.to(labels.device))

    return _for_each(seed, draw)


def random_label_per_type(
    types: Int[Tensor, "*batch label"], classes: int, *, count: int, seed: Seeds
) -> Int64[Tensor, "*labelled label"]:
    """One random label per type: the same types, count and seed give the same labels in every split.

    `types` are numbers 0 .. count - 1. Every label is given to `count / classes` types, one more or less.
    """
    if not classes <= count:
        raise Refused(f"{count} types cannot carry {classes} classes; use at least as many types as classes.")
    if types.numel() and not 0 <= int(types.min()) <= int(types.max()) < count:
        raise Refused(
            f"Types from {int(types.min())} to {int(types.max())} were given; allowed: 0 .. {count - 1}."
        )

    def draw(generator: torch.Generator) -> Tensor:
        label_of = torch.arange(count)[torch.randperm(count, generator=generator)] % classes
        return label_of.to(types.device)[types.long()]

    return _for_each(seed, draw)


def types_from_inputs(
    fit_inputs: Float[Tensor, "fit ..."],
    test_inputs: Float[Tensor, "test ..."],
    *,
    count: int,
    seed: int,
) -> tuple[Int64[Tensor, " fit"], Int64[Tensor, " test"]]:
    """The type of each input: the nearest of `count` k-means prototypes of the inputs for fitting.

    No probe could learn a type met once: a prototype that is nearest to one input alone is given up, and the type with
    the most inputs parted in two instead. Raises `Refused` where that does not help.
    """
    if not 1 < count <= len(fit_inputs):
        raise Refused(
            f"{count} types were asked for; between 2 and the {len(fit_inputs)} inputs are possible."
        )
    for inputs in (fit_inputs, test_inputs):
        check_finite(inputs)
    flat = [inputs.detach().flatten(1).double().cpu().numpy() for inputs in (fit_inputs, test_inputs)]
    prototypes = _prototypes(flat[0], count=count, seed=seed)
    first, second = (
        torch.from_numpy(pairwise_distances_argmin(inputs, prototypes)).long() for inputs in flat
    )
    return first.to(fit_inputs.device), second.to(test_inputs.device)


def _prototypes(inputs: NDArray[np.float64], *, count: int, seed: int) -> NDArray[np.float64]:
    """k-means centres, `[type, feature]`, each the nearest to at least two inputs."""
    starts = np.random.default_rng(seed).integers(2**31, size=10).tolist()
    for start in starts:
        centres = _means(inputs, count, start)
        if _nearest_to(inputs, centres).min() >= 2:
            return centres
    for start in starts:
        kept = centres[_nearest_to(inputs, centres) >= 2]
        if not len(kept):
            break
        centres = _parted(inputs, kept, count, start)
        if _nearest_to(inputs, centres).min() >= 2:
            return centres
    raise Refused(
        f"{len(inputs)} inputs do not fall into {count} types of two inputs or more. Give more inputs, or ask for "
        "fewer types."
    )


def _parted(
    inputs: NDArray[np.float64], centres: NDArray[np.float64], count: int, start: int
) -> NDArray[np.float64]:
    """The centres with the largest type parted in two, until there are as many as asked for."""
    while len(centres) < count:
        nearest = pairwise_distances_argmin(inputs, centres)
        largest = np.bincount(nearest, minlength=len(centres)).argmax()
        halves = _means(inputs[nearest == largest], 2, start)
        centres = np.concatenate([np.delete(centres, largest, axis=0), halves])
    return centres


def _means(inputs: NDArray[np.float64], count: int, start: int) -> NDArray[np.float64]:
    return np.asarray(KMeans(count, n_init=4, random_state=start).fit(inputs).cluster_centers_)


def _nearest_to(inputs: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """To how many inputs each centre is the nearest."""
    return np.bincount(pairwise_distances_argmin(inputs, centres), minlength=len(centres))


def random_directions(
    rank: int, features: int, *, seed: Seeds, norm: float = 1.0
) -> Float[Tensor, "*seed rank feature"]:
    """Orthogonal rows of length `norm` that span a subspace drawn uniformly; float64, on the processor."""
    if not 1 <= rank <= features:
        raise Refused(f"{rank} orthogonal directions in {features} dimensions were asked for.")

    def draw(generator: torch.Generator) -> Tensor:
        gaussian = torch.randn(features, rank, generator=generator, dtype=torch.float64)
        orthonormal, triangle = torch.linalg.qr(gaussian)
        rows: Tensor = norm * (orthonormal * triangle.diagonal().sign()).mT
        return rows

    return _for_each(seed, draw)


def directions_of_variance(
    drawn: Float[Tensor, "*seed rank feature"],
    covariance: Float[Tensor, "*seed feature feature"],
    variance: Float[Tensor, "*seed"],
) -> Float[Tensor, "*seed rank feature"]:
    """Random directions turned until activations vary along them as much as asked: orthonormal rows.

    The drawn rows are multiplied by covariance^(t/2), which turns them towards where activations vary (t > 0) or away
    from there (t < 0), and t is found by bisection. What cannot be reached (more than the rank's largest principal
    components hold) is approached. Use it where a subspace is held against others: one along which much varies costs a
    network more, whatever it means.
    """
    sizes, axes = torch.linalg.eigh(covariance)
    along = drawn @ axes
    logs = sizes.clamp_min(1e-9 * sizes.amax(-1, keepdim=True).clamp_min(1e-30)).log()

    def turned(t: Tensor) -> Tensor:
        scaled = along * ((logs - logs.amax(-1, keepdim=True)) * (t[..., None] / 2)).exp()[..., None, :]
        rows: Tensor = torch.linalg.qr((scaled @ axes.mT).mT)[0].mT
        return rows

    low, high = torch.full_like(variance, -4.0), torch.full_like(variance, 12.0)
    for _ in range(40):
        middle = (low + high) / 2
        less = variance_along(turned(middle), covariance) < variance
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    return turned((low + high) / 2)


def variance_along(
    directions: Float[Tensor, "*seed rank feature"], covariance: Float[Tensor, "*seed feature feature"]
) -> Float[Tensor, "*seed"]:
    """The variance along orthonormal directions, summed over them."""
    summed: Tensor = ((directions @ covariance) * directions).sum((-2, -1))
    return summed


def _for_each(seed: Seeds, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    if isinstance(seed, int):
        return draw(torch.Generator().manual_seed(seed))
    if not seed:
        raise Refused("No seed was given for a control; give one, or several for as many repeats.")
    return torch.stack([draw(torch.Generator().manual_seed(single)) for single in seed])
