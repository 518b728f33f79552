"""What the comparing rules rest on, laid open: each value minus each of its controls, pair by pair.

The intervals of a value and of its control may overlap while the value is larger in every seed, because seeds
differ in both alike; and a verdict may be undecided although they lie apart, because of the correction. A
reader who sees the differences can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.measuring.statistics import measured
from interp.reporting.claims import Evidence

COLUMNS = ("statement", "measure", "control", "difference", "low", "high", "seeds", "seeds_above")


def differences_table(evidence: Sequence[Evidence], *, error_rate: float = 0.05) -> pd.DataFrame:
    """One row for each statement and control that a rule with a test compares; for a report's tables.

    `difference` is the mean over seeds of value minus control in the measure's unit, `low` and `high` its
    interval of confidence 1 - `error_rate`, `seeds_above` in how many of `seeds` the value is the larger.
    """
    rows = [row for item in evidence if item.rule.tested for row in _rows(item, confidence=1 - error_rate)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs["caption"] = "Value minus control, seed by seed: what the verdicts rest on"
    return table


def _rows(item: Evidence, *, confidence: float) -> Iterator[tuple[Any, ...]]:
    for name, control in item.controls.items():
        difference = np.subtract(item.values, control)
        over_seeds = measured(difference, confidence=confidence)
        above = int((difference > 0).sum())
        figures = (over_seeds.estimate, *over_seeds.interval, len(difference), above)
        yield (item.statement, item.measure, name, *figures)
