"""Seconds against length: networks of one layer that read step by step, with attention, and with cheaper attentions.

Recurrent networks of 64 units; transformers of d_model 64, 4 heads, no MLP, exact, multi-query, with a window of 64,
and linear (one thread). Measured are a training step (forward, backward, Adam) on one sequence and one new token after
a sequence that is kept. `twice as long` is 4,096 positions over 2,048: 2 where cost grows with the length, 4 where with
its square; what is done at each position apart (embedding, projections, logits) draws it towards 2. The kinds and
lengths take turns within one loop; processor time, medians. Counted operations are in
analyses/what_do_cheaper_attentions_lose.py, chains of products that wait in analyses/who_remembers_longest.py: those do
not differ between machines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from steps import training_step
from timing import interleaved
from torch import Tensor

from models.networks.generation import Reading, StateReading
from models.networks.key_value_cache import CachedReading
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.training.train import one_thread

LENGTHS, TOKENS, WIDTH, REPEATS = (256, 512, 1_024, 2_048, 4_096), 32, 64, 7
KEPT = 96  # tokens that are written after a sequence
STEPWISE = {"tanh network": "rnn", "LSTM": "lstm", "GRU": "gru"}
ATTENTIONS: dict[str, dict[str, Any]] = {
    "exact attention": {},
    "multi-query attention": {"key_heads": 1},
    "window of 64": {"window": 64},
    "linear attention": {"attention": "linear"},
}
BOUNDS = {"exact attention": ">= 2.5", "multi-query attention": ">= 2.5"}

Network = Recurrent | Transformer


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    with one_thread():
        seconds = {name: against_length(network) for name, network in networks().items()}
    exact = seconds["exact attention"]
    twice = [
        (
            f"training step twice as long ({LENGTHS[-1]:,}), times the seconds: {name}",
            one[-1] / one[-2],
            BOUNDS.get(name, "<= 2.5"),
        )
        for name, one in seconds.items()
    ]
    beside = [
        (
            f"training step over {length:,} positions / exact attention: {name}",
            ours / theirs,
            "for comparison",
        )
        for name, one in seconds.items()
        if one is not exact
        for length, ours, theirs in zip(LENGTHS, one, exact, strict=True)
        if length in (LENGTHS[0], LENGTHS[-1])
    ]
    return [*twice, *beside, *written()]


def written() -> list[tuple[str, float, str]]:
    """What a new token takes after a long sequence that was read, over after a short one."""
    found, kinds = [], networks()
    with one_thread(), torch.no_grad():
        for name, reads in {"GRU": StateReading, "exact attention": cached}.items():
            few, many = (
                next_token(reads(kinds[name]), length) for length in (LENGTHS[0], LENGTHS[-1] - KEPT)
            )
            short, long = interleaved([few, many], KEPT - 3)
            found.append(
                (
                    f"a new token after {LENGTHS[-1] - KEPT:,} / after {LENGTHS[0]}: {name}",
                    long / short,
                    "for comparison",
                )
            )
    return found


def cached(network: Transformer) -> CachedReading:
    """Reads each token once and keeps its keys and values."""
    return CachedReading(network, torch.Size([1]), longest=LENGTHS[-1])


def next_token(reading: Reading, length: int) -> Callable[[], object]:
    """Reads a sequence of this length; then each call reads one token more."""
    reading.after(some_tokens(length))
    return lambda: reading.after(some_tokens(1))


def networks() -> dict[str, Network]:
    """Networks of one layer that name the next token at each position."""
    found: dict[str, Network] = {
        name: Recurrent(RecurrentConfig(WIDTH, TOKENS, cell=cell, vocabulary=TOKENS, answers="each"))  # type: ignore[arg-type]
        for name, cell in STEPWISE.items()
    }
    for name, changes in ATTENTIONS.items():
        config = TransformerConfig(TOKENS, LENGTHS[-1], layers=1, d_model=WIDTH, d_mlp=0, **changes)
        found[name] = Transformer(config)
    return found


def against_length(network: Network) -> list[float]:
    """Processor seconds of a training step on one sequence of each length."""
    return interleaved([training_step(network, some_tokens(length)) for length in LENGTHS], REPEATS, warm=2)


def some_tokens(length: int) -> Tensor:
    """One sequence of any tokens, the same each time."""
    return torch.randint(TOKENS, (1, length), generator=torch.Generator().manual_seed(0))


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:90} {measured:7.3f}   {bound}")
