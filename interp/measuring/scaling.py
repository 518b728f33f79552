"""Centring and scaling inside a probe, undone in its weights: directions stay in the activations' space.

Centring decouples the bias from the weights. Scaling to unit variance makes one penalty mean the same for
every feature; without it, features of small variance are penalised more. A constant feature is left at scale
1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """Mean and scale of features, one row per set of activations; no scale means 1."""

    mean: Float[Tensor, "own 1 feature"]
    scale: Float[Tensor, "own 1 feature"] | None

    def apply(self, features: Float[Tensor, "own example feature"]) -> Float[Tensor, "own example feature"]:
        """Centred features of the wanted scale."""
        centred = features - self.mean
        return centred if self.scale is None else centred.div_(self.scale)

    def undo(
        self, weights: Float[Tensor, "own shared class feature"], bias: Float[Tensor, "own shared class"]
    ) -> tuple[Float[Tensor, "own shared class feature"], Float[Tensor, "own shared class"]]:
        """Weights and bias that score raw features as the given ones score scaled features."""
        raw = weights if self.scale is None else weights / self.scale[:, None]
        return raw, bias - (raw * self.mean[:, None]).sum(-1)


def measure_scaling(features: Float[Tensor, "own example feature"], *, standardise: bool) -> Scaling:
    """The mean of each feature, with its standard deviation where `standardise`, else with ones."""
    mean = features.mean(-2, keepdim=True)
    if not standardise:
        return Scaling(mean, None)
    deviation = features.std(-2, keepdim=True, correction=0)
    noise = torch.finfo(features.dtype).eps * 10 * (mean.abs() + 1)
    return Scaling(mean, torch.where(deviation > noise, deviation, torch.ones_like(deviation)))
