"""Two tasks that ask what was said before: the value of a key, and what came after this token last time.

Key-value recall: pairs of a key and its value stand at random places among noise; at the end a key is asked for again,
and the target is its value. Every choice of places is as likely as every other, and every pair as likely to be the one
asked for: so neither the place of a pair nor its distance from the end tells whether it will be. `lag` in `examples`
counts the positions from the value to the answer: accuracy against it is a curve of forgetting. Chance is one in the
number of values; naming any value that was seen, one in the pairs (or a little more, as values may be there twice).

Induction: a block of tokens, all different, repeated until the row is full; the length of the block (`period`) is drawn
for each row, so that no fixed distance back finds what comes next: the token itself must be found again (Olsson et al.
2022, In-context Learning and Induction Heads, https://arxiv.org/abs/2209.11895). Asked are the positions whose token
has been seen before.

When they mislead: in both, what is sought was seen in the same row; nothing is learnt by heart.
"""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.splits import Counts, split_in_order
from models.data.tokenizers import WordTokenizer
from models.data.validation import NOT_ASKED, at_least
from models.refusals import Refused
from models.seeds import generator


def key_value_recall(
    length: int = 40,
    *,
    pairs: int = 3,
    keys: int = 8,
    values: int = 8,
    joined: bool = False,
    splits: Counts = CATALOGUE["recall"].splits,
    seed: int = 0,
) -> Dataset:
    """Rows of `length` tokens that end in `ask` and a key; the target is that key's value, due at the last position.

    Tokens are the keys, the values, `noise`, `ask`. `joined`: a key and its value are one token, at one position, and
    these tokens stand behind the others; then one look back is enough, with two tokens it takes one look at the key and
    one at what comes after it. `examples` has `lag`, `key_pos` and `value_pos` of the pair asked for.
    """
    for name, value, least in (("pairs", pairs, 1), ("keys", keys, pairs), ("values", values, 2)):
        at_least(name, value, least)
    each = 1 if joined else 2
    if length < each * pairs + 2:
        raise Refused(
            f"{pairs} pairs and the question take {each * pairs + 2} positions; given length {length}."
        )
    randomness, count = generator(seed, "key-value recall", length, pairs), sum(splits)
    places = _places(count, length - 2, pairs, randomness, each=each)
    named = torch.rand(count, keys, generator=randomness).argsort(dim=1)[:, :pairs]
    said = torch.randint(keys, keys + values, (count, pairs), generator=randomness)
    asked = torch.randint(pairs, (count, 1), generator=randomness)
    tokens = torch.full((count, length), keys + values)
    if joined:
        tokens.scatter_(1, places, keys + values + 2 + named * values + said - keys)
    else:
        tokens.scatter_(1, places, named).scatter_(1, places + 1, said)
    tokens[:, -2] = keys + values + 1
    tokens[:, -1:] = named.gather(1, asked)
    at = places.gather(1, asked)[:, 0].numpy()
    examples = pd.DataFrame(
        {
            "split": split_in_order(*splits),
            "answer_pos": length - 1,
            "key_pos": at,
            "value_pos": at + each - 1,
            "lag": length - each - at,
        }
    )
    words = [f"k{number}" for number in range(keys)] + [f"v{number}" for number in range(values)]
    words += ["noise", "ask"]
    words += [f"k{key}v{value}" for key in range(keys) for value in range(values)] if joined else []
    return Dataset(
        "recall",
        tokens,
        said.gather(1, asked)[:, 0],
        examples,
        None,
        len(words),
        f"Key-value recall: {pairs} pairs in {length} positions, seed {seed}",
        mask=torch.ones_like(tokens, dtype=torch.bool),
        tokenizer=WordTokenizer(tuple(words)),
    )


def induction(
    length: int = 32,
    *,
    vocabulary: int = 32,
    periods: tuple[int, int] = (6, 14),
    splits: Counts = CATALOGUE["induction"].splits,
    seed: int = 0,
) -> Dataset:
    """Rows that repeat a block of different tokens, and at each repeated token the next as target.

    `periods`: the shortest and the longest block; `examples` has each row's `period`.
    """
    shortest, longest = periods
    if not 1 <= shortest <= longest <= min(vocabulary, length - 1):
        raise Refused(
            f"Periods go from 1 to the vocabulary ({vocabulary}) and below the length ({length}); given {periods}."
        )
    randomness, count = generator(seed, "induction", length, vocabulary), sum(splits)
    blocks = torch.rand(count, vocabulary, generator=randomness).argsort(dim=1)
    period = torch.randint(shortest, longest + 1, (count, 1), generator=randomness)
    whole = blocks.gather(1, torch.arange(length + 1) % period)
    seen = torch.arange(length) >= period
    return Dataset(
        "induction",
        whole[:, :-1].contiguous(),
        torch.where(seen, whole[:, 1:], NOT_ASKED),
        pd.DataFrame({"split": split_in_order(*splits), "period": period[:, 0].numpy()}),
        None,
        vocabulary,
        f"Induction: blocks of {shortest} to {longest} of {vocabulary} tokens, repeated, seed {seed}",
        mask=torch.ones(count, length, dtype=torch.bool),
        tokenizer=WordTokenizer(tuple(f"t{number}" for number in range(vocabulary))),
    )


def induction_in_runs(
    length: int = 32,
    *,
    vocabulary: int = 32,
    periods: tuple[int, int] = (6, 14),
    runs: tuple[int, int] = (2, 5),
    splits: Counts = CATALOGUE["induction"].splits,
    seed: int = 0,
) -> Dataset:
    """Rows that show a block of different tokens once, then runs of it from random places, `|` before each.

    Asked is what comes next inside a run. In rows that only repeat a block the next token is also the one that has not
    been seen for longest, so that counting answers without looking for the token; here it does not. `periods`, `runs`:
    the shortest and the longest block and run (a run also ends with the block); `examples` has each row's `period`.
    """
    shortest, longest = periods
    if not 2 <= shortest <= longest <= min(vocabulary, length - 3) or not 2 <= runs[0] <= runs[1]:
        raise Refused(
            f"Periods go from 2 to the vocabulary ({vocabulary}) and leave 3 positions of the length ({length}), runs "
            f"are of 2 tokens or more; given periods {periods} and runs {runs}."
        )
    randomness, count = generator(seed, "induction in runs", length, vocabulary), sum(splits)
    blocks = torch.rand(count, vocabulary, generator=randomness).argsort(dim=1)
    period = torch.randint(shortest, longest + 1, (count,), generator=randomness)
    places = _walk(period, length + 1, runs, randomness)
    whole = torch.where(places < 0, vocabulary, blocks.gather(1, places.clamp(min=0)))
    inside = (torch.arange(length) >= period[:, None]) & (places[:, :-1] >= 0) & (places[:, 1:] >= 0)
    return Dataset(
        "induction in runs",
        whole[:, :-1].contiguous(),
        torch.where(inside, whole[:, 1:], NOT_ASKED),
        pd.DataFrame({"split": split_in_order(*splits), "period": period.numpy()}),
        None,
        vocabulary + 1,
        f"Induction: blocks of {shortest} to {longest} of {vocabulary} tokens, then runs of {runs[0]} to {runs[1]} "
        f"from random places, seed {seed}",
        mask=torch.ones(count, length, dtype=torch.bool),
        tokenizer=WordTokenizer((*(f"t{number}" for number in range(vocabulary)), "|")),
    )


def _walk(
    period: Int64[Tensor, " example"], length: int, runs: tuple[int, int], randomness: torch.Generator
) -> Int64[Tensor, "example pos"]:
    """Places in the block: all of them once, then runs from random places; -1 stands before each run."""
    count, low, high = len(period), *runs
    places, left, here = [], torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
    for pos in range(length):
        begun = (torch.rand(count, generator=randomness) * (period - 1)).long()
        long = torch.randint(low, high + 1, (count,), generator=randomness)
        first, resting = pos < period, left == 0
        places.append(torch.where(first, pos, torch.where(resting, -1, here)))
        here = torch.where(resting, begun, here + 1)
        left = torch.where(first, 0, torch.where(resting, torch.minimum(long, period - begun), left - 1))
    return torch.stack(places, dim=1)


def _places(
    count: int, room: int, pairs: int, randomness: torch.Generator, *, each: int
) -> Int64[Tensor, "example pair"]:
    """Where pairs begin, in order: any choice of places where no two overlap is as likely as any other.

    Seen as one item each, pairs (of `each` tokens) and noise are shuffled; each pair then moves what is behind it on by
    what it is longer than one.
    """
    more = each - 1
    items = torch.rand(count, room - more * pairs, generator=randomness).argsort(dim=1)[:, :pairs]
    return items.sort(dim=1).values + more * torch.arange(pairs)
