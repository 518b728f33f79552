"""A task that order alone decides: which of two symbols came first?

Two different symbols stand at random places among noise, and at the end it is asked for the one that came first. Each
pair of symbols is as often in one order as in the other, and every choice of places is as likely as any other: who
knows which symbols are there, but not their order, is right in one row of two.

When it misleads: order is all that is asked for, and it is asked of two places only; language asks for less and for
more.
"""

from __future__ import annotations

import pandas as pd
import torch

from models.data.dataset import Dataset
from models.data.splits import Counts, split_in_order
from models.data.tokenizers import WordTokenizer
from models.data.validation import at_least
from models.refusals import Refused
from models.seeds import generator


def which_came_first(
    length: int = 12, *, symbols: int = 8, splits: Counts = (4_000, 500, 2_000), seed: int = 0
) -> Dataset:
    """Rows of `length` tokens that end in `ask`; the target is the symbol that came first, due at the last position.

    Tokens are the symbols, `noise`, `ask`. `examples` has `first_pos` and `second_pos`.
    """
    at_least("symbols", symbols, 2)
    if length < 3:
        raise Refused(f"Two symbols and the question take 3 positions; given length {length}.")
    randomness, count = generator(seed, "which came first", length, symbols), sum(splits)
    places = torch.rand(count, length - 1, generator=randomness).argsort(dim=1)[:, :2].sort(dim=1).values
    named = torch.rand(count, symbols, generator=randomness).argsort(dim=1)[:, :2]
    tokens = torch.full((count, length), symbols).scatter_(1, places, named)
    tokens[:, -1] = symbols + 1
    examples = pd.DataFrame(
        {
            "split": split_in_order(*splits),
            "answer_pos": length - 1,
            "first_pos": places[:, 0].numpy(),
            "second_pos": places[:, 1].numpy(),
        }
    )
    words = tuple(f"s{number}" for number in range(symbols))
    return Dataset(
        "order",
        tokens,
        named[:, 0].contiguous(),
        examples,
        None,
        symbols + 2,
        f"Which of two symbols came first, in {length} positions, seed {seed}",
        mask=torch.ones_like(tokens, dtype=torch.bool),
        tokenizer=WordTokenizer((*words, "noise", "ask")),
    )
