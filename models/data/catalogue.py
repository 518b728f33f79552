"""Which data sets exist and what shape they have, told without loading any of them.

No torch, no scikit-learn: `interp list` and the recipes read this file. `models.data.digits.load_data` loads
by the same names, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from types import MappingProxyType


@dataclass(frozen=True)
class Entry:
    """One data set that can be loaded by name; `splits` counts its network, probe and test examples."""

    name: str
    summary: str
    image_shape: tuple[int, int]
    classes: int
    splits: tuple[int, int, int]

    @property
    def features(self) -> int:
        """How many numbers one example has: its pixels."""
        return prod(self.image_shape)


_ENTRIES = (
    Entry(
        "digits",
        "1,797 real handwritten digits of 8x8 pixels that come with scikit-learn; needs no download",
        image_shape=(8, 8),
        classes=10,
        splits=(1_000, 397, 400),
    ),
    Entry(
        "mnist",
        "70,000 handwritten digits of 28x28 pixels, from INTERP_DATA_DIR, the cache, or downloaded (11 MB)",
        image_shape=(28, 28),
        classes=10,
        splits=(50_000, 10_000, 10_000),
    ),
)

CATALOGUE = MappingProxyType({entry.name: entry for entry in _ENTRIES})
