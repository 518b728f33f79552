"""Made-up worlds: sizes, names, rules, seeds."""

from __future__ import annotations

from itertools import product
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.data.worlds import world
from models.refusals import Refused

small_worlds = st.fixed_dictionaries(
    {
        "subjects": st.integers(8, 120),
        "relations": st.integers(1, 14),
        "objects": st.integers(2, 8),
        "tokens_per_subject": st.integers(1, 4),
        "seed": st.integers(0, 9),
    }
)


@given(small_worlds)
def test_a_world_has_the_size_asked_for_and_answers_every_question_once(asked: dict[str, int]) -> None:
    facts = world(**asked)
    table, subjects = facts.table, asked["subjects"]
    assert len(facts) == subjects * asked["relations"] == len(table.drop_duplicates(["subject", "relation"]))
    assert (facts.statistics()["objects"] == asked["objects"]).all()
    assert (table["subject"].str.split().str.len() == asked["tokens_per_subject"]).all()
    counts = table.groupby("relation")["object"].value_counts()
    assert counts.between(subjects // asked["objects"], ceil(subjects / asked["objects"])).all()
    assert facts.chance == pytest.approx(ceil(subjects / asked["objects"]) / subjects)


def owners_of_parts(**asked: int) -> list[int]:
    """In how many subjects' names each part occurs."""
    names = world(**asked).table["subject"].unique()
    assert len(names) == asked["subjects"]
    parts = [set(name.split()) for name in names]
    return [sum(part in name for name in parts) for part in set.union(*parts)]


@given(small_worlds)
def test_no_single_token_says_who_is_meant(asked: dict[str, int]) -> None:
    owners = owners_of_parts(**asked)
    assert set(owners) == {1} if asked["tokens_per_subject"] == 1 else min(owners) > 1


@given(small_worlds)
def test_a_seed_gives_the_same_world_and_touches_no_global_state(asked: dict[str, int]) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]  # noqa: NPY002
    assert world(**asked).digest == world(**asked).digest
    assert world(**asked).digest != world(**(asked | {"seed": asked["seed"] + 1})).digest
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]  # noqa: NPY002


def test_the_default_world_is_4000_facts_told_in_45_name_parts() -> None:
    facts = world()
    assert (len(facts), facts.chance) == (4_000, 0.02)
    assert len({part for name in facts.table["subject"] for part in name.split()}) == 45
    assert facts.statistics()["bits"].sum() == pytest.approx(4_000 * np.log2(50))
    assert facts.digest == "fb7ebee264cdc4edad576ab73ffc4a242abe8a95a34498d8727bcfb5d9f0af6f"


def test_where_a_rule_governs_attributes_decide_the_object() -> None:
    facts = world(rule="rule-governed")
    decided = facts.table.groupby(["relation", "attributes"])["object"].nunique()
    assert (decided == 1).all()
    assert len(decided) == 4 * 8**2
    by_relation = facts.table.assign(number=facts.table["object"].str.split("_").str[1])
    tables = by_relation.pivot_table("number", "attributes", "relation", aggfunc="first")
    assert len(tables.T.drop_duplicates()) == 4


def test_a_part_of_a_name_has_one_attribute_wherever_it_stands() -> None:
    table = world(300, rule="rule-governed", objects=20, tokens_per_subject=3).table
    pairs = {
        pair
        for name, attributes in zip(table["subject"], table["attributes"], strict=True)
        for pair in zip(name.split(), attributes.split(), strict=True)
    }
    assert len(pairs) == len({part for part, _ in pairs})


def test_in_an_arbitrary_world_a_name_part_says_next_to_nothing_of_the_object() -> None:
    def best_guess(rule: str) -> float:
        home = world(rule=rule).table.query("relation == 'home'")  # type: ignore[arg-type]
        first = home["subject"].str.split().str[0]
        return float(
            home.groupby(first)["object"].agg(lambda objects: objects.value_counts().max()).sum() / 1_000
        )

    assert best_guess("arbitrary") < 0.15 < best_guess("rule-governed")


def test_name_parts_are_words_of_their_own_in_large_worlds() -> None:
    names = world(20_000, relations=1, tokens_per_subject=1).table["subject"]
    assert names.nunique() == 20_000
    assert names.str.fullmatch("[A-Z][a-z]+").all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"subjects": 1, "objects": 2}, "2 subjects or more"),
        ({"relations": 0}, "1 relation or more"),
        ({"objects": 1}, "2 objects or more"),
        ({"subjects": 10, "objects": 11}, "not more than subjects"),
        ({"tokens_per_subject": 0}, "1 to 6 tokens"),
        ({"tokens_per_subject": 7}, "1 to 6 tokens"),
        ({"rule": "arbitary"}, "Nearest: arbitrary"),
        ({"subjects": 50, "rule": "rule-governed"}, r"brings about \d+ of the 50 objects"),
    ],
)
def test_a_world_that_cannot_be_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(Refused, match=message):
        world(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(("subjects", "tokens"), list(product([2, 3, 5], [2, 3, 6])))
def test_the_smallest_worlds_can_be_made_and_no_single_token_says_who_is_meant(
    subjects: int, tokens: int
) -> None:
    for seed in range(5):
        asked = {"subjects": subjects, "objects": 2, "relations": 1, "tokens_per_subject": tokens}
        assert min(owners_of_parts(**asked, seed=seed)) > 1
