"""Two tasks that ask how far back a network remembers: adding two marked numbers, and copying after a delay.

Adding problem: `length` numbers from (-1, 1), two of them marked, one in each half; the target is the sum of the two.
Always answering 0 has a mean squared error of 2/3, knowing one of the two 1/3.

Copy task: some symbols, a delay of blanks, a sign to go; then the symbols are to be named in their order, the first at
the sign itself. Chance is one in the number of symbols.

When they mislead: the gradient has to pass the distance, but only few numbers have to be kept. The distances of the
adding problem vary from row to row (`lag` in `examples` counts from the first mark to the end); those of the copy task
are all alike, so a network may count positions.

Sources: Hochreiter and Schmidhuber, Long Short-Term Memory (1997), https://doi.org/10.1162/neco.1997.9.8.1735 (whose
targets are scaled otherwise); one mark in each half, and the copy task in this form: Arjovsky, Shah and Bengio,
Unitary Evolution Recurrent Neural Networks (2016), https://arxiv.org/abs/1511.06464.
"""

from __future__ import annotations

import pandas as pd
import torch

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.splits import Counts, split_in_order
from models.data.tokenizers import WordTokenizer
from models.data.validation import NOT_ASKED, at_least
from models.seeds import generator


def adding_problem(
    length: int = 100, *, splits: Counts = CATALOGUE["adding"].splits, seed: int = 0
) -> Dataset:
    """Sequences of (number, mark), float32 `[example, pos, 2]`, and the sum of the marked ones, `[example, 1]`.

    `examples` has the marks' positions, `first_pos` and `second_pos`, and `lag`, from the first to the end.
    """
    at_least("length", length, 2)
    randomness, count, half = generator(seed, "adding problem", length), sum(splits), length // 2
    values = torch.rand(count, length, generator=randomness) * 2 - 1
    first = torch.randint(half, (count, 1), generator=randomness)
    second = torch.randint(half, length, (count, 1), generator=randomness)
    marks = torch.zeros_like(values).scatter_(1, first, 1.0).scatter_(1, second, 1.0)
    examples = pd.DataFrame(
        {
            "split": split_in_order(*splits),
            "first_pos": first[:, 0].numpy(),
            "second_pos": second[:, 0].numpy(),
            "lag": length - 1 - first[:, 0].numpy(),
        }
    )
    return Dataset(
        "adding",
        torch.stack([values, marks], dim=-1),
        values.gather(1, first) + values.gather(1, second),
        examples,
        None,
        0,
        f"Adding problem of length {length} (Hochreiter and Schmidhuber 1997), seed {seed}",
    )


def copy_task(
    *,
    symbols: int = 8,
    copied: int = 5,
    delay: int = 20,
    splits: Counts = CATALOGUE["copy"].splits,
    seed: int = 0,
) -> Dataset:
    """`copied` symbols, `delay` blanks, `go`, blanks: int64 `[example, pos]`; targets at `go` and the blanks after it.

    Tokens are the symbols, then the blank, then `go`; `2 * copied + delay` positions.
    """
    for name, value, least in (("symbols", symbols, 2), ("copied", copied, 1), ("delay", delay, 0)):
        at_least(name, value, least)
    count, length = sum(splits), 2 * copied + delay
    blank, go = symbols, symbols + 1
    shown = torch.randint(symbols, (count, copied), generator=generator(seed, "copy task", copied, delay))
    tokens = torch.full((count, length), blank)
    tokens[:, :copied] = shown
    tokens[:, copied + delay] = go
    targets = torch.full((count, length), NOT_ASKED)
    targets[:, copied + delay :] = shown
    words = tuple(f"s{number}" for number in range(symbols))
    return Dataset(
        "copy",
        tokens,
        targets,
        pd.DataFrame({"split": split_in_order(*splits), "delay": delay}),
        None,
        symbols + 2,
        f"Copy task: {copied} of {symbols} symbols after {delay} blanks (Arjovsky et al. 2016), seed {seed}",
        mask=torch.ones_like(tokens, dtype=torch.bool),
        tokenizer=WordTokenizer((*words, "blank", "go")),
    )
