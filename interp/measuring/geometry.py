"""Subspaces of activation space as orthonormal rows, batched.

A probe with k classes reads an activation along at most k - 1 directions: adding one vector to the weights of
all classes changes no decision, so the mean over classes is removed first. The rows come from a singular
value decomposition, the direction that separates most first, its largest entry (the first of equals)
positive. A rank below the number of rows leaves rows of zeros at the end (a batch cannot be ragged): the
projector `basis.mT @ basis` is right all the same.

It misleads when taken for the only place a feature lives: removing one probe's directions leaves what
another probe can still read (Ravfogel et al., "Null it out", 2020, arxiv.org/abs/2004.07667).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def orthonormal_basis(
    directions: Float[Tensor, "*batch direction feature"],
) -> Float[Tensor, "*batch rank feature"]:
    """Orthonormal rows spanning the given ones; `min(direction, feature)` of them, zeros beyond the rank.

    float64, whatever floats are given; what is no more than their rounding does not count towards the rank.
    """
    _, sizes, rows = torch.linalg.svd(directions.double(), full_matrices=False)
    smallest = max(directions.shape[-2:]) * torch.finfo(directions.dtype).eps
    held = sizes > smallest * sizes.amax(-1, keepdim=True)
    sizes_of_entries = rows.abs()
    among_largest = sizes_of_entries > (1 - 1e-6) * sizes_of_entries.amax(-1, keepdim=True)
    largest = rows.gather(-1, among_largest.int().argmax(-1, keepdim=True))
    signed: Tensor = rows * torch.where(largest < 0, -1.0, 1.0) * held[..., None]
    return signed


def class_directions(weights: Float[Tensor, "*batch class feature"]) -> Float[Tensor, "*batch rank feature"]:
    """Orthonormal rows along which linear probes tell classes apart: `min(class - 1, feature)` of them."""
    centred = weights - weights.mean(-2, keepdim=True)
    return orthonormal_basis(centred)[..., : weights.shape[-2] - 1, :].to(weights)
