"""The record of a report: plain values that strict JSON can hold, and the same numbers as CSV.

JSON has no NaN and no infinity, and readers disagree on what to do with Python's spelling of them; so a
number that is not finite is refused with the path at which it stands. What is missing is `None` (or
`pandas.NA`) and becomes `null` and an empty CSV cell. Keys keep the order in which they were given, so equal
reports give equal bytes.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from interp.refusals import Refused


def plain(value: Any, *, where: str) -> Any:
    """The value as JSON's own types; numpy's, dataclasses, tuples and mappings are taken apart.

    Refuses, with the path `where` it stands: NaN, infinities, keys that are no strings, and every other type.
    """
    if value is None or value is pd.NA or isinstance(value, (str, bool, np.bool_)):
        return _plain_scalar(value)
    if isinstance(value, (int, float, np.integer, np.floating)):
        return _plain_number(value, where=where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key, where=where): plain(item, where=f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item, where=f"{where}[{index}]") for index, item in enumerate(value)]
    raise Refused(
        f"{where} is a {type(value).__name__}; a report holds numbers, strings, true, false, null, lists and "
        "mappings. Convert it first."
    )


def table_record(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """A table as `report.json` holds it: caption, file, columns, rows and the digest of its CSV.

    An index that is more than a row number becomes a column; the caption is `frame.attrs["caption"]`, if
    given.
    """
    where = f"tables.{name}"
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    columns = [_key(column, where=f"{where}.columns") for column in frame.columns]
    if len(set(columns)) < len(columns) or not columns:
        raise Refused(f"{where} has the columns {columns}; give each its own name, and at least one.")
    words = [isinstance(kind, pd.StringDtype) for kind in frame.dtypes]
    rows = [
        [
            None if is_word and pd.isna(cell) else plain(cell, where=f"{where}.rows[{row}].{column}")
            for column, is_word, cell in zip(columns, words, cells, strict=True)
        ]
        for row, cells in enumerate(frame.itertuples(index=False, name=None))
    ]
    record = {
        "caption": str(frame.attrs.get("caption", "")),
        "file": f"tables/{name}.csv",
        "columns": columns,
        "rows": rows,
    }
    return {**record, "sha256": digest(csv_bytes(record))}


def csv_bytes(record: Mapping[str, Any]) -> bytes:
    """The CSV of a table's record: UTF-8, a line feed after each row, every digit, empty where null."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(record["columns"])
    writer.writerows(["" if cell is None else cell for cell in row] for row in record["rows"])
    return text.getvalue().encode()


def json_bytes(record: Mapping[str, Any]) -> bytes:
    """Strict JSON, indented, in the order given, UTF-8 with a line feed at the end."""
    return (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digest(content: bytes) -> str:
    """The SHA-256 of the bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _plain_scalar(value: Any) -> str | bool | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return str(value) if isinstance(value, str) else None


def _plain_number(value: Any, *, where: str) -> int | float:
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        raise Refused(
            f"{where} is {number}; a report holds finite numbers. Leave the entry out and say so in "
            "the notes, or give None where a value is missing."
        )
    return number


def _key(key: Any, *, where: str) -> str:
    if not isinstance(key, str):
        raise Refused(f"{where} has the key {key!r}, a {type(key).__name__}; names in a report are strings.")
    return key
