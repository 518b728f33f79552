"""Ground truth to hold methods against: activations in which one linear feature was planted, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Planted:
    """Activations `[example, feature]`, labels `[example]`, and the planted unit direction `[feature]`."""

    activations: NDArray[np.float64]
    labels: NDArray[np.int64]
    direction: NDArray[np.float64]


def planted_feature(
    *, examples: int = 400, features: int = 12, strength: float = 3.0, classes: int = 2, seed: int = 0
) -> Planted:
    """Unit Gaussian noise plus `strength` times the label's place on one random direction.

    Labels 0, 1, ... lie at equal steps of `strength`, centred on zero; strength 0 plants nothing. With two
    classes the best possible accuracy is the normal distribution function at strength / 2 (0.933 for 3).
    """
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=features)
    direction /= np.linalg.norm(direction)
    labels = rng.permutation(np.arange(examples) % classes)
    place = labels - (classes - 1) / 2
    noise = rng.normal(size=(examples, features))
    return Planted(noise + strength * place[:, None] * direction, labels, direction)
