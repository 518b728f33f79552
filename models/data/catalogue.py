"""Which data sets exist and what shape they have, told without loading any of them.

No torch, no scikit-learn: `interp list` and the recipes read this file. `models.data.loading.load_data` loads
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

    Images have an `image_shape`; token sequences have at most `positions` tokens, of a vocabulary of `classes`;
    sequences of numbers have `positions` times so many `numbers`. Without classes a number is to be predicted. Of token
    pairs, `sources` counts the positions and the tokens of the source; `positions` are source and target together.
    """

    name: str
    summary: str
    image_shape: tuple[int, int] | None
    classes: int
    splits: tuple[int, int, int]
    positions: int | None = None
    numbers: int = 0
    sources: tuple[int, int] | None = None

    @property
    def reads(self) -> Literal["numbers", "number sequences", "tokens", "token pairs"]:
        """What a network must read to be trained on it."""
        if self.positions is None:
            return "numbers"
        if self.sources is not None:
            return "token pairs"
        return "number sequences" if self.numbers else "tokens"

    @property
    def width(self) -> int:
        """How long an example is: its numbers, those of a position of a sequence, or the most tokens of one."""
        return self.features if self.positions is None else self.numbers or self.positions

    @property
    def outputs(self) -> int:
        """How many outputs a network for it has: the classes, or one for the number to predict."""
        return self.classes or 1

    @property
    def features(self) -> int:
        """How many numbers one example has: its pixels. `Refused` for token sequences, which have none."""
        if self.image_shape is None:
            raise Refused(
                f"The data set {self.name!r} holds {'number' if self.numbers else 'token'} sequences (up to "
                f"{self.positions} positions), not numbers alone. Train a network that reads {self.reads} on it."
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
    Entry(
        "digits-shifted",
        "the bundled digits, each moved by up to 2 pixels in a frame of 12x12",
        image_shape=(12, 12),
        classes=10,
        splits=(1_000, 397, 400),
    ),
    Entry(
        "digits-rotated",
        "the bundled digits, each turned by up to 45 degrees",
        image_shape=(8, 8),
        classes=10,
        splits=(1_000, 397, 400),
    ),
    Entry(
        "letters",
        "520 handwritten letters a to z (Omniglot) in MNIST's form, by people; from INTERP_DATA_DIR or downloaded",
        image_shape=(28, 28),
        classes=26,
        splits=(260, 130, 130),
    ),
    Entry(
        "clothes",
        "10,000 pictures of clothes (Fashion-MNIST, its test images), from INTERP_DATA_DIR or downloaded",
        image_shape=(28, 28),
        classes=10,
        splits=(6_000, 2_000, 2_000),
    ),
    Entry(
        "noise",
        "images of 8x8 pixels that show nothing: uniform, Gaussian, blank, digits with their pixels shuffled",
        image_shape=(8, 8),
        classes=4,
        splits=(800, 400, 800),
    ),
    Entry(
        "adding",
        "sequences of 100 numbers, two of them marked: their sum is to be given after the last",
        image_shape=None,
        classes=0,
        splits=(32_000, 1_000, 2_000),
        positions=100,
        numbers=2,
    ),
    Entry(
        "copy",
        "5 of 8 symbols, to be named after 20 blanks",
        image_shape=None,
        classes=10,
        splits=(10_000, 1_000, 1_000),
        positions=30,
    ),
    Entry(
        "recall",
        "3 pairs of key and value at random places in 40 positions, then a key: what was its value?",
        image_shape=None,
        classes=18,
        splits=(20_000, 2_000, 2_000),
        positions=40,
    ),
    Entry(
        "induction",
        "blocks of 6 to 14 tokens, repeated: what came next the last time?",
        image_shape=None,
        classes=32,
        splits=(10_000, 1_000, 1_000),
        positions=32,
    ),
    Entry(
        "modular",
        "all additions modulo 113, 30 % of them for training",
        image_shape=None,
        classes=114,
        splits=(3_831, 2_553, 6_385),
        positions=3,
    ),
    Entry(
        "names",
        "29,494 first names by character, from INTERP_DATA_DIR or downloaded (0.2 MB)",
        image_shape=None,
        classes=28,
        splits=(23_595, 2_950, 2_949),
        positions=16,
    ),
    Entry(
        "places",
        "names of countries and capitals, by character; needs no download",
        image_shape=None,
        classes=39,
        splits=(294, 36, 37),
        positions=33,
    ),
    Entry(
        "shakespeare",
        "Shakespeare by character, in rows of 64, from INTERP_DATA_DIR or downloaded (1 MB)",
        image_shape=None,
        classes=65,
        splits=(15_686, 871, 871),
        positions=64,
    ),
    Entry(
        "reordering",
        "made-up sentences and their translation, in another word order; what translates what is known",
        image_shape=None,
        classes=29,
        splits=(4_000, 500, 1_000),
        positions=19,
        sources=(9, 27),
    ),
    Entry(
        "translation",
        "4,704 short English sentences and their French translations (Tatoeba), from INTERP_DATA_DIR",
        image_shape=None,
        classes=964,
        splits=(3_804, 400, 500),
        positions=11,
        sources=(4, 732),
    ),
)

CATALOGUE = MappingProxyType({entry.name: entry for entry in _ENTRIES})
