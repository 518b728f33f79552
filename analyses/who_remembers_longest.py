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
from dataclasses import dataclass

import interp
from analyses.sequences.measured import Setting, datasets, measure
from analyses.sequences.remembering_judged import (
    adding,
    gradients,
    ordering,
    published,
    recalling,
    waiting,
)
from analyses.sequences.remembering_shown import figures, notes, tables

QUESTION = "Who remembers longest: recurrent networks or transformers, and who has to wait?"


@dataclass(frozen=True)
class Config(Setting):
    """`adding_length`, `recall_length`: positions of a row. `adding_rows` (each met 8 times), `recall_rows` (each met
    `recall_epochs` times), `order_rows`: rows to learn from. `error_rate`: the share of wrong verdicts aimed at among
    the decided ones.

    What is published of the adding problem is of 100 positions; it is compared from 32,000 rows on.
    """

    error_rate: float = 0.05

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
