"""What a training is given of its data: the test rows that no claim is about are few.

After each epoch the log of a training says how the networks do on the test split of what they are given. Analyses that
judge their networks themselves, afterwards and on all test rows, need no more of it than shows that the training goes
well; with thousands of rows the log takes as long as short trainings.
"""

from __future__ import annotations

import numpy as np

import models

LOGGED = 500


def for_training(data: models.Dataset, *, logged: int = LOGGED) -> models.Dataset:
    """The data with the first `logged` of its test rows only; all others as they are, in their order."""
    rows = np.arange(len(data))
    judging = rows[(data.examples["split"] == "test").to_numpy()]
    return data.subset(np.setdiff1d(rows, judging[logged:]))
