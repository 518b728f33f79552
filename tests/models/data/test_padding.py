"""Padding: what is real stays, what is filled up is masked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.data.padding import pad
from models.refusals import Refused

sequences = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=9)


@given(sequences, st.integers(0, 99))
def test_the_mask_gives_the_sequences_back_and_the_rest_is_padding(
    given_: list[list[int]], pad_id: int
) -> None:
    tokens, mask = pad(given_, pad_id)
    assert [row[real].tolist() for row, real in zip(tokens, mask, strict=True)] == given_
    assert (tokens[~mask] == pad_id).all()
    assert tokens.shape == mask.shape == (len(given_), max(map(len, given_)))
    assert mask.sum(1).tolist() == list(map(len, given_))
    assert (tokens.dtype, mask.dtype) == (torch.int64, torch.bool)


def test_padding_is_on_the_right() -> None:
    tokens, mask = pad([[5], [6, 7, 8]], 0, context=3)
    assert tokens.tolist() == [[5, 0, 0], [6, 7, 8]]
    assert mask.tolist() == [[True, False, False], [True, True, True]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "of 0 sequences there is none"),
        ([[1], [], [2]], "of 3 sequences number 1 is empty"),
        ([[1], [1, 2, 3, 4]], r"number 1 has 4 tokens, and 1 of 2 are longer than the context of 3"),
        ([[1, -2]], "start at 0; given -2"),
    ],
)
def test_what_cannot_be_padded_is_refused(wrong: list[list[int]], message: str) -> None:
    with pytest.raises(Refused, match=message):
        pad(wrong, 0, context=3)
