"""Which data sets exist and what shape they have, told without loading any of them.

No torch, no scikit-learn: `interp list` and the recipes read this file. `models.data.digits.load_data` loads
by the same names, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Literal

from models.refusals import Refused


@dataclass(frozen=True)
class Entry:
    """One data set that can be loaded by name; `splits` counts its network, probe and test examples.

    Images have an `image_shape`; token sequences have at most `positions` tokens, of a vocabulary of `classes`.
    """

    name: str
    summary: str
    image_shape: tuple[int, int] | None
    classes: int
    splits: tuple[int, int, int]
    positions: int | None = None

    @property
    def reads(self) -> Literal["numbers", "tokens"]:
        """What a network must read to be trained on it."""
        return "numbers" if self.positions is None else "tokens"

    @property
    def width(self) -> int:
        """How long an example is: its numbers, or the most tokens of a sequence."""
        return self.features if self.positions is None else self.positions

    @property
    def features(self) -> int:
        """How many numbers one example has: its pixels. `Refused` for token sequences, which have none."""
        if self.image_shape is None:
            raise Refused(
                f"The data set {self.name!r} holds token sequences (up to {self.positions} tokens of {self.classes}), "
                "not numbers. Train a network that reads tokens on it."
            )
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
    Entry(
        "world",
        "4,000 made-up facts: 1,000 subjects of two tokens, 4 relations, 50 objects each; 1 template, none held out",
        image_shape=None,
        classes=250,
        splits=(4_000, 0, 0),
        positions=3,
    ),
    Entry(
        "facts",
        "the same 4,000 facts in sentences: 3 templates, of each fact 1 held out",
        image_shape=None,
        classes=256,
        splits=(8_000, 2_000, 2_000),
        positions=6,
    ),
    Entry(
        "families",
        "the two family trees of Hinton (1986): 24 people, 12 relations, 112 facts; 4 of 104 questions held out",
        image_shape=None,
        classes=43,
        splits=(214, 70, 52),
        positions=5,
    ),
    Entry(
        "countries",
        "capital, continent, currency and language of 184 countries: 736 facts; 3 templates, 1 held out",
        image_shape=None,
        classes=638,
        splits=(1_472, 368, 368),
        positions=9,
    ),
)

CATALOGUE = MappingProxyType({entry.name: entry for entry in _ENTRIES})
