"""A question small enough to check by hand: for seed s the value is s + shift, the control s.

Used by the tests of the command line. It needs no network and no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

import interp

QUESTION = "Is the mean above zero?"


@dataclass(frozen=True)
class Config:
    """`shift`: what is added to every seed's value."""

    data: Literal["none", "nothing"] = "none"
    seeds: int = 8
    shift: float = 1.0
    drop_table: bool = False

    @staticmethod
    def quick() -> Config:
        """Fewer seeds."""
        return Config(seeds=6)


def answer(config: Config) -> interp.Report:
    """One claim."""
    control = [float(seed) for seed in range(config.seeds)]
    values = [seed + config.shift for seed in control]
    evidence = interp.Evidence(
        "The shift is above zero.",
        "by hand",
        "the value",
        values,
        interp.ExceedsControls(),
        {"unshifted": control},
    )
    tables = {} if config.drop_table else {"values": pd.DataFrame({"seed": control, "value": values})}
    return interp.Report(
        question=QUESTION,
        analysis="is_the_mean_above_zero",
        config=config,
        claims=interp.judge([evidence]),
        tables=tables,
        notes=["Nothing was measured."],
        provenance=interp.gather(seeds=range(config.seeds), data={"none": "0"}, run_time_seconds=0.0),
    )
