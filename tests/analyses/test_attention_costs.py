"""What `what_do_cheaper_attentions_lose` counts, against figures worked out on paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import models
from analyses.attention.costs import kept_numbers, operations
from analyses.attention.recall import networks, rows_of, share
from analyses.equal_sizes import MOST_UNEQUAL, size
from analyses.what_do_cheaper_attentions_lose import Config

KINDS: dict[str, dict[str, Any]] = {
    "exact": {},
    "multi-query": {"key_heads": 1},
    "window": {"window": 8},
    "linear": {"attention": "linear"},
}


def network(kind: str) -> models.TransformerConfig:
    return models.TransformerConfig(10, 512, layers=1, d_model=16, heads=2, d_mlp=0, **KINDS[kind])


def test_exact_attention_takes_four_operations_a_pair_of_positions_and_dimension() -> None:
    # a score and a weighted value: two products, each a multiplication and an addition, in 2 heads of 8 dimensions
    assert operations(network("exact"), 64) == 4 * 64 * 64 * 2 * 8
    assert operations(network("multi-query"), 64) == operations(network("exact"), 64)


def test_a_window_of_eight_meets_sixteen_positions_at_each() -> None:
    assert operations(network("window"), 64) == 4 * 64 * 16 * 2 * 8
    assert operations(network("window"), 8) == operations(network("exact"), 8)


def test_running_sums_take_products_within_a_chunk_and_with_the_sums() -> None:
    # chunks of 16: scores (8 wide) and values with their count (9 wide) within one; sums of 8 x 9 made and used
    within = 2 * 64 * 16 * (8 + 9)
    with_sums = 2 * 64 * 8 * 9 * 2
    assert operations(network("linear"), 64) == 2 * (within + with_sums)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [("exact", 2 * 100 * 16), ("multi-query", 2 * 100 * 8), ("window", 2 * 8 * 16), ("linear", 2 * 8 * 9)],
)
def test_kept_numbers_are_keys_and_values_or_sums(kind: str, kept: int) -> None:
    assert kept_numbers(network(kind), 100) == kept


def test_each_seed_is_judged_on_its_own_rows() -> None:
    right = np.array([[True, False, False, False], [False, False, True, True]])
    shares = np.array([[True, True, False, False], [False, False, True, True]])
    assert share(right, shares).tolist() == [0.5, 1.0]
    assert share(right, shares, np.array([True, False, True, False])).tolist() == [1.0, 1.0]


def test_kinds_of_attention_are_compared_in_networks_of_equal_size() -> None:
    config = Config(rows=5)
    compared = networks(config, rows_of(config, splits=(5, 5, 5)))
    sizes = {kind: size(one) for kind, one in compared.items()}
    assert max(sizes.values()) <= (1 + MOST_UNEQUAL) * min(sizes.values()), sizes
    assert len({(one.layers, one.d_model, one.heads, one.d_head) for one in compared.values()}) == 1
