"""Methods held against the truth: where each ranks the parts that are known to hold the facts.

For each method, planting and seed: AUROC and top-1 of the right parts among all that the method can see (NaN: cannot
see). A method that cannot see a right part, or nothing else, has no figure there: NaN. Where nothing was planted, each
part is taken for the right one in turn: a method without a leaning gives 0.5 for every part.

A method by pairs also says how surely it points: over n pairs a standardised difference d has t = d sqrt(n), and a part
is pointed at when its one-sided p, times the number of parts (Bonferroni), is below a rate. That says whether the facts
differ from others at a part, not where they are: what was planted into one part is felt in those before and after, and
with a real planting drift points at four of six. So rank parts by their score; pointing is for asking whether a method
stays silent where nothing was planted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import t as student

from interp.locating.localization.methods import METHODS
from interp.locating.localization.scores import Paired
from interp.measuring.ranking import auroc, top
from interp.refusals import Refused

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
    scores: xr.DataArray | Float[np.ndarray, "seed part"],
    pairs: Sequence[int] | None = None,
    *,
    rate: float = 0.05,
) -> Bool[np.ndarray, "seed part"]:
    """Which parts a method by pairs points at, each seed by itself: whether facts stand out there, not where they are.

    `scores`: of one method, as `localize(...).sel(by=name)` gives them (`[seed, component]`, their attribute `pairs`
    says how many pairs each seed had), or bare numbers with `pairs [seed]`. Often several parts are pointed at though
    one holds the facts: rank parts by score, do not threshold.

    Raises `Refused` for scores of several methods, of a method of `METHODS` that is not by pairs (its numbers are no
    standardised differences, and "random" would point somewhere in every third case), and for no or other numbers of
    pairs. Of bare numbers, and of methods of one's own, nothing tells: they have to be by pairs.
    """
    values, given = _of_one_method(scores)
    counts = np.atleast_1d(np.asarray(given if pairs is None else pairs, dtype=np.float64))
    if counts.shape != values.shape[:1]:
        raise Refused(
            f"Scores of {len(values)} seeds came with {counts.size} numbers of pairs: give `pairs`, one for each seed."
        )
    count = counts[:, None]
    p = student.sf(values * np.sqrt(count), df=count - 1) * (~np.isnan(values)).sum(-1, keepdims=True)
    pointed: NDArray[np.bool_] = np.nan_to_num(p, nan=1.0) < rate
    return pointed


def _of_one_method(
    scores: xr.DataArray | NDArray[np.floating],
) -> tuple[NDArray[np.floating], Sequence[int] | int]:
    """Numbers `[seed, part]`, and how many pairs they say they rest on."""
    if not isinstance(scores, xr.DataArray):
        return scores, ()
    if set(scores.dims) - {"seed"} != {"component"}:
        raise Refused(
            f"Pointing is asked of one method; given are scores {dict(scores.sizes)}: choose one with .sel(by=name)."
        )
    name = str(scores["by"].item()) if "by" in scores.coords else ""
    if name in METHODS and not isinstance(METHODS[name], Paired):
        by_pairs = [known for known, method in METHODS.items() if isinstance(method, Paired)]
        raise Refused(
            f"{name!r} does not compare facts by pairs, so its scores say nothing of how surely it points. By pairs: "
            f"{', '.join(by_pairs)}."
        )
    both = scores if "seed" in scores.dims else scores.expand_dims("seed")
    return both.transpose("seed", "component").to_numpy(), scores.attrs.get("pairs", ())
