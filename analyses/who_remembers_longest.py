"""Who remembers longest: tanh networks, LSTMs, GRUs or transformers; who must wait; and who knows the order of words?

Networks of four kinds and nearly equal size learn the adding problem and key-value recall (remembering.py), where what
counts stands some way back. Measured are the error against that lag, and how far back the output's gradient reaches
before and after training (reaching.py; S1). What one product must wait for is counted, not timed: the longest chain of
matrix products in reading and in writing (S2). Whether a transformer knows the order of its words is asked with and
without positions and mask, on a task that order decides (ordering.py; S3).

At the published length, 100, tanh networks and LSTMs of 8 units are compared besides. Every seed is judged on rows that
no network has seen, a share of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import interp
import models
from analyses.sequences.ordering import KINDS, Kind, Ordered, ordered
from analyses.sequences.reaching import LONGEST, Reach, chains, reached
from analyses.sequences.remembering import Memory, added, adding_networks, recall_networks, recalled
from analyses.sequences.remembering_judged import (
    UNITS,
    adding,
    gradients,
    ordering,
    published,
    recalling,
    waiting,
)
from analyses.sequences.remembering_shown import figures, notes, tables
from interp.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

QUESTION = "Who remembers longest: recurrent networks or transformers, and who has to wait?"
PUBLISHED_LENGTH, PUBLISHED_ROWS = 100, 32_000


@dataclass(frozen=True)
class Config:
    """`adding_length`, `recall_length`: positions of a row. `adding_rows` (each met 8 times), `recall_rows` (each met
    `recall_epochs` times), `order_rows`: rows to learn from. `error_rate`: the share of wrong verdicts aimed at among
    the decided ones.

    What is published of the adding problem is of 100 positions; it is compared from 32,000 rows on.
    """

    seeds: int = 8
    adding_length: int = PUBLISHED_LENGTH
    adding_rows: int = PUBLISHED_ROWS
    recall_length: int = 20
    recall_rows: int = 20_000
    recall_epochs: int = 15
    order_rows: int = 8_000
    error_rate: float = 0.05

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise Refused(f"seeds is 2 or more: one network has no interval; given {self.seeds}.")
        if self.recall_length < LONGEST:
            raise Refused(f"recall_length is at least {LONGEST}; given {self.recall_length}.")

    @staticmethod
    def quick() -> Config:
        """Shorter rows, and few of them: enough to add short rows, too few to learn to recall."""
        return Config(
            adding_length=20,
            adding_rows=1_600,
            recall_length=16,
            recall_rows=1_000,
            recall_epochs=4,
            order_rows=1_000,
        )

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


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks of every part, measures, judges."""
    begun = time.monotonic()
    data = datasets(config)
    found = measure(config, data)
    evidence = [
        *gradients(found),
        *adding(found, config.adding_length),
        *recalling(found),
        *waiting(found),
        *ordering(found),
    ]
    if config.is_published_setting:
        evidence += published(found)
    return interp.Report(
        question=QUESTION,
        analysis="who_remembers_longest",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate),
        tables=tables(found)
        | {"differences": interp.differences_table(evidence, error_rate=config.error_rate)},
        figures=figures(found),
        notes=notes(config, found),
        provenance=interp.gather(
            seeds=range(config.seeds),
            data={name: one.digest for name, one in data.items()},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def datasets(config: Config) -> dict[str, models.Dataset]:
    """The three tasks."""
    return {
        "adding": models.adding_problem(config.adding_length, splits=(config.adding_rows, 1_000, 2_000)),
        "recall": models.key_value_recall(
            config.recall_length, pairs=2, keys=4, values=4, splits=(config.recall_rows, 1_000, 2_000)
        ),
        "order": models.which_came_first(splits=(config.order_rows, 1, 1_000)),
    }


def measure(config: Config, data: Mapping[str, models.Dataset]) -> Found:
    """Trains (or finds) every network."""
    small = {}
    if config.is_published_setting:
        small = {cell: models.RecurrentConfig(UNITS, 1, cell=cell, features=2) for cell in ("rnn", "lstm")}
    networks = recall_networks(data["recall"])
    equal, seeds, epochs = adding_networks(config.adding_length), config.seeds, config.recall_epochs
    adding = {kind: added(one, data["adding"], seeds=seeds) for kind, one in equal.items()}
    return Found(
        adding,
        {kind: added(one, data["adding"], seeds=seeds) for kind, one in small.items()},
        {kind: recalled(one, data["recall"], seeds=seeds, epochs=epochs) for kind, one in networks.items()},
        {kind: reached(one.model, one.data) for kind, one in adding.items()},
        {kind: chains(one, seeds=seeds) for kind, one in networks.items()},
        {kind: ordered(kind, data["order"], seeds=seeds) for kind in KINDS},
    )
