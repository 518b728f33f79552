"""Splits: exact sizes, whole groups, the same on every run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.splits import group_sample, split_at_random, split_in_order
from models.refusals import Refused


def test_a_split_in_order_names_blocks() -> None:
    assert split_in_order(2, 1, 1) == ["network", "network", "probe", "test"]


def test_a_random_split_has_the_shares_asked_for_and_depends_on_the_seed() -> None:
    names = split_at_random(100, seed=0, shares=(0.5, 0.3, 0.2))
    assert [names.count(name) for name in ("network", "probe", "test")] == [50, 30, 20]
    assert names == split_at_random(100, seed=0, shares=(0.5, 0.3, 0.2))
    assert names != split_at_random(100, seed=1, shares=(0.5, 0.3, 0.2))


def test_shares_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(Refused, match=r"add up to 1\.1"):
        split_at_random(100, seed=0, shares=(0.5, 0.5, 0.1))
    with pytest.raises(Refused, match=r"2 examples .*network 1, probe 1, test 0"):
        split_at_random(2, seed=0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(0, 5), st.data())
def test_whole_groups_add_up_exactly(sizes: list[int], seed: int, data: st.DataObject) -> None:
    members = data.draw(st.lists(st.sampled_from(range(len(sizes))), min_size=1, unique=True))
    total = sum(sizes[group] for group in members)  # so at least one answer exists
    groups = np.repeat(np.arange(len(sizes)), sizes)
    chosen = group_sample(groups, total, seed=seed)
    assert chosen.sum() == total
    assert set(groups[chosen]).isdisjoint(groups[~chosen])


def test_groups_that_cannot_add_up_are_refused_with_the_figures() -> None:
    with pytest.raises(Refused, match=r"3 groups \(4 to 6 examples each\) adds up to exactly 7"):
        group_sample(np.repeat([1, 2, 3], [4, 6, 6]), 7, seed=0)


def test_the_seed_chooses_the_groups_and_names_may_be_text() -> None:
    groups = np.repeat([f"writer {number}" for number in range(50)], 4)
    picks = [group_sample(groups, 40, seed=seed) for seed in (0, 0, 1)]
    assert (picks[0] == picks[1]).all()
    assert (picks[0] != picks[2]).any()


def test_equal_groups_are_all_equally_likely() -> None:
    groups = np.arange(20)
    times = sum(group_sample(groups, 5, seed=seed).astype(int) for seed in range(400))
    # each group is in 5 of 20: 100 of 400 expected, standard deviation 8.7
    assert times.min() > 60
    assert times.max() < 140
