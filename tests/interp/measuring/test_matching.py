"""Matched pairs against every pairing there is, and standardised differences against scipy."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from torch import Tensor

from interp.measuring.matching import matched_pairs, pooled_deviation, standardised_difference

VALUES = st.integers(-8, 8).map(float)
NAN, INF = float("nan"), float("inf")


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def best_by_trying_all(cases: Tensor, controls: Tensor, widest: float) -> tuple[int, float]:
    """The most pairs within the caliper, and the least sum of distances with as many, over all pairings."""
    swapped = len(cases) > len(controls)
    few, many = (controls, cases) if swapped else (cases, controls)
    found = []
    for chosen in permutations(range(len(many)), len(few)):
        distances = [abs(float(few[i] - many[j])) for i, j in enumerate(chosen)]
        near = [distance for distance in distances if distance <= widest]
        found.append((-len(near), sum(near)))
    count, total = min(found)
    return -count, total


def test_each_case_finds_the_control_of_its_value() -> None:
    pairs = matched_pairs(tensor(1, 2, 3), tensor(3.01, 50, 1.01, 2.01), caliper=1.0)
    assert pairs.tolist() == [[0, 2], [1, 3], [2, 0]]


def test_the_caliper_is_in_pooled_standard_deviations() -> None:
    cases, controls = tensor(0, 2), tensor(0.5, 2.5)  # both of standard deviation 1
    assert pooled_deviation(cases, controls) == 1
    assert matched_pairs(cases, controls, caliper=0.5).tolist() == [[0, 0], [1, 1]]
    assert len(matched_pairs(cases, controls, caliper=0.49)) == 0


def test_the_default_caliper_is_a_fifth() -> None:
    spread = tensor(0, 2)
    assert len(matched_pairs(spread, spread + 0.199)) == 2
    assert len(matched_pairs(spread, spread + 0.201)) == 0


def test_a_shift_costs_the_pairs_at_the_ends_and_not_all() -> None:
    """0 to 19 against 10 to 29: pairing in order would leave all 10 apart, and ten fit exactly."""
    cases = torch.arange(20.0)
    pairs = matched_pairs(cases, cases + 10)
    assert len(pairs) >= 10
    assert bool(((cases[pairs[:, 0]] - cases[pairs[:, 1]] - 10).abs() <= 0.2 * 5.77).all())


@given(st.lists(VALUES, min_size=1, max_size=5), st.lists(VALUES, min_size=1, max_size=5))
def test_no_other_pairing_has_more_pairs_or_smaller_distances(left: list[float], right: list[float]) -> None:
    cases, controls = tensor(*left), tensor(*right)
    widest = 0.6 * pooled_deviation(cases, controls)
    pairs = matched_pairs(cases, controls, caliper=0.6)
    distances = (cases[pairs[:, 0]] - controls[pairs[:, 1]]).abs()
    assert (len(pairs), float(distances.sum())) == pytest.approx(
        best_by_trying_all(cases, controls, widest), abs=1e-9
    )
    assert bool((distances <= widest).all())


@given(st.lists(VALUES, min_size=1, max_size=12), st.lists(VALUES, min_size=1, max_size=12))
def test_nobody_is_in_two_pairs(left: list[float], right: list[float]) -> None:
    pairs = matched_pairs(tensor(*left), tensor(*right), caliper=2.0)
    assert all(len(set(side)) == len(side) for side in pairs.T.tolist())


def test_what_is_not_finite_belongs_to_no_pair() -> None:
    assert matched_pairs(tensor(NAN, 1, INF), tensor(1, NAN, -INF)).tolist() == [[1, 0]]
    assert matched_pairs(tensor(NAN, NAN), tensor(1, 2)).shape == (0, 2)
    assert matched_pairs(tensor(), tensor(1)).shape == (0, 2)


def test_equal_values_pair_though_they_have_no_spread() -> None:
    assert len(matched_pairs(tensor(2, 2, 2), tensor(2, 2))) == 2


def test_a_standardised_difference_by_hand() -> None:
    assert float(standardised_difference(tensor(1, 2, 3))) == pytest.approx(2.0)
    assert standardised_difference(torch.stack([tensor(1, 2, 3), -tensor(1, 2, 3)])).tolist() == [2, -2]


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30).filter(lambda values: np.std(values) > 1e-3))
def test_it_is_students_t_over_the_root_of_the_number(values: list[float]) -> None:
    expected = ttest_1samp(values, 0.0).statistic / np.sqrt(len(values))
    assert float(standardised_difference(tensor(*values))) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e12])
def test_it_has_no_unit(factor: float) -> None:
    values = tensor(0.5, -1.0, 4.0, 2.0)
    assert float(standardised_difference(values * factor)) == pytest.approx(
        float(standardised_difference(values))
    )


def test_differences_that_are_all_the_same_have_no_deviation() -> None:
    same = torch.stack([tensor(0, 0, 0), tensor(0.1, 0.1, 0.1), tensor(-7, -7, -7)])
    assert standardised_difference(same).tolist() == [0, INF, -INF]
    assert standardised_difference(same.float()).tolist() == [0, INF, -INF]


def test_one_nan_makes_its_own_row_nan() -> None:
    found = standardised_difference(torch.stack([tensor(1, NAN, 3), tensor(1, 2, 3)]))
    assert found.isnan().tolist() == [True, False]


def test_fewer_than_two_pairs_say_nothing() -> None:
    assert standardised_difference(torch.zeros(3, 1)).isnan().all()
    assert standardised_difference(torch.zeros(3, 0)).shape == (3,)
