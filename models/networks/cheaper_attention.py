"""Attention whose cost grows with the length of the sequence, not with its square.

Sliding window: a position sees itself and the `window` - 1 before it (Beltagy, Peters and Cohan 2020,
https://arxiv.org/abs/2004.05150). The sequence is cut into blocks as long as the window; a block's queries meet the
keys of their own block and of the one before, which hold all that they may see. After L layers nothing from more than
L (window - 1) positions back can have come through.

Linear: the similarity of a query and a key is the product of their features, phi(x) = elu(x) + 1, which are positive;
pattern = similarity / its sum over what is seen (Katharopoulos et al. 2020, https://arxiv.org/abs/2006.16236). Then
z = phi(q) S / phi(q) s, with S the running sum of phi(k) v and s that of phi(k): nothing is kept but sums of a fixed
size. Sums are carried from chunk to chunk, and written out within one. With its pattern laid open it is the quadratic
form; the two agree to rounding.

When they mislead: both are other functions than softmax attention, not approximations of it, so networks are trained
with them and not converted; and for sequences of a few dozen positions they are slower than the fused kernel.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

CHUNK = 16  # positions within which linear attention is written out
Heads = Float[Tensor, "*seed example pos head d_head"]
KeyHeads = Float[Tensor, "*seed example pos key_head d_head"]
SeenHeads = Float[Tensor, "*seed example key_pos key_head d_head"]
Pattern = Float[Tensor, "*seed example head query_pos key_pos"]


def windowed_attention(q: Heads, k: KeyHeads, v: KeyHeads, *, window: int) -> Heads:
    """Causal softmax attention to the last `window` positions; no scores of others are made."""
    length, batch = q.shape[-3], math.prod(q.shape[:-3])
    blocks = math.ceil(length / window)
    queries, keys, values = (_in_blocks(x, blocks, window) for x in (q, k, v))
    z = F.scaled_dot_product_attention(
        queries.flatten(0, 1),
        _with_block_before(keys).flatten(0, 1),
        _with_block_before(values).flatten(0, 1),
        attn_mask=_within_blocks(blocks, window, q.device).expand(batch, -1, -1, -1).flatten(0, 1)[:, None],
        enable_gqa=q.shape[-2] != k.shape[-2],
    )
    whole = z.transpose(1, 2).reshape(batch, blocks * window, *q.shape[-2:])
    return whole[:, :length].reshape(q.shape)


def _in_blocks(x: Tensor, blocks: int, window: int) -> Tensor:
    """`[batch, block, head, place, d_head]`, filled up with zeros behind the end."""
    missing = blocks * window - x.shape[-3]
    filled = F.pad(x.flatten(0, -4), (0, 0, 0, 0, 0, missing))
    return filled.view(len(filled), blocks, window, *x.shape[-2:]).transpose(2, 3)


def _with_block_before(x: Tensor) -> Tensor:
    """Each block behind the one before it; the first behind zeros, which nobody sees."""
    return torch.cat([F.pad(x[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)), x], dim=3)


def _within_blocks(blocks: int, window: int, device: torch.device) -> Tensor:
    """Which of two blocks of keys each query of the second may see, `[block, query, key]`."""
    seen = torch.ones(window, 2 * window, dtype=torch.bool, device=device)
    every = seen.tril(window).triu(1).repeat(blocks, 1, 1)
    every[0, :, :window] = False
    return every


def linear_attention(q: Heads, k: KeyHeads, v: KeyHeads) -> Heads:
    """Causal attention by running sums, a chunk at a time; a sequence of at most two chunks is written out whole."""
    length, shared = q.shape[-3], q.shape[-2] // k.shape[-2]
    chunk = CHUNK if length > 2 * CHUNK else length
    chunks = math.ceil(length / chunk)
    counted = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)  # its last column sums the weights
    queries = _in_blocks(features(q), chunks, chunk)
    keys, values = (
        _in_blocks(x, chunks, chunk).repeat_interleave(shared, dim=2) for x in (features(k), counted)
    )
    total = (queries @ keys.mT).tril() @ values
    if chunks > 1:
        total = total + queries @ _sums_before(keys, values)
    total = total.transpose(2, 3).flatten(1, 2)[:, :length]
    return (total[..., :-1] / total[..., -1:]).reshape(q.shape)


def _sums_before(keys: Tensor, values: Tensor) -> Tensor:
    """Of each chunk, what all before it sum up to, `[batch, chunk, head, d_head, d_head + 1]`."""
    sums = keys.mT @ values
    return F.pad(sums.cumsum(dim=1)[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))


def features(x: Float[Tensor, "*any d_head"]) -> Float[Tensor, "*any d_head"]:
    """elu(x) + 1, above zero (torch's elu rounds otherwise at the end of a tensor, exp does not)."""
    return torch.where(x > 0, x + 1, x.clamp(max=0.0).exp())


def similarities(q: Heads, k: SeenHeads) -> Pattern:
    """The product of each query's and each key's features."""
    k = k.repeat_interleave(q.shape[-2] // k.shape[-2], dim=-2)
    return features(q).transpose(-3, -2) @ features(k).movedim(-3, -1)


def as_shares(similarity: Pattern) -> Pattern:
    """Each query's similarities divided by their sum; what is not seen is zero already."""
    return similarity / similarity.sum(dim=-1, keepdim=True)
