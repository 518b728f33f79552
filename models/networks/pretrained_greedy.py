"""Greedy continuation: the likeliest next token, again and again.

Every step is a whole forward pass, without a cache of keys and values: so an edit that is in force acts on each step
as it would on the finished sequence, and the same function serves every network of tokens. It costs count passes over
the sequence, which is little for the networks here and much for large ones.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from models.networks.hooked import HookedModel
from models.refusals import Refused


def greedy(
    model: HookedModel, tokens: Int[Tensor, "example pos"], *, count: int
) -> Int[Tensor, "example pos_and_count"]:
    """The tokens and `count` more. Raises `Refused` where the last of them needs more than the network's context."""
    context = getattr(model, "context", None) or getattr(model.config, "context", None)
    needed = tokens.shape[-1] + count - 1
    if count < 0:
        raise Refused(f"count is at least 0; given {count}.")
    if context is not None and count and needed > context:
        raise Refused(
            f"{tokens.shape[-1]} tokens and {count} more take {needed} positions to read, but the context is "
            f"{context}: ask for at most {max(context - tokens.shape[-1] + 1, 0)}."
        )
    with torch.no_grad():
        for _ in range(count):
            following = model(tokens)[..., -1, :].argmax(dim=-1, keepdim=True)
            tokens = torch.cat([tokens, following], dim=-1)
    return tokens
