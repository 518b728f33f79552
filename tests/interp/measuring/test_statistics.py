"""Intervals and tests over seeds, against answers worked out by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from interp.measuring.statistics import (
    benjamini_hochberg,
    disjoint_shares,
    measured,
    sign_flip_p,
    wilson_interval,
)
from interp.refusals import Refused


def test_the_estimate_is_the_mean_and_the_values_are_kept_in_order():
    result = measured([0.9, 0.8, 1.0])
    assert result.values == (0.9, 0.8, 1.0)
    assert result.estimate == pytest.approx(0.9)
    assert result.interval[0] < 0.9 < result.interval[1]


def test_a_skewed_sample_gets_a_skewed_interval():
    low, high = measured([1.0, 1.0, 1.1, 1.2, 5.0]).interval
    assert high - 1.86 > 2 * (1.86 - low)


def test_equal_values_give_the_point():
    assert measured([0.1] * 7).interval == (0.1, 0.1)


def test_values_that_differ_by_rounding_only_give_a_narrow_interval_and_no_nan():
    low, high = measured([0.3, 0.1 + 0.2, 0.3]).interval
    assert 0.3 <= low <= high <= 0.1 + 0.2


@pytest.mark.parametrize(
    "values", [[0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1e-300, 0.0], [-1e12, 1e12, 3.0], [0.0, 1e-120, 3e-120]]
)
def test_extreme_samples_give_finite_ordered_intervals_around_the_mean(values):
    result = measured(values)
    assert np.isfinite(result.interval).all()
    assert min(values) <= result.interval[0] <= result.estimate <= result.interval[1] <= max(values)


def test_one_seed_has_no_interval_and_is_refused_with_the_figure():
    with pytest.raises(Refused, match="at least 2 values, 1 given"):
        measured([0.5])


def test_nan_seeds_are_counted_in_the_refusal():
    with pytest.raises(Refused, match="1 of 3 values are NaN"):
        measured([0.5, float("nan"), 0.6])


def test_a_confidence_in_percent_is_refused():
    with pytest.raises(Refused, match="between 0 and 1"):
        measured([0.5, 0.6], confidence=95.0)


def test_the_same_seed_gives_the_same_interval_and_more_confidence_a_wider_one():
    values = np.random.default_rng(0).normal(size=10)
    assert measured(values, seed=3) == measured(values, seed=3)
    narrow, wide = measured(values, confidence=0.8).interval, measured(values, confidence=0.99).interval
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_intervals_cover_the_true_mean_about_as_often_as_documented():
    draws = np.random.default_rng(0).normal(size=(200, 16))
    hits = sum(low <= 0 <= high for low, high in (measured(draw).interval for draw in draws))
    low, high = stats.binomtest(hits, 200).proportion_ci(0.999)
    assert low <= 0.92 <= high


def test_wilson_by_hand():
    # 8 of 10: centre (8 + z²/2) / (10 + z²) with z = 1.959964
    z = 1.959964
    centre = (8 + z**2 / 2) / (10 + z**2)
    half = z / (10 + z**2) * (8 * 2 / 10 + z**2 / 4) ** 0.5
    assert wilson_interval(8, 10) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_wilson_is_not_empty_where_nothing_or_everything_succeeded():
    assert wilson_interval(0, 20)[0] == 0.0
    assert wilson_interval(0, 20)[1] == pytest.approx(0.1611, abs=1e-4)
    assert wilson_interval(20, 20)[1] == 1.0


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(Refused, match=f"{successes} successes in {n} trials"):
        wilson_interval(successes, n)


def test_sign_flip_by_hand():
    # of the 8 sign patterns of (3, 2, 1) the sums are ±6 ±4 ±2 0 0: one is 6, two are at least 4
    assert sign_flip_p([3.0, 2.0, 1.0]) == 1 / 8
    assert sign_flip_p([3.0, 2.0, -1.0]) == 2 / 8
    assert sign_flip_p([3.0, 2.0, 1.0], alternative="two-sided") == 2 / 8
    assert sign_flip_p([3.0, 2.0, 1.0], alternative="less") == 1.0


def test_no_difference_at_all_is_no_evidence():
    assert sign_flip_p([0.0] * 5) == 1.0


def test_ties_are_counted_although_sums_round():
    assert sign_flip_p([0.1, 0.2, -0.3, 0.3]) == pytest.approx(sign_flip_p([1.0, 2.0, -3.0, 3.0]))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(-9, 9), min_size=2, max_size=8), st.sampled_from(["greater", "less", "two-sided"])
)
def test_sign_flips_agree_with_scipy(differences, alternative):
    def total(sample, axis):
        return np.sum(sample, axis=axis)

    theirs = stats.permutation_test(
        (np.array(differences, float),),
        total,
        permutation_type="samples",
        alternative=alternative,
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    # scipy's two-sided p doubles the smaller tail, ours counts both: the same, since the null is symmetric
    assert sign_flip_p([float(d) for d in differences], alternative=alternative) == pytest.approx(theirs)


def test_many_seeds_are_sampled_agree_with_the_exact_tail_and_never_give_zero():
    weak = [1.0] * 13 + [-1.0] * 7
    exact = stats.binom.sf(12, 20, 0.5)
    assert sign_flip_p(weak) == pytest.approx(exact, rel=0.05)
    assert 0 < sign_flip_p([1.0] * 40) < 1e-4


def test_sign_flips_keep_their_error_rate_when_nothing_is_there():
    draws = np.random.default_rng(1).normal(size=(400, 8))
    false_alarms = sum(sign_flip_p(draw) <= 0.05 for draw in draws)
    assert stats.binomtest(false_alarms, 400, 0.05, alternative="greater").pvalue > 0.01


def test_a_mistyped_alternative_names_the_nearest():
    with pytest.raises(Refused, match="greater"):
        sign_flip_p([1.0], alternative="grater")


def test_an_empty_list_of_differences_is_refused():
    with pytest.raises(Refused, match="at least one"):
        sign_flip_p([])


def test_benjamini_hochberg_by_hand():
    # sorted 0.01 0.03 0.04: 0.01·3/1, 0.03·3/2 → 0.045 capped by 0.04·3/3
    assert benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert benjamini_hochberg([]) == []


@pytest.mark.parametrize("bad", [1.2, -0.1, float("nan")])
def test_what_is_no_p_value_is_refused(bad):
    with pytest.raises(Refused, match="p-value"):
        benjamini_hochberg([0.5, bad])


def test_shares_are_disjoint_equal_in_size_and_leave_nobody_out() -> None:
    shares = disjoint_shares(3, 11)
    assert shares.sum(axis=0).tolist() == [1] * 11
    assert sorted(shares.sum(axis=1).tolist()) == [3, 4, 4]
    assert (disjoint_shares(3, 11) == shares).all()
    assert (disjoint_shares(3, 11, seed=1) != shares).any()
    with pytest.raises(Refused, match="2 examples cannot be shared out to 3 members"):
        disjoint_shares(3, 2)
