"""The family trees: known answers, by hand and from the list of all facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.data.families import families

ENGLISH = (
    "Christopher Penelope Andrew Christine Margaret Arthur Victoria James Jennifer Charles Colin Charlotte"
)
ITALIAN = "Roberto Maria Pierro Francesca Gina Emilio Lucia Marco Angela Tomaso Alfonso Sophia"


def answers(subject: str, relation: str) -> set[str]:
    table = families().table
    return set(table[(table["subject"] == subject) & (table["relation"] == relation)]["object"])


def test_there_are_24_people_12_relations_112_facts_and_104_questions() -> None:
    table = families().table
    assert set(table["object"]) <= set(table["subject"])
    assert (table["subject"].nunique(), table["relation"].nunique(), len(table)) == (24, 12, 112)
    assert int(families().statistics()["questions"].sum()) == 104


def test_relatives_by_marriage_are_uncles_and_aunts_too() -> None:
    assert answers("Colin", "uncle") == {"Arthur", "Charles"}
    assert answers("Sophia", "aunt") == {"Gina", "Angela"}
    assert answers("Charles", "niece") == {"Charlotte"}
    assert answers("Victoria", "father") == {"Christopher"}
    assert answers("Christopher", "uncle") == answers("Colin", "wife") == answers("Arthur", "son") == set()


def test_the_two_trees_have_the_same_shape() -> None:
    same = dict(zip(ENGLISH.split(), ITALIAN.split(), strict=True))
    triples = set(families().table[["subject", "relation", "object"]].itertuples(index=False, name=None))
    english = {triple for triple in triples if triple[0] in same}
    assert len(english) == 56
    assert {
        (same[subject], relation, same[other]) for subject, relation, other in english
    } == triples - english


@pytest.mark.real_data
def test_the_facts_are_those_of_the_list(data_dir: Path) -> None:
    lines = (data_dir / "hinton_family" / "facts.tsv").read_text(encoding="utf-8").splitlines()
    listed = {
        (subject, relation, other)
        for subject, relation, others in (line.split("\t") for line in lines)
        for other in others.split("|")
    }
    derived = families().table[["subject", "relation", "object"]].itertuples(index=False, name=None)
    assert (len(lines), len(listed)) == (104, 112)
    assert set(derived) == listed
