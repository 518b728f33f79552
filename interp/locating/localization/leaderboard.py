"""Methods held against the truth: where each ranks the parts that are known to hold the facts.

For each method, planting and seed: AUROC and top-1 of the right parts among all that the method can see (NaN: cannot
see). A method that cannot see a right part, or nothing else, has no figure there: NaN. Where nothing was planted, each
part is taken for the right one in turn: a method without a leaning gives 0.5 for every part.

A method by pairs also says how surely it points: over n pairs a standardised difference d has t = d sqrt(n), and a part
is pointed at when its one-sided p, times the number of parts (Bonferroni), is below a rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import t as student

from interp.measuring.ranking import auroc, top

COLUMNS = ["method", "tier", "component", "seed", "auroc", "top1"]


def standings(scores: xr.DataArray, right: Sequence[str], *, tier: str) -> pd.DataFrame:
    """A row for each method and seed: `method, tier, component, seed, auroc, top1`.

    `scores [by, seed, component]` as `localize` gives them of a population; `right` are the parts that hold the facts.
    Without any, each part has a row as if it were the one.
    """
    taken = [tuple(right)] if right else [(str(name),) for name in scores["component"].to_numpy()]
    rows = [
        (str(method), tier, " + ".join(one), int(seed), *_judged(scores.sel(by=method, seed=seed), one))
        for method in scores["by"].to_numpy()
        for seed in scores["seed"].to_numpy()
        for one in taken
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _judged(scores: xr.DataArray, right: Sequence[str]) -> tuple[float, float]:
    values = scores.to_numpy()
    holds = np.isin(scores["component"].to_numpy().astype(str), right)
    seen = ~np.isnan(values)
    if not seen[holds].all() or not (seen & ~holds).any():
        return float("nan"), float("nan")
    return auroc(values[seen], holds[seen]), top(values[seen], holds[seen])


def points_at(
    scores: Float[np.ndarray, "seed part"], pairs: Sequence[int], *, rate: float = 0.05
) -> Bool[np.ndarray, "seed part"]:
    """Which parts a method by pairs points at, each seed by itself; `pairs [seed]` as in the scores' attributes."""
    count = np.asarray(pairs, dtype=np.float64)[:, None]
    p = student.sf(scores * np.sqrt(count), df=count - 1) * (~np.isnan(scores)).sum(-1, keepdims=True)
    pointed: NDArray[np.bool_] = np.nan_to_num(p, nan=1.0) < rate
    return pointed
