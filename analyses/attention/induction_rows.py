"""Rows that repeat a block of tokens, and pairs of them that differ in one respect, for `what_does_attention_move`.

At the end of a row a token x is put that a followed before; then in the block comes u, followed by b. Each pair has
this row as its base, and as its source the same row changed in one respect:

- question: the last token is u, so b is asked for. What stands before is untouched.
- place: x and u have changed places everywhere before the end. The same token asks, and what it asks for stands
  elsewhere: behind the new place of x, where b has been all the time.
- content: a is another token z wherever it stood. The same token asks, the same place answers, and it says z.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import models

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pair:
    """Rows `[example, pos]` in a base and a source form, and what each asks for at its end, `[example]`."""

    name: str
    base: Tensor
    source: Tensor
    base_answer: Tensor
    source_answer: Tensor


CHOSEN_BY = 200
"""Rows that heads are chosen by."""


def rows_of(kind: str, length: int, vocabulary: int, *, rows: int, judged: int) -> models.Dataset:
    """Rows to train on, to choose heads by, and to judge on; blocks of length/5 to 2 length/5 tokens.

    `kind`: "runs", the block once and then runs of it from random places, or "repeats", the block again and again.
    """
    make = models.induction_in_runs if kind == "runs" else models.induction
    return make(
        length,
        vocabulary=vocabulary,
        periods=(length // 5, 2 * length // 5),
        splits=(rows, CHOSEN_BY, judged),
    )


def begun_with(data: models.Dataset, token: int, *, offset: int, classes: int) -> models.Dataset:
    """The rows with `offset` added to each token and `token` in front, for a network of `classes` tokens."""
    import torch

    first = torch.full((len(data), 1), token)
    asked = torch.where(data.targets < 0, data.targets, data.targets + offset)
    inputs = torch.cat([first, data.inputs + offset], dim=1)
    return dataclasses.replace(
        data,
        name=f"{data.name} begun with {token}",
        inputs=inputs,
        targets=torch.cat([torch.full_like(first, -1), asked], dim=1),
        mask=torch.ones_like(inputs, dtype=torch.bool),
        classes=classes,
        tokenizer=None,
    )


def pairs(data: models.Dataset, *, tokens: range) -> Iterator[Pair]:
    """The three pairs of every row; x is drawn from its block, z from `tokens`. Blocks have 4 tokens or more."""
    import torch

    here = questioned(data)
    x, a, u, b = (data.inputs.gather(1, (here + steps)[:, None]) for steps in range(4))
    before = torch.arange(data.inputs.shape[1]) < data.inputs.shape[1] - 1
    rows, question = (torch.where(before, data.inputs, asked) for asked in (x, u))
    place = torch.where(before & (rows == x), u, torch.where(before & (rows == u), x, rows))
    z = unused(rows, tokens)
    content = torch.where(rows == a, z, rows)
    for name, source, answer in (("question", question, b), ("place", place, b), ("content", content, z)):
        yield Pair(name, rows, source, a[:, 0], answer[:, 0])


def questioned(data: models.Dataset) -> Tensor:
    """The place of x in each row's block, `[example]`: by lot; where possible the token before the end is not x or u.

    (The end itself would else stand behind an earlier occurrence.)
    """
    import torch

    from models.seeds import generator

    blocks, before = data.inputs, data.inputs[:, -2:-1]
    places = torch.arange(blocks.shape[1] - 3)
    beyond = places >= torch.tensor(data.examples["period"].to_numpy())[:, None] - 3
    unclear = (blocks[:, :-3] == before) | (blocks[:, 2:-1] == before)
    chance = torch.rand(beyond.shape, generator=generator(0, "question"))
    return (chance - unclear.float() - 2 * beyond.float()).argmax(dim=1)


def unused(rows: Tensor, tokens: range) -> Tensor:
    """For each row one of these tokens that does not occur in it, `[example, 1]`."""
    import torch

    from models.seeds import generator

    chance = torch.rand(len(rows), len(tokens), generator=generator(0, "unused token"))
    inside = (rows[:, :, None] == torch.tensor(tokens)).any(dim=1)
    return tokens.start + chance.masked_fill(inside, -1.0).argmax(dim=1, keepdim=True)


def right_by_position(data: models.Dataset, *, learned_from: models.Dataset) -> Tensor:
    """The share of a row's questions that the best fixed distance answers, `[example]`.

    For every position the distance back is chosen that was right most often among the rows of `learned_from`.
    """
    import torch

    length = data.inputs.shape[1]
    right = torch.zeros(data.targets.shape, dtype=torch.bool)
    for pos in range(length):
        seen = learned_from.inputs[:, : pos + 1] == learned_from.targets[:, pos : pos + 1]
        best = int(seen.sum(dim=0).argmax())
        right[:, pos] = data.inputs[:, best] == data.targets[:, pos]
    asked = data.targets >= 0
    return (right & asked).sum(dim=1) / asked.sum(dim=1)
