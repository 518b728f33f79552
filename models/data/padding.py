"""Sequences of unequal length as one tensor, padded on the right, and the mask that says what is real."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from models.refusals import Refused


def pad(
    sequences: Sequence[Sequence[int]], pad_id: int, *, context: int | None = None
) -> tuple[Int64[Tensor, "example pos"], Bool[Tensor, "example pos"]]:
    """The sequences as `tokens`, filled up with `pad_id` to the longest, and `mask`: True where a token is
    real.

    `context`: the most positions that a network takes. Raises `Refused` for no sequence, an empty one, one
    longer than the context, and numbers below 0.
    """
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    if not len(lengths) or int(lengths.min()) == 0:
        which = f"number {int(lengths.argmin())} is empty" if len(lengths) else "there is none"
        raise Refused(f"Every sequence needs a token, and of {len(lengths)} sequences {which}.")
    longest = int(lengths.max())
    if context is not None and longest > context:
        raise Refused(
            f"Sequence number {int(lengths.argmax())} has {longest} tokens, and {int((lengths > context).sum())} of "
            f"{len(lengths)} are longer than the context of {context}. Shorten them, or take a network with "
            "a longer context."
        )
    mask = torch.arange(longest) < lengths[:, None]
    tokens = torch.full((len(lengths), longest), pad_id)
    tokens[mask] = torch.tensor([token for sequence in sequences for token in sequence])
    if int(tokens.min()) < 0:
        raise Refused(f"Token numbers start at 0; given {int(tokens.min())}.")
    return tokens, mask
