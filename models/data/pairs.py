"""Pairs of token sequences: a source, and a target that is to be written after it.

Both sides have a tokenizer of their own, `<pad>` number 0, `<bos>` number 1. A target begins and ends with `<bos>`:
the network is given the target up to a position and is to say what comes next (teacher forcing). What is `<unk>` in a
target is never asked: a network that named it would have said nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor

from models.data.dataset import Dataset
from models.data.padding import pad
from models.data.tokenizers import Special, Tokenizer, WordTokenizer
from models.data.validation import NOT_ASKED, at_least
from models.refusals import Refused

SPECIAL: tuple[Special, ...] = ("<pad>", "<bos>", "<unk>")
PAD, BOUNDARY = 0, 1


@dataclass(frozen=True, repr=False)
class PairTokenizer(Tokenizer):
    """The target's tokenizer in all it does, with the source's beside it, `source`."""

    source: WordTokenizer
    target: WordTokenizer

    def __post_init__(self) -> None:
        for side in (self.source, self.target):
            if (side.pad_id, side.bos_id) != (PAD, BOUNDARY):
                raise Refused(
                    "The tokenizers of pairs have <pad> as number 0 and <bos> as number 1; given "
                    f"{side.vocabulary[:2]}."
                )
        object.__setattr__(self, "special", self.target.special)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.target.vocabulary

    def encode(self, text: str) -> list[int]:
        return self.target.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        return self.target.decode(ids)

    def to_json(self) -> dict[str, Any]:
        return {"kind": "pair", "source": self.source.to_json(), "target": self.target.to_json()}

    def __repr__(self) -> str:
        return f"PairTokenizer({self.source!r} -> {self.target!r})"


def frequent_words(texts: Sequence[str], *, least: int) -> WordTokenizer:
    """The tokenizer of the words that occur `least` times or more; all others are `<unk>`."""
    at_least("least", least, 1)
    counts = pd.Series([word for text in texts for word in text.split()]).value_counts()
    return WordTokenizer((*SPECIAL, *sorted(counts.index[counts >= least])), SPECIAL)


def pair_dataset(name: str, examples: pd.DataFrame, tokenizer: PairTokenizer, *, source: str) -> Dataset:
    """The data set of `examples`, which have the columns `source`, `target` (texts) and `split`.

    Added are `unknown_source` and `unknown_target`, how many words of each are `<unk>`. `source` says where the data
    come from. Raises `Refused` for a text without a word.
    """
    sources, _ = pad([tokenizer.source.encode(text) for text in examples["source"]], PAD)
    written = [tokenizer.target.encode(text) for text in examples["target"]]
    begun, _ = pad([[BOUNDARY, *ids] for ids in written], PAD)
    due, _ = pad([[*ids, BOUNDARY] for ids in written], PAD)
    inputs = torch.cat([sources, begun], dim=1)
    asked = (due != PAD) & (due != tokenizer.target.number("<unk>"))
    return Dataset(
        name,
        inputs,
        torch.where(asked, due, NOT_ASKED),
        examples.assign(
            unknown_source=unknown_in(sources, tokenizer.source),
            unknown_target=unknown_in(due, tokenizer.target),
        ),
        None,
        len(tokenizer),
        source,
        mask=inputs != PAD,
        tokenizer=tokenizer,
        source_positions=sources.shape[1],
    )


def unknown_in(tokens: Int64[Tensor, "example pos"], tokenizer: WordTokenizer) -> list[int]:
    """How many tokens of each example are `<unk>`."""
    return (tokens == tokenizer.number("<unk>")).sum(dim=1).tolist()
