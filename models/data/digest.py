"""A sha256 of a data set's contents that every machine agrees on.

Numbers are hashed as little-endian bytes with their type and shape; each column of the table with its name
and kind. Fractions in the table are hashed to six digits, since measures such as a slant differ in the last
bits between processors. Two data sets with one digest are taken to be the same.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray
from torch import Tensor


def digest(
    inputs: Shaped[Tensor, "example ..."],
    targets: Shaped[Tensor, "example ..."],
    examples: pd.DataFrame,
    *,
    image_shape: tuple[int, int] | None,
    classes: int,
    mask: Bool[Tensor, "example pos"] | None = None,
    source_positions: int = 0,
) -> str:
    """The sha256, in hexadecimal, of these contents; the order of the table's columns does not count."""
    shape = [image_shape, classes, *([source_positions] if source_positions else [])]
    total = hashlib.sha256(json.dumps(shape).encode())
    for tensor in (inputs, targets) if mask is None else (inputs, targets, mask):
        _add_array(total, tensor.detach().cpu().numpy())
    for name in sorted(map(str, examples.columns)):
        total.update(json.dumps(name).encode())
        _add_column(total, examples[name])
    return total.hexdigest()


def _add_array(total: hashlib._Hash, array: NDArray[Any]) -> None:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    total.update(json.dumps([little.dtype.str, list(little.shape)]).encode())
    total.update(little.data.cast("B") if little.size else b"")


def _add_column(total: hashlib._Hash, column: pd.Series[Any]) -> None:
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_integer_dtype(column):
        _add_array(total, column.to_numpy(dtype=np.int64))
    elif pd.api.types.is_float_dtype(column):
        total.update(json.dumps([f"{value:.6g}" for value in column]).encode())
    else:
        total.update(json.dumps([str(value) for value in column]).encode())
