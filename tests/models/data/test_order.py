"""The task that order alone decides: the first is asked for, and nothing but order tells which it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.data.order import which_came_first
from models.refusals import Refused

SMALL = (300, 20, 30)


def test_the_symbol_that_came_first_is_asked_for() -> None:
    data = which_came_first(9, symbols=4, splits=SMALL)
    for row, target, (_, example) in zip(data.inputs, data.targets, data.examples.iterrows(), strict=True):
        there = (row < 4).nonzero().flatten().tolist()
        assert there == [example["first_pos"], example["second_pos"]]
        assert row[there[0]] == target != row[there[1]]
        assert row[-1] == 5
        assert (row == 4).sum() == 6


def test_the_symbols_alone_do_not_tell() -> None:
    data = which_came_first(9, symbols=3, splits=(20_000, 1, 1))
    pairs = [tuple(sorted(row[row < 3].tolist())) for row in data.inputs]
    for pair in {(0, 1), (0, 2), (1, 2)}:
        first = [int(target) for target, there in zip(data.targets, pairs, strict=True) if there == pair]
        assert abs(np.mean(np.array(first) == pair[0]) - 0.5) < 0.03
        assert abs(len(first) / len(data) - 1 / 3) < 0.02


def test_every_choice_of_places_is_as_likely_as_another() -> None:
    data = which_came_first(4, splits=(9_000, 1, 1))
    places = data.examples.groupby(["first_pos", "second_pos"]).size()
    assert set(places.index) == {(0, 1), (0, 2), (1, 2)}
    assert (abs(places - 3_000) < 200).all()


def test_a_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again, other = (which_came_first(splits=SMALL, seed=seed) for seed in (0, 0, 1))
    assert first.digest == again.digest
    assert not torch.equal(first.inputs, other.inputs)


def test_a_task_that_cannot_be_set_is_refused() -> None:
    with pytest.raises(Refused, match="take 3 positions; given length 2"):
        which_came_first(2)
    with pytest.raises(Refused, match="symbols is a whole number from 2"):
        which_came_first(symbols=1)
