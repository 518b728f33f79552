"""Data sets of token sequences: masks go where rows go, and are checked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch

from models.data.dataset import Dataset
from models.data.padding import pad
from models.data.tokenizers import WordTokenizer
from models.data.validation import check_tokens
from models.refusals import Refused


def sequences(**changes: Any) -> Dataset:
    tokens, mask = pad([[1, 2], [3], [1, 2, 3], [2]], 0)
    examples = pd.DataFrame({"split": ["network", "network", "probe", "test"]})
    data = Dataset("own", tokens, torch.tensor([3, 2, 1, 0]), examples, None, 4, "", mask=mask)
    return replace(data, **changes)


def test_rows_take_their_mask_along() -> None:
    data = sequences()
    assert data.mask is not None
    assert data.probe.mask is not None
    assert data.probe.mask.tolist() == [[True, True, True]]
    picked = data.subset([3, 0])
    assert picked.mask is not None
    assert picked.mask.sum(1).tolist() == [1, 2]
    assert picked.mask.shape == picked.inputs.shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": torch.zeros(4, 3)}, r"float32 \[4, 3\]. Allowed: int64"),
        ({"inputs": torch.full((4, 3), -1)}, "none below 0"),
        (
            {"mask": torch.tensor([[True] * 3, [False, True, True], [True] * 3, [True] * 3])},
            "1 of 4 .* row 1",
        ),
        ({"mask": torch.tensor([[True, False, True]] * 4)}, "4 of 4 rows of the mask, the first in row 0"),
        ({"mask": torch.zeros(4, 3, dtype=torch.bool)}, "padded on the right"),
        ({"mask": None}, r"int64 \[4, 3\]. Allowed: float32 .* with a mask for tokens"),
        ({"targets": torch.tensor([0, 1, 2, 4])}, "4 classes are 0 to 3"),
    ],
)
def test_tokens_and_masks_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        sequences(**changes)


@pytest.mark.parametrize(
    ("tokens", "mask", "message"),
    [
        (torch.zeros(4, 3, dtype=torch.int32), torch.ones(4, 3, dtype=torch.bool), "torch.int32"),
        (torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.bool), r"int64 \[4\]"),
        (
            torch.zeros(4, 3, dtype=torch.int64),
            torch.ones(4, 2, dtype=torch.bool),
            r"\[4, 2\]. Allowed: bool \[4, 3\]",
        ),
        (torch.zeros(4, 3, dtype=torch.int64), torch.ones(4, 3), "The mask is torch.float32"),
    ],
)
def test_wrong_types_and_shapes_are_refused_with_the_right_ones(
    tokens: torch.Tensor, mask: torch.Tensor, message: str
) -> None:
    with pytest.raises(Refused, match=message):
        check_tokens(tokens, mask)


def test_what_is_shown_says_tokens() -> None:
    assert "sequences of up to 3 tokens" in sequences()._repr_html_()


def test_the_digest_counts_the_mask_and_not_the_tokenizer() -> None:
    data = sequences()
    longer = sequences(mask=torch.ones(4, 3, dtype=torch.bool))
    assert longer.digest != data.digest
    assert sequences(tokenizer=WordTokenizer(("a", "b"))).digest == data.digest


def test_a_digest_without_mask_is_what_it_was_before_there_were_masks() -> None:
    data = Dataset.from_arrays([[0.0, 1.0]], [0], split=["test"])
    assert data.digest == "4872d3b8c96fb6d5602accd82b9f1f8bc2fd6b9cac081fab086c0dd761fbb981"


def test_a_digest_of_tokens_is_the_sum_of_the_bytes_it_says() -> None:
    tokens, mask = pad([[1, 2]], 0)
    data = Dataset("", tokens, torch.tensor([0]), pd.DataFrame({"split": ["test"]}), None, 3, "", mask=mask)
    by_hand = hashlib.sha256(b"[null, 3]")
    by_hand.update(b'["<i8", [1, 2]]' + bytes([1, *[0] * 7, 2, *[0] * 7]))
    by_hand.update(b'["<i8", [1]]' + bytes(8))
    by_hand.update(b'["|b1", [1, 2]]' + bytes([1, 1]))
    by_hand.update(b'"split"["test"]')
    assert data.digest == by_hand.hexdigest()
