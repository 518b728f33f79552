"""A table of examples comes back from JSON exactly, or is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.reading.examples_table import decode_table, encode_table
from interp.refusals import BadFile, Refused

KINDS = pd.DataFrame(
    {
        "count": np.array([1, -2, 3], np.int16),
        "ratio": np.array([0.1, np.nan, -np.inf], np.float32),
        "correct": [True, False, True],
        "word": ["a", "ü\n", None],
        "maybe": pd.array([1, None, 3], dtype="Int64"),
        "kind": pd.Categorical(["x", None, "y"], categories=["y", "x", "z"], ordered=True),
        "when": pd.to_datetime(["2020-01-01T00:00:00", None, "2021-05-06T07:08:09"]),
    },
    index=pd.Index([5, 3, 9], name="id"),
)


def test_every_kind_of_column_comes_back() -> None:
    pd.testing.assert_frame_equal(decode_table(encode_table(KINDS), source="here"), KINDS, check_exact=True)


def test_a_table_with_only_an_index_comes_back() -> None:
    bare = pd.DataFrame(index=pd.RangeIndex(4))
    pd.testing.assert_frame_equal(decode_table(encode_table(bare), source="here"), bare)


row = st.tuples(
    st.floats(), st.integers(-(2**63), 2**63 - 1), st.text(), st.none() | st.booleans() | st.text()
)


@given(st.lists(row, min_size=1, max_size=6))
def test_any_numbers_and_texts_come_back_to_the_bit(rows: list[tuple[object, ...]]) -> None:
    columns = list(zip(*rows, strict=True))
    table = pd.DataFrame(
        {"a": columns[0], "b": columns[1], "c": columns[2], "d": pd.Series(columns[3], dtype=object)}
    )
    pd.testing.assert_frame_equal(decode_table(encode_table(table), source="here"), table, check_exact=True)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"pixels": [[1, 2], (3,)]}), "'pixels'.* cannot be saved exactly"),
        (pd.DataFrame({"mixed": [1, "1"]}, index=["a", "a"]).assign(z=[1j, 2j]), "'z'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "different strings"),
        (pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])), "MultiIndex"),
    ],
)
def test_what_json_cannot_hold_is_refused(table: pd.DataFrame, said: str) -> None:
    with pytest.raises(Refused, match=said):
        encode_table(table)


def test_text_that_is_no_table_is_a_bad_file() -> None:
    with pytest.raises(BadFile, match=r"here.json is not a table of examples"):
        decode_table("{}", source="here.json")
