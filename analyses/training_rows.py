"""What a training is given of its data: few of the test rows, as no claim is about what its log says of them.

After each epoch the log of a training says how the networks do on the test split of what they are given. Analyses that
judge their networks themselves, afterwards and on all test rows, need no more of it than shows that the training goes
well; with as many test rows as training rows the log takes half as long as the training.
"""

from __future__ import annotations

import numpy as np

import models

FOR_EACH_LOGGED = 8  # training rows


def for_training(data: models.Dataset) -> models.Dataset:
    """The data with the first test rows only, one for every 8 training rows; the other splits as they are."""
    counts, rows = data.split_counts(), np.arange(len(data))
    logged = max(1, counts["network"] // FOR_EACH_LOGGED)
    if logged >= counts["test"]:
        return data
    judging = rows[(data.examples["split"] == "test").to_numpy()]
    return data.subset(np.setdiff1d(rows, judging[logged:]))
