"""Facts: what is let in, choices of facts, frequencies, statistics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.facts import Facts, Relation
from models.data.worlds import world
from models.refusals import Refused

TRIPLES = [
    ("Peru", "capital", "Lima"),
    ("Chad", "capital", "Paris"),
    ("South Korea", "capital", "Seoul"),
    ("Peru", "continent", "America"),
    ("Chad", "continent", "Africa"),
    ("South Korea", "continent", "Asia"),
]
TEMPLATES = {
    "capital": ["the capital of {subject} is", "{subject} is ruled from"],
    "continent": ["{subject} lies in", "the continent of {subject} is"],
}


def atlas(triples: list[tuple[str, str, str]] = TRIPLES, **changes: Any) -> Facts:
    return Facts.of(triples, **({"templates": TEMPLATES} | changes))


def test_facts_are_a_table_with_what_else_is_known() -> None:
    facts = atlas()
    assert facts.table.columns.tolist() == ["subject", "relation", "object"]
    assert len(facts) == 6
    assert facts.by_name["capital"].objects == ("Lima", "Paris", "Seoul")
    assert "6 facts about 3 subjects; relations: capital, continent" in repr(facts)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("Chad", "capital", "Lima"),
            r"2 facts contradict .*'Paris'.*'Lima'.*many_valued=\('capital',\)",
        ),
        (
            ("Chad", "capital", "Paris"),
            r"1 fact is there more than once, the first: \('Chad', 'capital', 'Paris'\)",
        ),
        (("Chad", "captial", "Paris"), r"no relation 'captial'\. Nearest: capital\. .* needs a template"),
        (("", "capital", "Paris"), "1 of the column 'subject' are no names"),
        (("Chad", "capital", " Paris"), "such as ' Paris'"),
    ],
)
def test_facts_that_cannot_all_be_true_are_refused(more: tuple[str, str, str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        atlas([*TRIPLES, more])


@pytest.mark.parametrize(
    ("triples", "changes", "message"),
    [
        (
            [("Peru", "Lima")],
            {},
            r"triples \(subject, relation, object\); given \('Peru', 'Lima'\) as number 0 of 1",
        ),
        (["abc"], {}, "given 'abc' as number 0"),
        ([7], {}, "given 7 as number 0"),
        ([], {}, "No fact is given"),
        (
            TRIPLES,
            {"templates": TEMPLATES | {"job": ["{subject} is a"]}},
            "templates for the relation 'job', and no f",
        ),
        (
            TRIPLES,
            {"templates": TEMPLATES | {"capital": "{subject} is"}},
            "Give a list of templates for 'capital'",
        ),
        (TRIPLES, {"templates": ["{subject} is"]}, "a list of prompts for each relation"),
        (TRIPLES, {"many_valued": "capital"}, r"such as \('capital',\)"),
        (TRIPLES, {"many_valued": ["captial"]}, "Nearest: capital"),
        ([("Peru", "capital", 7), ("Chad", "capital", "Paris")], {}, "such as 7. .*dtype=str"),
    ],
)
def test_what_are_no_triples_with_templates_is_refused(
    triples: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        atlas(triples, **changes)


def test_a_file_of_ones_own_is_read_in_two_lines(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(
        "subject,relation,object,year\nAda,born,London,1815\nNA,born,1900,2000\n", encoding="utf-8"
    )
    table = pd.read_csv(tmp_path / "own.csv", dtype=str, keep_default_na=False)
    facts = Facts.of(table, templates={"born": ["{subject} was born in"]})
    assert facts.table["subject"].tolist() == ["Ada", "NA"]
    assert facts.by_name["born"].objects == ("1900", "London")
    assert facts.dataset(facts.tokenizer()).examples["year"].tolist() == ["1815", "2000"]
    rows = table[["subject", "relation", "object"]].itertuples(index=False)
    assert len(Facts.of(rows, templates={"born": ["{subject} was born in"]})) == 2
    with pytest.raises(Refused, match=r"given 2 rows with \['subject', 'relation', 'answer'\]"):
        Facts.of(
            table.rename(columns={"object": "answer"})[["subject", "relation", "answer"]], templates=TEMPLATES
        )


def test_a_many_valued_relation_may_have_several_objects() -> None:
    facts = atlas([*TRIPLES, ("Chad", "capital", "Lima")], many_valued=["capital"])
    assert facts.statistics().loc["capital", ["facts", "questions"]].tolist() == [4, 3]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("the capital is", "does not have the slot"),
        ("{subject} {subject}", "once and no other"),
        ("{object} is the capital of {subject}", "once and no other"),
        ("{subjekt} is", "does not have the slot"),
        ("{subject", "does not have the slot"),
        ("{}", "does not have the slot"),
    ],
)
def test_templates_without_the_slot_are_refused(template: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        Relation("capital", (template,), ("a", "b"))


@pytest.mark.parametrize("objects", [(), ("Lima",), ("Lima", "Lima")])
def test_a_relation_with_one_object_is_refused(objects: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="at least two, each once: with one, the template alone gives"):
        Relation("capital", ("{subject} is",), objects)
    with pytest.raises(Refused, match="'capital' has the objects"):
        atlas(
            [(subject, "capital", "Lima") for subject in ("Peru", "Chad")],
            templates={"capital": TEMPLATES["capital"]},
        )


def test_one_template_instead_of_a_list_of_them_is_refused() -> None:
    with pytest.raises(Refused, match="Give a list of templates"):
        Relation("capital", "{subject} is", ("a", "b"))  # type: ignore[arg-type]


@pytest.mark.parametrize("templates", [(), ("{subject} is", "{subject} is")])
def test_a_relation_without_templates_or_with_one_twice_is_refused(templates: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="at least one template, and none twice"):
        Relation("capital", templates, ("a", "b"))


def test_tables_that_are_no_facts_are_refused() -> None:
    facts = atlas()
    cases = {
        "given 0 rows": facts.table.head(0),
        "columns subject, relation, object; given 6 rows with": facts.table.drop(columns="object"),
        "Columns named split, kind are written": facts.table.assign(split="test", kind=1),
        "no object of 'capital' called 'Rome'": pd.DataFrame(
            [["Peru", "capital", "Rome"]], columns=facts.table.columns
        ),
        "from 1; given float64": facts.table.assign(frequency=0.5),
        "from 1; given int64 from 0": facts.table.assign(frequency=0),
        "such as 7": facts.table.astype(object).assign(subject=7),
    }
    for message, table in cases.items():
        with pytest.raises(Refused, match=message):
            replace(facts, table=table)


def test_a_part_of_the_facts_keeps_all_objects_to_choose_from() -> None:
    facts = atlas()
    part = facts.subset(facts.table["subject"] == "Peru")
    assert part.table["object"].tolist() == ["Lima", "America"]
    assert part.by_name["capital"].objects == ("Lima", "Paris", "Seoul")
    assert part.tokenizer().vocabulary == facts.subset([0]).tokenizer().vocabulary


@given(st.integers(1, 39), st.integers(0, 5))
def test_a_sample_and_the_rest_are_all_facts_once(wanted: int, seed: int) -> None:
    facts = world(20, relations=2, objects=5)
    drawn, others = facts.sample(wanted, seed=seed)
    assert (len(drawn), len(others)) == (wanted, 40 - wanted)
    together = pd.concat([drawn.table, others.table]).sort_values(["relation", "subject"], ignore_index=True)
    assert together.equals(facts.table.sort_values(["relation", "subject"], ignore_index=True))
    assert facts.sample(wanted, seed=seed)[0].digest == drawn.digest


@pytest.mark.parametrize("wanted", [-1, 0, 6, 7])
def test_a_sample_of_none_or_all_is_refused(wanted: int) -> None:
    with pytest.raises(Refused, match=f"{wanted} of 6 facts cannot be drawn: allowed are 1 to 5"):
        atlas().sample(wanted, seed=0)


def test_the_users_table_stays_the_users() -> None:
    table = atlas().table.copy()
    facts = replace(atlas(), table=table)
    table["object"] = "Rome"
    assert facts.table["object"].tolist() == [answer for _, _, answer in TRIPLES]


def test_zipf_gives_each_rank_its_share() -> None:
    counts = world(100, relations=4, objects=5).with_frequencies("zipf").table["frequency"].to_numpy()
    assert sorted(counts, reverse=True) == [round(400 / rank) for rank in range(1, 401)]
    assert (np.diff(counts) > 0).any()
    again = world(100, relations=4, objects=5).with_frequencies("zipf", seed=1).table["frequency"].to_numpy()
    assert not np.array_equal(counts, again)


def test_frequencies_can_be_given_and_must_fit() -> None:
    assert atlas().with_frequencies([1, 2, 3, 4, 5, 6]).table["frequency"].tolist() == [1, 2, 3, 4, 5, 6]
    assert set(atlas().with_frequencies("uniform").table["frequency"]) == {1}
    for wrong, message in (
        ([1, 2], "for 6 facts"),
        ([0.5] * 6, "float64"),
        ("zipff", "Nearest: zipf"),
        ([0] * 6, "from 1"),
    ):
        with pytest.raises(Refused, match=message):
            atlas().with_frequencies(wrong)  # type: ignore[arg-type]


def test_chance_is_to_name_the_commonest_object() -> None:
    triples = [(str(number), "sex", "male" if number < 7 else "female") for number in range(10)]
    triples += [(str(number), "age", str(number % 5)) for number in range(10)]
    facts = atlas(triples, templates={"sex": ["{subject} is"], "age": ["{subject} is aged"]})
    assert facts.statistics()["chance"].tolist() == pytest.approx([0.7, 0.2])
    assert facts.statistics()["bits"].tolist() == pytest.approx([10, 10 * np.log2(5)])
    assert facts.chance == pytest.approx(0.45)


def test_digests_depend_on_facts_and_templates() -> None:
    other_words = TEMPLATES | {"capital": ["{subject} 's capital is"]}
    several = [
        atlas(),
        atlas(TRIPLES[::-1]),
        atlas(templates=other_words),
        atlas().with_frequencies("uniform"),
    ]
    assert len({facts.digest for facts in several}) == 4
    assert atlas(name="another").digest == atlas().digest
