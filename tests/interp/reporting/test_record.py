"""Values as strict JSON holds them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interp.refusals import Refused
from interp.reporting.record import csv_bytes, json_bytes, plain, table_record


@dataclass(frozen=True)
class Inner:
    rate: float
    sizes: tuple[int, ...]


def test_numpy_and_dataclasses_become_json_types() -> None:
    value = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": np.bool_(True),
        "d": np.arange(3),
        "e": Inner(3.0, (16, 16)),
        "f": [None, pd.NA, "text", False],
    }
    assert plain(value, where="x") == {
        "a": 0.5,
        "b": 3,
        "c": True,
        "d": [0, 1, 2],
        "e": {"rate": 3.0, "sizes": [16, 16]},
        "f": [None, None, "text", False],
    }
    assert type(plain(np.bool_(True), where="x")) is bool


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, {"b": float("nan")}]}, r"x\.a\[1\]\.b is nan"),
        ({"a": np.array([1.0, -np.inf])}, r"x\.a\[1\] is -inf"),
        ({"a": Path("somewhere")}, r"x\.a is a PosixPath"),
        ({"a": {1, 2}}, r"x\.a is a set"),
        ({1: "a"}, r"x has the key 1"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_path(value: object, said: str) -> None:
    with pytest.raises(Refused, match=said):
        plain(value, where="x")


def test_keys_keep_their_order() -> None:
    assert list(json.loads(json_bytes({"b": 1, "a": {"d": 1, "c": 2}}))) == ["b", "a"]


def test_an_index_that_says_something_becomes_a_column() -> None:
    frame = pd.DataFrame({"accuracy": [0.5, 0.6]}, index=pd.Index(["a", "b"], name="hook"))
    record = table_record("probes", frame)
    assert record["columns"] == ["hook", "accuracy"]
    assert record["rows"] == [["a", 0.5], ["b", 0.6]]
    assert csv_bytes(record) == b"hook,accuracy\na,0.5\nb,0.6\n"


def test_a_table_needs_columns_with_names_of_their_own() -> None:
    with pytest.raises(Refused, match="give each its own name"):
        table_record("probes", pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(Refused, match="give each its own name"):
        table_record("probes", pd.DataFrame())
    with pytest.raises(Refused, match="has the key 0"):
        table_record("probes", pd.DataFrame([[1, 2]]))


def test_types_survive_in_a_table_of_mixed_columns() -> None:
    frame = pd.DataFrame(
        {"n": np.array([1, 2], np.int32), "ok": [True, False], "x": [0.5, 1.0], "w": ["a", None]}
    )
    assert table_record("t", frame)["rows"] == [[1, True, 0.5, "a"], [2, False, 1.0, None]]
