"""Seconds of attention of each kind over long sequences (one thread): exact, a window of 64, linear.

One sequence, 4 heads of 16 dimensions, forward alone. The kinds take turns within one loop; what is measured is
processor time, medians. Counts of operations, which do not differ from run to run, are in
analyses/what_do_cheaper_attentions_lose.py.
"""

from __future__ import annotations

import torch
from timing import interleaved
from torch import Tensor

from models.networks.attention import fused_attention
from models.networks.cheaper_attention import linear_attention, windowed_attention
from models.training.train import one_thread

SHORT, LONG, REPEATS, WINDOW = 256, 4_096, 12, 64


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    with one_thread(), torch.no_grad():
        long, short = seconds(LONG), seconds(SHORT)
    (exact, windowed, linear), times = long, LONG // SHORT
    return [
        (f"attention over {LONG} positions, exact / window of {WINDOW}", exact / windowed, ">= 4"),
        (f"attention over {LONG} positions, exact / linear", exact / linear, ">= 4"),
        (f"exact attention, {times} times as long: times the seconds", exact / short[0], "for comparison"),
        (f"window, {times} times as long: times the seconds", windowed / short[1], "for comparison"),
        (f"linear, {times} times as long: times the seconds", linear / short[2], "for comparison"),
    ]


def seconds(length: int) -> list[float]:
    """Of each kind over one sequence of this length."""
    q, k, v = (some_heads(length, seed) for seed in range(3))
    return interleaved(
        [
            lambda: fused_attention(q, k, v, causal=True),
            lambda: windowed_attention(q, k, v, window=WINDOW),
            lambda: linear_attention(q, k, v),
        ],
        REPEATS,
    )


def some_heads(length: int, seed: int) -> Tensor:
    """Queries, keys or values, `[1, pos, head, d_head]`."""
    return torch.randn(1, length, 4, 16, generator=torch.Generator().manual_seed(seed))
