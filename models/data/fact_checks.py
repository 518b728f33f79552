"""What facts must be: else refused, with the facts in question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any, Protocol

import numpy as np
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


def table_of(triples: Iterable[Any]) -> pd.DataFrame:
    """Triples as rows of a table; a table as it is. Raises `Refused` for what are no facts."""
    table = triples
    if not isinstance(table, pd.DataFrame):
        rows = list(triples)
        for number, row in enumerate(rows):
            if isinstance(row, str) or not isinstance(row, Sequence | np.ndarray) or len(row) != len(COLUMNS):
                raise Refused(
                    f"Facts are triples ({', '.join(COLUMNS)}); given {row!r} as number {number} of {len(rows)}."
                )
        table = pd.DataFrame(rows, columns=list(COLUMNS))
    if table.empty:
        raise Refused(f"No fact is given: facts are triples ({', '.join(COLUMNS)}), one or more.")
    _check_rows(table)
    return table


def check_named(table: pd.DataFrame, templates: Mapping[str, Sequence[str]], many_valued: object) -> None:
    """Raise `Refused` unless templates, lists of prompts, are given for the relations of the facts and no others."""
    if not isinstance(templates, Mapping):
        raise Refused(f"templates has a list of prompts for each relation, {_EXAMPLE}; given {templates!r}.")
    relations = list(dict.fromkeys(table["relation"]))
    for name in relations:
        if name not in templates:
            raise Refused(
                f"{unknown('relation', name, templates)} Each relation of the facts needs a template."
            )
    for name, given in templates.items():
        _check_list(name, given)
        if name not in relations:
            raise Refused(
                f"There are templates for the relation {name!r}, and no fact of it (the facts have "
                f"{', '.join(map(repr, relations[:5]))}): give facts of it, or leave its templates out."
            )
    if isinstance(many_valued, str) or not isinstance(many_valued, Iterable):
        raise Refused(
            f"many_valued is a list of relations, such as ({many_valued!r},); given {many_valued!r}."
        )
    for name in many_valued:
        if name not in relations:
            raise unknown("relation", str(name), relations)


def check_relation(name: str, templates: Sequence[str], objects: Sequence[str]) -> None:
    """Raise `Refused` unless there are templates with one `{subject}` each, and two objects or more."""
    _check_list(name, templates)
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
    _check_rows(table)
    taken = [str(column) for column in table.columns if column in RESERVED]
    if taken:
        raise Refused(f"Columns named {', '.join(taken)} are written by `Facts.dataset` itself. Rename them.")
    _check_names(table, relations)
    twice = table[table.duplicated(list(COLUMNS))]
    if len(twice):
        raise Refused(
            f"{_are(len(twice))} there more than once, the first: {_told(twice.head(1))}. Drop the duplicates."
        )
    single = table["relation"].map({name: not relation.many_valued for name, relation in relations.items()})
    torn = table[single.astype(bool) & table.duplicated(["subject", "relation"], keep=False)]
    if len(torn):
        pair = torn[(torn[["subject", "relation"]] == torn.iloc[0][["subject", "relation"]]).all(axis=1)]
        raise Refused(
            f"{len(torn)} facts contradict each other, the first: {_told(pair)}. Keep one object, or declare the "
            f"relation many-valued: many_valued=({str(pair.iloc[0]['relation'])!r},)."
        )
    _check_frequency(table)


_EXAMPLE = "such as {'capital': ['the capital of {subject} is']}"


def _check_list(name: str, templates: object) -> None:
    if isinstance(templates, str) or not isinstance(templates, Iterable):
        raise Refused(f"Give a list of templates for {name!r}, {_EXAMPLE}; given {templates!r}.")


def _are(count: int) -> str:
    return "1 fact is" if count == 1 else f"{count} facts are"


def _slots(template: str) -> list[str | None]:
    try:
        return [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError:
        return [None]


def _check_rows(table: pd.DataFrame) -> None:
    """Rows of text in the three columns."""
    if table.empty or not set(COLUMNS) <= set(table.columns):
        raise Refused(
            f"Facts are rows with the columns {', '.join(COLUMNS)}; given {len(table)} rows with {list(table.columns)}."
        )
    for column in COLUMNS:
        wrong = [
            value
            for value in table[column]
            if not isinstance(value, str) or value.strip() != value or not value
        ]
        if wrong:
            raise Refused(
                f"{len(wrong)} of the column {column!r} are no names (text, no blanks around), such as {wrong[0]!r}. "
                "`pandas.read_csv(file, dtype=str, keep_default_na=False)` reads all as text."
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
