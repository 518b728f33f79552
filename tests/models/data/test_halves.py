"""What was trained, parted by subject."""

from __future__ import annotations

import pytest

from models.data.halves import halves_by_subject
from models.data.loading import load_data
from models.data.worlds import world
from models.refusals import Refused

SMALL = world(21, relations=2, objects=5)


def test_no_subject_is_in_both_halves_and_every_trained_fact_in_one() -> None:
    facts = SMALL.with_frequencies([3] * 42)
    data = facts.dataset(facts.tokenizer(), held_out_paraphrases=1)
    halves = halves_by_subject(data)
    probing, judging = (set(part.examples["subject"]) for part in (halves.probe, halves.test))
    assert (len(probing), len(judging), probing & judging) == (11, 10, set())
    assert halves.split_counts() == {"network": 0, "probe": 11 * 4, "test": 10 * 4}
    assert set(halves.examples["kind"]) == {"trained"}


def test_the_same_seed_gives_the_same_halves() -> None:
    data = SMALL.dataset(SMALL.tokenizer())
    assert halves_by_subject(data).digest == halves_by_subject(data).digest
    assert halves_by_subject(data).digest != halves_by_subject(data, seed=1).digest


def test_data_without_facts_and_a_single_subject_are_refused() -> None:
    with pytest.raises(Refused, match="'digits' holds no facts to part by subject"):
        halves_by_subject(load_data("digits"))
    alone = SMALL.subset((SMALL.table["subject"] == SMALL.table["subject"][0]).to_numpy())
    with pytest.raises(Refused, match="One subject"):
        halves_by_subject(alone.dataset(SMALL.tokenizer()))
