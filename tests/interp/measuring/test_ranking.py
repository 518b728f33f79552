"""AUROC against scikit-learn, the top places against drawing among ties again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from interp.measuring.ranking import auroc, top
from interp.refusals import Refused

Places = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@st.composite
def places(draw: st.DrawFn) -> Places:
    """Scores with many ties, and which places are right: some, not all."""
    scores = draw(st.lists(st.integers(0, 4).map(float), min_size=2, max_size=9))
    right = draw(
        st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(
            lambda chosen: any(chosen) and not all(chosen)
        )
    )
    return np.array(scores), np.array(right)


def test_by_hand() -> None:
    right = np.array([True, False, False, False])
    assert auroc(np.array([3.0, 1.0, 2.0, 0.0]), right) == 1
    assert auroc(np.array([0.0, 1.0, 2.0, 3.0]), right) == 0
    assert auroc(np.array([1.5, 1.0, 2.0, 0.0]), right) == pytest.approx(2 / 3)
    assert auroc(np.array([1.0, 1.0, 2.0, 0.0]), right) == pytest.approx(1.5 / 3)


@given(places())
def test_auroc_is_scikit_learns(drawn: Places) -> None:
    assert auroc(*drawn) == pytest.approx(roc_auc_score(drawn[1], drawn[0]))


@given(places())
def test_auroc_is_the_chance_that_a_right_place_beats_a_wrong_one(drawn: Places) -> None:
    scores, right = drawn
    duels = [
        (a > b) + 0.5 * (a == b) for a in scores[right] for b in scores[~right]
    ]  # every right against every wrong
    assert auroc(scores, right) == pytest.approx(np.mean(duels))


@given(places())
def test_turning_the_scores_round_turns_auroc_round(drawn: Places) -> None:
    scores, right = drawn
    assert auroc(-scores, right) == pytest.approx(1 - auroc(scores, right))
    assert auroc(np.exp(scores), right) == pytest.approx(auroc(scores, right))


def test_top_by_hand() -> None:
    scores = np.array([3.0, 1.0, 2.0, 0.0])
    assert top(scores, np.array([True, False, False, False])) == 1
    assert top(scores, np.array([False, True, False, False])) == 0
    assert top(scores, np.array([True, True, False, False])) == 0.5
    assert top(scores, np.array([True, False, True, False])) == 1


def test_a_tie_counts_by_the_chance_of_drawing_rightly() -> None:
    right = np.array([True, False, False, False])
    assert top(np.zeros(4), right) == 0.25
    assert top(np.array([1.0, 1.0, 0.0, 0.0]), right) == 0.5
    assert top(np.array([2.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False])) == 0.75


@given(places())
def test_the_top_places_are_those_of_sorting_with_ties_broken_at_random(drawn: Places) -> None:
    scores, right = drawn
    count, draws = int(right.sum()), 400
    tie = np.random.default_rng(0).random((draws, len(scores)))
    first = np.lexsort((tie, np.broadcast_to(-scores, tie.shape)))[:, :count]
    assert top(scores, right) == pytest.approx(float(right[first].mean()), abs=0.13)


@pytest.mark.parametrize("measure", [auroc, top])
def test_what_cannot_be_ranked_is_refused(measure: Any) -> None:
    right = np.array([True, False])
    for scores, places_right in (
        (np.array([1.0, np.nan]), right),
        (np.array([1.0, np.inf]), right),
        (np.array([1.0, 2.0]), np.array([True, True])),
        (np.array([1.0, 2.0]), np.array([False, False])),
        (np.array([]), np.array([], dtype=bool)),
    ):
        with pytest.raises(Refused, match="finite score for every place"):
            measure(scores, places_right)
