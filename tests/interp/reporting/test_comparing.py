"""Which figures hold when an analysis is run again."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp.refusals import Refused
from interp.reporting.claims import Evidence, judge
from interp.reporting.comparing import compare
from interp.reporting.report import Report
from interp.reporting.rules import ExceedsControls


def made(shift: float = 0.0, *, control: float = 0.1, statement: str = "It is so", seeds: int = 8) -> Report:
    values = 0.9 + shift + 0.01 * np.arange(seeds)
    controls = {"untrained": control + 0.02 * np.arange(seeds)}
    evidence = [Evidence(statement, "a course", "accuracy", values, ExceedsControls(), controls)]
    table = pd.DataFrame({"seed": range(seeds), "accuracy": values, "found": [True] * seeds})
    return Report("Is it so?", "is_it_so", config={}, claims=judge(evidence), tables={"every_seed": table})


def broken(old: dict[str, Any], new: Report, **settings: float) -> list[str]:
    found = compare(old, new, **settings)
    return [f"{row.where}: {row.figure}" for row in found[~found["holds"]].itertuples()]


def test_the_same_report_holds_in_every_figure() -> None:
    found = compare(made().record(), made())
    assert found["holds"].all()
    assert found["figure"].tolist() == [
        "verdict",
        "estimate",
        "seeds",
        "rule",
        "interval low",
        "interval high",
        "untrained, estimate",
        "untrained, interval low",
        "untrained, interval high",
        "digest",
        "what was left out",
    ]


def test_numbers_within_the_tolerance_hold_and_others_do_not() -> None:
    old, new = made().record(), made(1e-4)
    assert broken(old, new, tolerance=1e-3) == []
    moved = broken(old, new, tolerance=1e-6)
    assert moved[:3] == [
        f"It is so (accuracy): {name}" for name in ("estimate", "interval low", "interval high")
    ]
    assert next(name for name in moved if name.startswith("table")) == "table every_seed: row 1, accuracy"
    assert len(moved) == 3 + 8


def test_a_changed_control_is_named() -> None:
    assert {name.split(": ")[1] for name in broken(made().record(), made(control=0.2))} == {
        "untrained, estimate",
        "untrained, interval low",
        "untrained, interval high",
    }


def test_a_verdict_that_no_longer_follows_does_not_hold() -> None:
    assert "It is so (accuracy): verdict" in broken(made().record(), made(-0.9))


def test_claims_and_tables_that_came_or_went_do_not_hold() -> None:
    new = dataclasses.replace(made(statement="It was so"), tables={"other": pd.DataFrame({"a": [1]})})
    found = compare(made().record(), new)
    gone = found[~found["holds"]]
    assert gone["where"].tolist() == [
        "It is so (accuracy)",
        "It was so (accuracy)",
        "table every_seed",
        "table other",
    ]
    assert gone["recorded"].tolist() == ["present", "absent", "present", "absent"]


def test_another_number_of_seeds_rows_or_columns_does_not_hold() -> None:
    fewer = broken(made().record(), made(seeds=7), tolerance=1.0)
    assert "It is so (accuracy): seeds" in fewer
    assert "table every_seed: rows" in fewer
    renamed = dataclasses.replace(
        made(), tables={"every_seed": made().tables["every_seed"].rename(columns=str.upper)}
    )
    assert broken(made().record(), renamed) == ["table every_seed: columns"]


def test_a_rule_in_other_words_and_a_new_note_do_not_hold() -> None:
    old = copy.deepcopy(made().record())
    old["claims"][0]["rule"] = "Supported when I like it."
    assert broken(old, made()) == ["It is so (accuracy): rule"]
    noted = dataclasses.replace(made(), notes=["Loops were left out."])
    assert broken(made().record(), noted) == ["notes: what was left out"]


def test_true_is_not_one() -> None:
    old = copy.deepcopy(made().record())
    old["tables"]["every_seed"]["sha256"] = "altered"
    assert broken(old, made()) == []
    old["tables"]["every_seed"]["rows"][0][2] = 1
    assert broken(old, made()) == ["table every_seed: row 1, found"]


def test_other_questions_and_senseless_tolerances_are_refused() -> None:
    other = dataclasses.replace(made(), analysis="another")
    with pytest.raises(Refused, match="'is_it_so' and 'another'"):
        compare(made().record(), other)
    with pytest.raises(Refused, match="tolerance -1"):
        compare(made().record(), made(), tolerance=-1.0)
