"""What a network of tokens refuses to read: other dtypes, tokens it does not have, sequences too long, torn masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from models.refusals import Refused


class ReadsTokens(Protocol):
    """What the config of a network of tokens says of them: how many there are, and the most positions (None: any)."""

    @property
    def vocabulary(self) -> int: ...

    @property
    def context(self) -> int | None: ...


def check_tokens(tokens: Tensor, config: ReadsTokens, *, seeds: Sequence[int] | None) -> None:
    """Refuses what is not `[example, pos]` (or, in a population, `[seed, example, pos]`) of known tokens, int64."""
    shapes = "[example, pos]" if seeds is None else f"[example, pos] or [{len(seeds)} seeds, example, pos]"
    fits = tokens.ndim == 2 or (seeds is not None and tokens.ndim == 3 and len(tokens) == len(seeds))
    if not fits or 0 in tokens.shape:
        raise Refused(f"Tokens are {shapes}, at least one of each; given shape {tuple(tokens.shape)}.")
    if tokens.dtype != torch.int64:
        raise Refused(
            f"Tokens are whole numbers of dtype torch.int64; given {tokens.dtype}, shape {tuple(tokens.shape)}."
        )
    if config.context is not None and tokens.shape[-1] > config.context:
        raise Refused(
            f"The context is {config.context} positions; given sequences of {tokens.shape[-1]}, shape "
            f"{tuple(tokens.shape)}. Cut them, or build the network with a longer context."
        )
    least, most = (int(bound) for bound in torch.aminmax(tokens))
    if least < 0 or most >= config.vocabulary:
        stranger = least if least < 0 else most
        raise Refused(f"There is no token {stranger}: the vocabulary has {config.vocabulary:,}, from 0 up.")


def check_mask(mask: Tensor, shape: Sequence[int]) -> None:
    """Refuses a mask that is not bool, does not fit `shape [*seed, example, pos]`, or pads but at the end."""
    if mask.dtype != torch.bool or mask.ndim < 2 or tuple(mask.shape) != tuple(shape[-mask.ndim :]):
        raise Refused(
            f"A mask is torch.bool, shaped like the tokens {tuple(shape[-2:])}; given {mask.dtype}, "
            f"{tuple(mask.shape)}."
        )
    if not bool(mask[..., 0].all()):
        rows = int((~mask[..., 0]).sum())
        raise Refused(f"The first position of {rows} sequences is masked: padding stands at the end.")
    if bool((mask[..., 1:] & ~mask[..., :-1]).any()):
        rows = int((mask[..., 1:] & ~mask[..., :-1]).any(dim=-1).sum())
        raise Refused(f"{rows} sequences have real tokens after padding: padding stands at the end.")
