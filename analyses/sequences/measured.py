"""What `who_remembers_longest` measures: the networks of every part, how they remember, how far back they reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import models
from analyses.sequences.ordering import KINDS, Kind, Ordered, ordered
from analyses.sequences.reaching import LONGEST, Reach, chains, reached
from analyses.sequences.remembering import Memory, added, adding_networks, recall_networks, recalled
from interp.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

PUBLISHED_LENGTH, PUBLISHED_ROWS, PUBLISHED_UNITS = 100, 32_000, 8


@dataclass(frozen=True)
class Setting:
    """The rows that are learned: see `who_remembers_longest`."""

    seeds: int = 8
    adding_length: int = PUBLISHED_LENGTH
    adding_rows: int = PUBLISHED_ROWS
    recall_length: int = 20
    recall_rows: int = 20_000
    recall_epochs: int = 15
    order_rows: int = 8_000

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise Refused(f"seeds is 2 or more: one network has no interval; given {self.seeds}.")
        if self.recall_length < LONGEST:
            raise Refused(f"recall_length is at least {LONGEST}; given {self.recall_length}.")

    @property
    def is_published_setting(self) -> bool:
        """Whether what is published of the adding problem can be compared."""
        return self.adding_length == PUBLISHED_LENGTH and self.adding_rows >= PUBLISHED_ROWS


@dataclass(frozen=True)
class Found:
    """Everything measured; `published`: the two networks of 8 units; `waits`: `chains` of each family."""

    adding: Mapping[str, Memory]
    published: Mapping[str, Memory]
    recall: Mapping[str, Memory]
    reaches: Mapping[str, Reach]
    waits: Mapping[str, Mapping[str, Numbers]]
    order: Mapping[Kind, Ordered]


def datasets(setting: Setting) -> dict[str, models.Dataset]:
    """The three tasks."""
    return {
        "adding": models.adding_problem(setting.adding_length, splits=(setting.adding_rows, 1_000, 2_000)),
        "recall": models.key_value_recall(
            setting.recall_length, pairs=2, keys=4, values=4, splits=(setting.recall_rows, 1_000, 2_000)
        ),
        "order": models.which_came_first(splits=(setting.order_rows, 1, 1_000)),
    }


def measure(setting: Setting, data: Mapping[str, models.Dataset]) -> Found:
    """Trains (or finds) every network."""
    small = {}
    if setting.is_published_setting:
        small = {
            cell: models.RecurrentConfig(PUBLISHED_UNITS, 1, cell=cell, features=2)
            for cell in ("rnn", "lstm")
        }
    networks = recall_networks(data["recall"])
    equal, seeds, epochs = adding_networks(setting.adding_length), setting.seeds, setting.recall_epochs
    adding = {kind: added(one, data["adding"], seeds=seeds) for kind, one in equal.items()}
    return Found(
        adding,
        {kind: added(one, data["adding"], seeds=seeds) for kind, one in small.items()},
        {kind: recalled(one, data["recall"], seeds=seeds, epochs=epochs) for kind, one in networks.items()},
        {kind: reached(one.model, one.data) for kind, one in adding.items()},
        {kind: chains(one, seeds=seeds) for kind, one in networks.items()},
        {kind: ordered(kind, data["order"], seeds=seeds) for kind in KINDS},
    )
