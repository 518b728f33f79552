"""What a data set, and a choice of its rows, must be: else refused with the figures."""

from __future__ import annotations

from collections.abc import Sized
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from numpy.typing import ArrayLike
from torch import Tensor

from models.data.splits import SPLITS
from models.refusals import Refused, unknown

NOT_ASKED = -1  # the target at a position where nothing is to be predicted


def check_selection(which: ArrayLike | Tensor, total: int) -> Int[np.ndarray, " chosen"]:
    """The row numbers that a mask or a list of row numbers picks; `Refused` when none or out of range."""
    choice = np.asarray(which)
    if choice.ndim != 1 or (choice.size and choice.dtype.kind not in "biu"):
        raise Refused(
            f"A choice of rows has the type {choice.dtype} and the shape {list(choice.shape)}. Allowed: "
            "one bool per example, or row numbers."
        )
    if choice.dtype.kind == "b" and len(choice) != total:
        raise Refused(f"The mask has {len(choice)} entries for {total} examples. Give one per example.")
    rows = np.flatnonzero(choice) if choice.dtype.kind == "b" else choice
    if not len(rows):
        raise Refused(f"None of the {total} examples is chosen. Loosen the condition.")
    if rows.min() < 0 or rows.max() >= total:
        raise Refused(
            f"Row numbers from {rows.min()} to {rows.max()} do not fit: allowed are 0 to {total - 1}."
        )
    return rows.astype(np.int64)


def at_least(name: str, value: int, least: int) -> None:
    """Raise `Refused` unless the value is a whole number from `least` up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Refused(f"{name} is a whole number from {least}; given {value!r}.")


def check_lengths(name: str, **parts: Sized) -> None:
    """Raise `Refused` unless all parts have the same number of rows."""
    lengths = {part: len(rows) for part, rows in parts.items()}
    if len(set(lengths.values())) > 1:
        figures = ", ".join(f"{part} {length}" for part, length in lengths.items())
        raise Refused(f"Lengths differ in {name!r}: {figures}. Give one row of each per example.")


def check_inputs(inputs: Tensor, image_shape: tuple[int, int] | None) -> None:
    """Raise `Refused` unless inputs are finite float32 vectors, of the image's size where they are images, or
    sequences of them."""
    if inputs.ndim not in (2, 3) or inputs.dtype != torch.float32 or inputs.numel() == 0:
        raise Refused(
            f"Inputs are {inputs.dtype} {list(inputs.shape)}. Allowed: float32 [example, feature] or "
            "[example, pos, feature], at least one each; int64 [example, pos] with a mask for tokens."
        )
    _check_finite("inputs", inputs)
    if image_shape is not None and (inputs.ndim == 3 or prod(image_shape) != inputs.shape[1]):
        given = " x ".join(map(str, inputs.shape[1:]))
        raise Refused(f"Images of {image_shape[0]} x {image_shape[1]} do not have {given} pixels.")


def check_tokens(tokens: Tensor, mask: Tensor) -> None:
    """Raise `Refused` unless tokens are int64 [example, pos] from 0 up, and the mask True for at least one
    position of each example and False from the first padding on."""
    if tokens.ndim != 2 or tokens.dtype != torch.int64 or tokens.numel() == 0 or int(tokens.min()) < 0:
        raise Refused(
            f"Token inputs are {tokens.dtype} {list(tokens.shape)}. Allowed: int64 [example, pos], at least one "
            "each, none below 0 (`models.data.padding.pad` makes them)."
        )
    if mask.dtype != torch.bool or mask.shape != tokens.shape:
        raise Refused(
            f"The mask is {mask.dtype} {list(mask.shape)}. Allowed: bool {list(tokens.shape)}, as the tokens."
        )
    broken = ~mask[:, 0] | (mask[:, 1:] & ~mask[:, :-1]).any(dim=1)
    if broken.any():
        raise Refused(
            f"{int(broken.sum())} of {len(mask)} rows of the mask, the first in row {int(broken.nonzero()[0])}, do "
            "not go from True to False once. Sequences start at position 0 and are padded on the right."
        )


def check_pairs(tokens: Tensor, mask: Tensor, targets: Tensor, *, source_positions: int) -> None:
    """Raise `Refused` unless tokens and mask are right, of token pairs on either side, with a target at each position
    of the pairs' second part. Without `source_positions` they are no pairs."""
    if not source_positions:
        return check_tokens(tokens, mask)
    if tokens.ndim != 2 or not 0 < source_positions < tokens.shape[1]:
        raise Refused(
            f"Of {list(tokens.shape)} tokens {source_positions} positions are of a source: give at least 1, and leave "
            "at least 1 for the target."
        )
    check_tokens(tokens[:, :source_positions], mask[:, :source_positions])
    check_tokens(tokens[:, source_positions:], mask[:, source_positions:])
    due = [len(tokens), tokens.shape[1] - source_positions]
    if list(targets.shape) != due:
        raise Refused(
            f"Targets of token pairs are [example, target_pos], here {due}; given {list(targets.shape)}."
        )
    return None


def check_targets(targets: Tensor, classes: int) -> None:
    """Raise `Refused` unless targets are class numbers within `classes`, one an example or one a position (where
    some may be `NOT_ASKED`, but not all of an example), or finite numbers to predict."""
    if targets.ndim == 2 and targets.is_floating_point() and classes == 0:
        _check_finite("targets", targets)
    elif targets.ndim not in (1, 2) or targets.dtype != torch.int64 or classes == 0:
        raise Refused(
            f"Targets are {targets.dtype} {list(targets.shape)} with {classes} classes. Allowed: int64 "
            "[example] or [example, pos] with at least one class, or floats [example, output] with 0 classes."
        )
    elif targets.ndim == 2 and not bool((targets != NOT_ASKED).any(dim=1).all()):
        idle = (targets == NOT_ASKED).all(dim=1)
        raise Refused(
            f"{int(idle.sum())} of {len(targets)} rows of targets, the first in row {int(idle.nonzero()[0])}, ask for "
            f"nothing: every position is {NOT_ASKED}."
        )
    elif int(targets.min()) < (0 if targets.ndim == 1 else NOT_ASKED) or int(targets.max()) >= classes:
        raise Refused(
            f"Targets go from {targets.min()} to {targets.max()}; {classes} classes are 0 to {classes - 1}."
        )


def _check_finite(what: str, values: Tensor) -> None:
    low, high = torch.aminmax(values)  # NaN if any is NaN; one pass, no copy
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        bad = ~torch.isfinite(values).flatten(1).all(dim=1)
        first = int(bad.nonzero()[0])
        raise Refused(f"{int(bad.sum())} of {len(values)} {what} have NaN or Inf, the first in row {first}.")


def check_examples(examples: pd.DataFrame) -> None:
    """Raise `Refused` unless the table is indexed 0, 1, 2, ... and says a known split for each row."""
    if not examples.index.equals(pd.RangeIndex(len(examples))):
        raise Refused("The index of `examples` is not 0, 1, 2, ... Call reset_index(drop=True) on it first.")
    if "split" not in examples:
        raise Refused(
            f"`examples` has no column 'split' (it has {list(examples.columns)}). Say which part each is in."
        )
    if not examples.columns.is_unique:
        raise Refused(f"`examples` has columns of one name: {list(examples.columns)}.")
    strange: list[Any] = sorted(set(examples["split"]) - set(SPLITS), key=str)
    if strange:
        raise unknown("split", str(strange[0]), SPLITS)
