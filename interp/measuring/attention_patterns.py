"""What an attention pattern does, read off its weights: where each query looks, beside the tokens that stand there.

- Prefix matching (Olsson et al. 2022, https://arxiv.org/abs/2209.11895): the weight that a position gives to the places
  right behind earlier occurrences of its own token, averaged over the positions that have any. 1: an induction head's.
- Previous token: the weight on the position before.
- Ahead: the largest weight on a later position; exactly 0 in a causal network.
- By position alone: each example's pattern replaced by the mean over all, which knows positions but no tokens. What it
  scores is what a head would get that never looks at a token: the control wherever the tokens repeat at a regular
  distance.

When they mislead: a weight says where a head looks, not what it takes from there nor whether anybody uses it; and in
rows of one fixed period a head that counts positions matches prefixes perfectly.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from interp.refusals import Refused

Pattern = Float[Tensor, "*seed example head query_pos key_pos"]
OfHeads = Float[Tensor, "*seed example head"]


def prefix_matching(pattern: Pattern, tokens: Int64[Tensor, "row pos"]) -> OfHeads:
    """The weight on what followed the current token before, mean over the positions whose token occurred before.

    Raises `Refused` where an example repeats no token: it has no such position.
    """
    _check(pattern, tokens)
    behind = behind_earlier(tokens)
    asked = behind.any(dim=-1)
    none = (~asked.any(dim=-1)).nonzero().flatten().tolist()
    if none:
        raise Refused(
            f"{len(none)} of {len(tokens)} examples repeat no token (the first: example {none[0]}): prefix matching is "
            "measured where a token occurs again. Give rows that repeat themselves."
        )
    weight = torch.where(behind[:, None], pattern, 0.0).sum(dim=-1)
    return torch.where(asked[:, None], weight, 0.0).sum(dim=-1) / asked.sum(dim=-1)[:, None]


def behind_earlier(tokens: Int64[Tensor, "example pos"]) -> Bool[Tensor, "example query_pos key_pos"]:
    """Which places stand right behind an earlier occurrence of each position's token (and not after it)."""
    length = tokens.shape[-1]
    same = tokens[:, :, None] == tokens[:, None, :]  # the key's own token
    behind = torch.zeros_like(same)
    behind[:, :, 1:] = same[:, :, :-1]
    return behind & torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()


def previous_token(pattern: Pattern) -> OfHeads:
    """The weight on the position before, mean over all positions but the first. Raises `Refused` for one position."""
    _check(pattern)
    return pattern.diagonal(offset=-1, dim1=-2, dim2=-1).mean(dim=-1)


def ahead(pattern: Pattern) -> OfHeads:
    """The largest weight that any position gives to a later one."""
    _check(pattern)
    return pattern.abs().triu(diagonal=1).amax(dim=(-2, -1))


def by_position_alone(pattern: Pattern) -> Pattern:
    """Every example's pattern replaced by the mean over examples."""
    return pattern.mean(dim=-4, keepdim=True).expand(pattern.shape)


def _check(pattern: Tensor, tokens: Tensor | None = None) -> None:
    queries, keys = pattern.shape[-2:]
    if queries != keys or queries < 2:
        raise Refused(
            f"A pattern is as wide as it is high, two positions at least; given {queries} x {keys}."
        )
    if tokens is not None and tuple(tokens.shape) != (pattern.shape[-4], queries):
        raise Refused(
            f"Tokens are given for each example and position of the pattern, {[pattern.shape[-4], queries]}; given "
            f"{list(tokens.shape)}."
        )
