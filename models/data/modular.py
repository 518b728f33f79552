"""Addition modulo a prime, all of it: `a b =` with the answer (a + b) mod p.

The network split is a random part of the p^2 questions, and the rest is held out: what is right there has not been
learnt by heart. The small networks that learn this do so long after they know the network split ("grokking").

Sources: Power et al., Grokking (2022), https://arxiv.org/abs/2201.02177; p = 113 and 30 % as in Nanda et al., Progress
measures for grokking (2023), https://arxiv.org/abs/2301.05217.
"""

from __future__ import annotations

import pandas as pd
import torch

from models.data.dataset import Dataset
from models.data.splits import split_at_random
from models.data.tokenizers import WordTokenizer
from models.data.validation import at_least

SHARES = (0.3, 0.2, 0.5)


def modular_addition(
    modulus: int = 113, *, shares: tuple[float, float, float] = SHARES, seed: int = 0
) -> Dataset:
    """All questions, int64 `[example, 3]`; tokens are 0 to modulus - 1, then `=`. `examples` has `a`, `b`, `sum`."""
    at_least("modulus", modulus, 2)
    a, b = torch.meshgrid(torch.arange(modulus), torch.arange(modulus), indexing="ij")
    a, b = a.flatten(), b.flatten()
    tokens = torch.stack([a, b, torch.full_like(a, modulus)], dim=1)
    examples = pd.DataFrame(
        {
            "split": split_at_random(len(a), seed=seed, shares=shares),
            "answer_pos": 2,
            "a": a.numpy(),
            "b": b.numpy(),
            "sum": ((a + b) % modulus).numpy(),
        }
    )
    return Dataset(
        "modular",
        tokens,
        (a + b) % modulus,
        examples,
        None,
        modulus + 1,
        f"Addition modulo {modulus}, {shares[0]:.0%} for training, seed {seed}",
        mask=torch.ones_like(tokens, dtype=torch.bool),
        tokenizer=WordTokenizer((*map(str, range(modulus)), "=")),
    )
