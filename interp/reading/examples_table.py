"""A table of examples as JSON, exactly: values, dtypes, index and order come back, or saving is refused.

Numbers are written by their shortest exact decimal, non-finite ones and timestamps as text, missing entries
as null, categories as codes. The text is decoded once before it is accepted and compared with the table, so a
kind of column that would not survive is refused by name when it is saved, not found out when it is read.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from interp.refusals import BadFile, Refused


def encode_table(table: pd.DataFrame) -> str:
    """The table as JSON text. Raises `Refused` naming a column that JSON cannot hold exactly."""
    if isinstance(table.index, pd.MultiIndex) or isinstance(table.columns, pd.MultiIndex):
        raise Refused("A table of examples with a MultiIndex cannot be saved: call reset_index() first.")
    if not table.columns.is_unique or not all(isinstance(name, str) for name in table.columns):
        raise Refused(f"The columns of `examples` must be different strings; given {list(table.columns)}.")
    columns = {str(name): _encoded(str(name), column) for name, column in table.items()}
    return json.dumps({"index": _encoded_index(table.index), "columns": columns})


def decode_table(text: str | bytes, *, source: str) -> pd.DataFrame:
    """The table of `encode_table`. Raises `BadFile` naming `source` when the text is not one."""
    try:
        content = json.loads(text)
        index = _decoded_index(content["index"])
        columns = {name: _decoded(column).set_axis(index) for name, column in content["columns"].items()}
        return pd.DataFrame(columns, index=index)
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{source} is not a table of examples: {error}") from error


def _encoded_index(index: pd.Index[Any]) -> dict[str, Any]:
    if index.name is not None and not isinstance(index.name, str):
        raise Refused(f"The index of `examples` is called {index.name!r}; its name must be a string.")
    if isinstance(index, pd.RangeIndex):
        return {"name": index.name, "range": [index.start, index.stop, index.step]}
    return {"name": index.name, **_encoded("index", index.to_series())}


def _decoded_index(encoded: dict[str, Any]) -> pd.Index[Any]:
    if "range" in encoded:
        start, stop, step = encoded["range"]
        return pd.RangeIndex(start, stop, step, name=encoded["name"])
    index: pd.Index[Any] = pd.Index(_decoded(encoded), name=encoded["name"])
    return index


def _encoded(name: str, column: pd.Series[Any]) -> dict[str, Any]:
    """One column as JSON values, decoded again to see that it comes back."""
    encoded: dict[str, Any]
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = _encoded(name, pd.Series(column.dtype.categories))
        encoded = {
            "categories": categories,
            "ordered": column.dtype.ordered,
            "values": column.cat.codes.tolist(),
        }
    else:
        encoded = {"dtype": _dtype_name(column), "values": [_to_json(value) for value in column.tolist()]}
    try:
        back = _decoded(encoded)
        same = back.dtype == column.dtype and back.equals(column.reset_index(drop=True))
        same = same and (column.dtype != object or _plain(column) == _plain(back))
        json.dumps(encoded)
    except (ValueError, TypeError):
        same = False
    if not same:
        raise Refused(
            f"The column {name!r} of `examples` ({column.dtype}) cannot be saved exactly: "
            "keep numbers, booleans, strings, dates or categories of these."
        )
    return encoded


def _decoded(encoded: dict[str, Any]) -> pd.Series[Any]:
    if "categories" in encoded:
        categories = pd.Index(_decoded(encoded["categories"]))
        kind = pd.CategoricalDtype(categories, ordered=encoded["ordered"])
        return pd.Series(pd.Categorical.from_codes(encoded["values"], dtype=kind))
    dtype: Any = encoded["dtype"]
    values = encoded["values"]
    if dtype.startswith("float"):
        values = [float(value) if value is not None else math.nan for value in values]
    if dtype.startswith("string:"):
        storage, missing = dtype.split(":")[1:]
        dtype = pd.StringDtype(storage, na_value=math.nan if missing == "nan" else pd.NA)
    column: pd.Series[Any] = pd.Series(values, dtype=dtype)
    return column


def _plain(column: pd.Series[Any]) -> list[type]:
    """The types of a mixed column's entries. Raises `TypeError` for one that JSON does not have."""
    kinds = [type(value) for value in column]
    if foreign := set(kinds) - {str, int, float, bool, type(None)}:
        raise TypeError(f"{foreign} in a column")
    return kinds


def _dtype_name(column: pd.Series[Any]) -> str:
    """The dtype by a name that makes it again; pandas has several kinds of strings under one name."""
    if isinstance(column.dtype, pd.StringDtype):
        missing = "NA" if column.dtype.na_value is pd.NA else "nan"
        return f"string:{column.dtype.storage}:{missing}"
    return str(column.dtype)


def _to_json(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp | pd.Timedelta) else value
