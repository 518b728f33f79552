"""The pairs behind the verdicts."""

from __future__ import annotations

import pytest

from interp.reporting.claims import Evidence
from interp.reporting.differences import differences_table
from interp.reporting.record import table_record
from interp.reporting.rules import BelowControls, Equals


def test_each_control_has_a_row_with_its_pairs() -> None:
    evidence = [
        Evidence(
            "It is so",
            "s",
            "m",
            (0.5, 0.7, 0.9),
            BelowControls(),
            {"a": (0.4, 0.4, 0.4), "b": (0.6, 0.6, 0.6)},
        ),
        Evidence("It counts", "s", "m", (3,), Equals(3)),
    ]
    table = differences_table(evidence)
    assert table["control"].tolist() == ["a", "b"]
    assert table["difference"].tolist() == pytest.approx([0.3, 0.1])
    assert table["seeds_above"].tolist() == [3, 2]
    assert (table["low"] <= table["difference"]).all()
    assert (table["difference"] <= table["high"]).all()
    assert table_record("differences", table)["caption"].startswith("Value minus control")


def test_nothing_compared_gives_a_table_without_rows() -> None:
    assert differences_table([Evidence("It counts", "s", "m", (3,), Equals(3))]).empty
