"""Scores of attention patterns, on patterns small enough to work out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interp.measuring.attention_patterns import (
    ahead,
    behind_earlier,
    by_position_alone,
    prefix_matching,
    previous_token,
)
from interp.refusals import Refused

TOKENS = torch.tensor([[5, 7, 5, 7]])


def looking_at(*places: int) -> Tensor:
    """One example, one head: each query puts all its weight on one place."""
    return torch.eye(len(places))[list(places)][None, None]


def test_the_places_behind_earlier_occurrences_are_found() -> None:
    """Position 2 repeats the 5 of position 0, so it asks for place 1; position 3 repeats the 7 of 1, and asks for 2."""
    assert behind_earlier(TOKENS)[0].nonzero().tolist() == [[2, 1], [3, 2]]


def test_a_token_right_behind_itself_asks_for_its_own_place() -> None:
    assert behind_earlier(torch.tensor([[4, 4, 4]]))[0].nonzero().tolist() == [[1, 1], [2, 1], [2, 2]]


def test_prefix_matching_is_the_weight_on_what_followed_before() -> None:
    assert prefix_matching(looking_at(0, 0, 1, 2), TOKENS).item() == 1.0
    assert prefix_matching(looking_at(0, 0, 1, 0), TOKENS).item() == 0.5
    assert prefix_matching(looking_at(0, 1, 2, 3), TOKENS).item() == 0.0


def test_every_seed_example_and_head_is_scored_by_itself() -> None:
    one, none = looking_at(0, 0, 1, 2)[0, 0], looking_at(0, 1, 2, 3)[0, 0]
    pattern = torch.stack([torch.stack([one, none]), torch.stack([none, one])])[
        :, None
    ]  # [seed, example, head, ...]
    assert prefix_matching(pattern, TOKENS).tolist() == [[[1.0, 0.0]], [[0.0, 1.0]]]


def test_previous_token_is_the_weight_on_the_place_before() -> None:
    assert previous_token(looking_at(0, 0, 1, 2)).item() == 1.0
    assert previous_token(looking_at(0, 0, 1, 3)).item() == pytest.approx(2 / 3)


def test_ahead_is_the_largest_weight_on_a_later_place() -> None:
    assert ahead(looking_at(0, 1, 2, 3)).item() == 0.0
    pattern = looking_at(0, 1, 2, 3).clone()
    pattern[..., 1, 3] = 0.25
    assert ahead(pattern).item() == 0.25


def test_a_head_that_counts_positions_matches_no_better_than_its_mean_pattern() -> None:
    """Two periods: one distance back fits one row only, and the mean pattern of a head that fits both is half right."""
    tokens = torch.tensor([[1, 2, 1, 2, 1, 2], [1, 2, 3, 1, 2, 3]])
    counts = looking_at(0, 0, 1, 2, 3, 4).expand(2, -1, -1, -1)
    assert torch.equal(prefix_matching(by_position_alone(counts), tokens), prefix_matching(counts, tokens))
    finds = torch.cat([looking_at(0, 0, 1, 2, 3, 4), looking_at(0, 0, 0, 1, 2, 3)])
    assert prefix_matching(finds, tokens).flatten().tolist() == [1.0, 1.0]
    assert (prefix_matching(by_position_alone(finds), tokens) < 0.8).all()


def test_rows_that_repeat_nothing_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Refused, match="repeat no token"):
        prefix_matching(looking_at(0, 1, 2), torch.tensor([[1, 2, 3]]))
    with pytest.raises(Refused, match="for each example and position"):
        prefix_matching(looking_at(0, 1, 2), torch.tensor([[1, 1]]))
    with pytest.raises(Refused, match="as wide as it is high"):
        previous_token(torch.ones(1, 1, 1, 1))
