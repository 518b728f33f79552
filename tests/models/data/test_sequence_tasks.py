"""Sequence tasks: each row is what it says, nothing but the task gives the answer, the same seed the same rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.loading import load_data
from models.data.modular import modular_addition
from models.data.recall import induction, induction_in_runs, key_value_recall
from models.data.sequences import adding_problem, copy_task
from models.data.validation import NOT_ASKED
from models.refusals import Refused

SMALL = (300, 20, 30)
TASKS: dict[str, Callable[[int], Dataset]] = {
    "adding": lambda seed: adding_problem(20, splits=SMALL, seed=seed),
    "copy": lambda seed: copy_task(splits=SMALL, seed=seed),
    "recall": lambda seed: key_value_recall(20, splits=SMALL, seed=seed),
    "induction": lambda seed: induction(splits=SMALL, seed=seed),
    "induction in runs": lambda seed: induction_in_runs(splits=SMALL, seed=seed),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_gives_the_same_rows_and_another_seed_others(task: str) -> None:
    first, again, other = (TASKS[task](seed) for seed in (0, 0, 1))
    assert first.digest == again.digest
    assert not torch.equal(first.inputs, other.inputs)
    assert tuple(first.split_counts().values()) == SMALL


@pytest.mark.parametrize("name", ["adding", "copy", "recall", "induction", "modular", "places"])
def test_what_is_loaded_has_the_shape_the_catalogue_tells(name: str) -> None:
    data, entry = load_data(name), CATALOGUE[name]
    assert tuple(data.split_counts().values()) == entry.splits
    assert (data.inputs.shape[1], data.classes, data.reads) == (entry.positions, entry.classes, entry.reads)
    assert data.name == name


def test_the_sum_of_the_two_marked_numbers_is_asked_for() -> None:
    data = adding_problem(21, splits=SMALL)
    values, marks = data.inputs.unbind(-1)
    torch.testing.assert_close((values * marks).sum(dim=1, keepdim=True), data.targets)
    assert (marks.sum(dim=1) == 2).all()
    assert values.abs().max() < 1
    rows = np.arange(len(data))
    for column, half in (("first_pos", range(10)), ("second_pos", range(10, 21))):
        place = data.examples[column].to_numpy()
        assert (marks.numpy()[rows, place] == 1).all()
        assert set(place) == set(half)
    assert (data.examples["lag"] == 20 - data.examples["first_pos"]).all()


def test_always_answering_nothing_has_an_error_of_two_thirds() -> None:
    targets = adding_problem(10, splits=(20_000, 1, 1)).targets
    assert targets.square().mean().item() == pytest.approx(2 / 3, abs=0.02)


def test_symbols_are_copied_in_their_order_after_the_delay() -> None:
    data = copy_task(symbols=4, copied=3, delay=5, splits=SMALL)
    assert data.tokenizer is not None
    words = data.tokenizer.tokens(data.inputs[0].tolist())
    assert words[3:] == ["blank"] * 5 + ["go"] + ["blank"] * 2
    assert (data.targets[:, :8] == NOT_ASKED).all()
    assert torch.equal(data.targets[:, 8:], data.inputs[:, :3])
    assert set(data.inputs[:, :3].flatten().tolist()) == {0, 1, 2, 3}


def test_the_value_of_the_key_asked_for_is_the_answer() -> None:
    data = key_value_recall(24, pairs=3, splits=SMALL)
    for row, target, (_, example) in zip(data.inputs, data.targets, data.examples.iterrows(), strict=True):
        assert row[-2] == 17
        at = int((row[:-2] == row[-1]).nonzero())
        assert at == example["key_pos"]
        assert row[at + 1] == target
        assert example["lag"] == 23 - (at + 1)
        assert ((row[:-2] < 8).sum(), (row[:-2] == 16).sum()) == (3, 16)


def test_a_key_and_its_value_may_be_one_token() -> None:
    data = key_value_recall(9, pairs=2, keys=3, values=2, joined=True, splits=SMALL)
    assert data.tokenizer is not None
    for row, target, lag in zip(
        data.inputs.tolist(), data.targets.tolist(), data.examples["lag"], strict=True
    ):
        words = data.tokenizer.tokens(row)
        assert words.count("noise") == 5
        assert words[-2] == "ask"
        assert words[8 - lag] == words[-1] + data.tokenizer.tokens([target])[0]
    assert set(data.examples["lag"]) == set(range(2, 9))


def test_places_do_not_tell_which_pair_is_asked_for() -> None:
    """Of the pairs whose key stands at a place, one in three is asked for, wherever the place is."""
    data = key_value_recall(20, pairs=3, splits=(20_000, 1, 1))
    there = (data.inputs[:, :-2] < 8).sum(dim=0).numpy()
    asked = np.bincount(data.examples["key_pos"], minlength=18)
    used = there > 0
    assert used[:17].all()
    error = (asked[used] / there[used] - 1 / 3) / np.sqrt(2 / 9 / there[used])
    assert np.abs(error).max() < 4


def test_every_choice_of_places_is_as_likely_as_another() -> None:
    """Two pairs in five positions: (0, 2), (0, 3), (1, 3), a third each."""
    data = key_value_recall(7, pairs=2, splits=(9_000, 1, 1))
    places = [tuple(row.nonzero().flatten().tolist()) for row in data.inputs[:, :5] < 8]
    found = {place: places.count(place) for place in set(places)}
    assert set(found) == {(0, 2), (0, 3), (1, 3)}
    assert all(abs(count - 3_000) < 200 for count in found.values())


def test_what_came_next_the_last_time_is_asked_for_where_a_token_returns() -> None:
    data = induction(16, vocabulary=10, periods=(3, 6), splits=SMALL)
    for row, targets, period in zip(data.inputs, data.targets, data.examples["period"], strict=True):
        assert len(set(row[:period].tolist())) == period
        for pos in range(16):
            before = (row[:pos] == row[pos]).nonzero().flatten().tolist()
            expected = NOT_ASKED if not before else int(row[before[-1] + 1])
            assert targets[pos] == expected
    assert set(data.examples["period"]) == {3, 4, 5, 6}


def test_no_distance_back_gives_the_answer_in_every_row() -> None:
    data = induction(splits=(2_000, 1, 1))
    asked = data.targets != NOT_ASKED
    for back in range(16):
        shifted = data.inputs.roll(back, dims=1)
        assert (
            (shifted == data.targets) & asked
        ).sum() / asked.sum() < 0.3  # a block of 6 or 12 returns after 12


def test_runs_of_a_block_are_asked_inside_and_their_answer_stands_in_the_block() -> None:
    data = induction_in_runs(24, vocabulary=12, periods=(4, 8), runs=(2, 3), splits=SMALL)
    for row, targets, period in zip(data.inputs, data.targets, data.examples["period"], strict=True):
        block, after = row[:period].tolist(), row[period:].tolist()
        assert len(set(block)) == period
        assert after[0] == 12
        runs = [run.split() for run in " ".join(map(str, after)).split("12")[1:]]
        places = [[block.index(int(token)) for token in run] for run in runs]
        assert all(run == list(range(run[0], run[0] + len(run))) for run in places if run)
        assert all(2 <= len(run) <= 3 for run in places[:-1])  # the row's end cuts the last run off
        assert (targets[:period] == NOT_ASKED).all()
        for pos in range(period, 23):
            inside = row[pos] != 12 and row[pos + 1] != 12
            assert targets[pos] == (row[pos + 1] if inside else NOT_ASKED)
    assert set(data.examples["period"]) == {4, 5, 6, 7, 8}


def not_seen_for_longest(data: Dataset) -> float:
    """How often the right answer is the token, of those seen, whose last place lies furthest back."""
    right = asked = 0
    for row, targets in zip(data.inputs.tolist(), data.targets.tolist(), strict=True):
        for pos in (pos for pos, target in enumerate(targets) if target != NOT_ASKED):
            last_seen = {token: place for place, token in enumerate(row[: pos + 1])}
            right += min(last_seen, key=last_seen.__getitem__) == targets[pos]
            asked += 1
    return right / asked


def test_counting_answers_where_a_block_is_repeated_and_not_where_runs_of_it_are() -> None:
    assert not_seen_for_longest(induction(24, splits=(200, 1, 1))) == 1.0
    assert not_seen_for_longest(induction_in_runs(24, splits=(200, 1, 1))) < 0.4


def test_every_addition_is_there_once() -> None:
    data = modular_addition(7)
    assert sorted(data.inputs[:, :2].tolist()) == [[a, b] for a in range(7) for b in range(7)]
    assert torch.equal(data.targets, (data.inputs[:, 0] + data.inputs[:, 1]) % 7)
    assert data.tokenizer is not None
    assert data.tokenizer.decode(data.inputs[-1]) == "6 6 ="
    assert tuple(data.split_counts().values()) == (15, 9, 25)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adding_problem(1), "length is a whole number from 2; given 1"),
        (lambda: copy_task(copied=0), "copied is a whole number from 1"),
        (lambda: key_value_recall(7, pairs=3), "3 pairs and the question take 8 positions; given length 7"),
        (lambda: key_value_recall(pairs=9, keys=8), "keys is a whole number from 9; given 8"),
        (lambda: induction(8, periods=(4, 8)), r"below the length \(8\)"),
        (lambda: induction_in_runs(8, periods=(4, 6)), r"leave 3 positions of the length \(8\)"),
        (lambda: induction_in_runs(runs=(1, 3)), "runs are of 2 tokens or more"),
        (lambda: modular_addition(1), "modulus is a whole number from 2"),
    ],
)
def test_a_task_that_cannot_be_set_is_refused(call: Callable[[], Dataset], message: str) -> None:
    with pytest.raises(Refused, match=message):
        call()
