"""What facts must be: else refused, with the facts in question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Protocol

import pandas as pd

from models.refusals import Refused, unknown

COLUMNS = ("subject", "relation", "object")
RESERVED = (
    "fact",
    "answers",
    "copies",
    "template",
    "kind",
    "split",
    "answer_pos",
    "subject_first",
    "subject_last",
)


class ManyValued(Protocol):
    """What is asked of a relation here."""

    @property
    def objects(self) -> tuple[str, ...]: ...

    @property
    def many_valued(self) -> bool: ...


def check_relation(name: str, templates: Sequence[str], objects: Sequence[str]) -> None:
    """Raise `Refused` unless there are templates with one `{subject}` each, and two objects or more."""
    if not templates or len(set(templates)) < len(templates):
        raise Refused(
            f"The relation {name!r} needs at least one template, and none twice; given {list(templates)}."
        )
    for template in templates:
        if _slots(template) != ["subject"]:
            raise Refused(
                f"The template {template!r} of {name!r} does not have the slot {{subject}} once and no other. "
                "A template is a prompt that ends where the object comes, such as 'the capital of {subject} is'."
            )
    if len(set(objects)) < 2 or len(set(objects)) < len(objects):
        raise Refused(
            f"The relation {name!r} has the objects {list(objects)[:5]}. It needs at least two, each once: "
            "with one, the template alone gives the answer away."
        )


def check_facts(table: pd.DataFrame, relations: Mapping[str, ManyValued]) -> None:
    """Raise `Refused` unless every row is a fact of a known relation, and no two are the same or contradict."""
    missing = [column for column in COLUMNS if column not in table]
    if missing or table.empty:
        raise Refused(
            f"Facts are rows with the columns {', '.join(COLUMNS)}; given {len(table)} rows with {list(table.columns)}."
        )
    taken = [str(column) for column in table.columns if column in RESERVED]
    if taken:
        raise Refused(f"Columns named {', '.join(taken)} are written by `Facts.dataset` itself. Rename them.")
    _check_text(table)
    _check_names(table, relations)
    twice = table[table.duplicated(list(COLUMNS))]
    if len(twice):
        raise Refused(
            f"{len(twice)} facts are there more than once, the first: {_told(twice)}. Drop the duplicates."
        )
    single = table["relation"].map({name: not relation.many_valued for name, relation in relations.items()})
    torn = table[single.astype(bool) & table.duplicated(["subject", "relation"], keep=False)]
    if len(torn):
        pair = torn[(torn[["subject", "relation"]] == torn.iloc[0][["subject", "relation"]]).all(axis=1)]
        raise Refused(
            f"{len(torn)} facts contradict each other, the first: {_told(pair)}. Keep one object, or "
            "declare the relation many-valued."
        )
    _check_frequency(table)


def _slots(template: str) -> list[str | None]:
    try:
        return [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError:
        return [None]


def _check_text(table: pd.DataFrame) -> None:
    for column in COLUMNS:
        wrong = [
            value
            for value in table[column]
            if not isinstance(value, str) or value.strip() != value or not value
        ]
        if wrong:
            raise Refused(
                f"{len(wrong)} of the column {column!r} are no names (text, no blanks around), such as {wrong[0]!r}."
            )


def _check_names(table: pd.DataFrame, relations: Mapping[str, ManyValued]) -> None:
    for name, facts in table.groupby("relation", sort=False):
        if name not in relations:
            raise unknown("relation", str(name), relations)
        strange = sorted(set(facts["object"]) - set(relations[str(name)].objects))
        if strange:
            raise unknown(f"object of {name!r} called", strange[0], relations[str(name)].objects)


def _check_frequency(table: pd.DataFrame) -> None:
    if "frequency" not in table:
        return
    counts = table["frequency"]
    if not pd.api.types.is_integer_dtype(counts) or int(counts.min()) < 1:
        raise Refused(f"Frequencies are whole numbers from 1; given {counts.dtype} from {counts.min()}.")


def _told(facts: pd.DataFrame) -> str:
    rows = facts[list(COLUMNS)].head(3).itertuples(index=False)
    return "; ".join(f"({', '.join(map(repr, row))})" for row in rows)
