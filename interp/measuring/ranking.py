"""How well scores tell the right places from the others.

- AUROC: the chance that a right place scores above a wrong one, ties counting half; 0.5 is what luck reaches
  (Hanley and McNeil 1982, doi.org/10.1148/radiology.143.1.7063747).
- top-1: whether the highest scores are the right places; with k right ones, which share of them is among the k highest.
  A tie at the k-th place counts by the chance of drawing rightly from it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.stats import rankdata

from interp.refusals import Refused


def auroc(scores: Float[np.ndarray, " place"], right: Bool[np.ndarray, " place"]) -> float:
    """Area under the ROC curve. Raises `Refused` for NaN, and where all places are right or none is."""
    scores, right = _checked(scores, right)
    ranks, hits = rankdata(scores), int(right.sum())
    return float((ranks[right].sum() - hits * (hits + 1) / 2) / (hits * (len(right) - hits)))


def top(scores: Float[np.ndarray, " place"], right: Bool[np.ndarray, " place"]) -> float:
    """The share of the k right places among the k highest scores. Raises `Refused` as `auroc` does."""
    scores, right = _checked(scores, right)
    hits = int(right.sum())
    last = np.sort(scores)[-hits]
    above, at = scores > last, scores == last
    drawn = (hits - int(above.sum())) / int(at.sum())
    return float(((above & right).sum() + drawn * (at & right).sum()) / hits)


def _checked(
    scores: Float[np.ndarray, " place"], right: Bool[np.ndarray, " place"]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scores, right = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    if scores.shape != right.shape or not np.isfinite(scores).all() or not 0 < right.sum() < len(right):
        raise Refused(
            f"Ranking takes a finite score for every place, some of them right and some wrong; given scores {scores} "
            f"and right places {right}."
        )
    return scores, right
