"""Subspaces of activation space as orthonormal rows, batched.

A probe with k classes reads an activation along at most k - 1 directions: adding one vector to the weights
of all classes changes no decision, so the mean over classes is removed first. The rows come from a singular
value decomposition, the direction that separates most first, its largest entry positive. A rank below the
number of rows leaves rows of zeros at the end (a batch cannot be ragged): the projector `basis.mT @ basis`
is right all the same.

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
    """Orthonormal rows spanning the given ones; `min(direction, feature)` of them, zeros beyond the rank."""
    _, sizes, rows = torch.linalg.svd(directions, full_matrices=False)
    smallest = max(directions.shape[-2:]) * torch.finfo(sizes.dtype).eps
    held = sizes > smallest * sizes.amax(-1, keepdim=True)
    largest = rows.gather(-1, rows.abs().argmax(-1, keepdim=True))
    signed: Tensor = rows * torch.where(largest < 0, -1.0, 1.0) * held[..., None]
    return signed


def class_directions(weights: Float[Tensor, "*batch class feature"]) -> Float[Tensor, "*batch rank feature"]:
    """Orthonormal rows along which linear probes tell classes apart: `min(class - 1, feature)` of them."""
    centred = weights - weights.mean(-2, keepdim=True)
    return orthonormal_basis(centred)[..., : weights.shape[-2] - 1, :]
