"""Rotary positions: pairs of a head's dimensions, turned by an angle that grows with the position.

Dimensions 2i and 2i + 1 turn by pos * 10000^(-2i / d_head), so that the product of a query and a key depends on where
they stand only through how far apart they are (Su et al. 2021, RoFormer, https://arxiv.org/abs/2104.09864). Neighbours
are paired, as in that paper and in transformer-lens's native model; Hugging Face's Llama pairs i with i + d_head / 2,
and weights from there must be reordered.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

BASE = 10_000.0


def rotations(context: int, d_head: int) -> Float[Tensor, "2 pos pair"]:
    """Cosine and sine of the angle by which each pair turns at each position, float64."""
    pairs = torch.arange(0, d_head, 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(context, dtype=torch.float64), BASE ** (-pairs / d_head))
    return torch.stack((angles.cos(), angles.sin()))


def rotated(
    x: Float[Tensor, "*seed example pos head d_head"], turns: Float[Tensor, "2 pos pair"]
) -> Float[Tensor, "*seed example pos head d_head"]:
    """Each pair of neighbouring dimensions turned by its angle (its cosine and sine)."""
    cos, sin = turns[:, :, None].to(x.dtype)
    first, second = x[..., 0::2], x[..., 1::2]
    return torch.stack((first * cos - second * sin, first * sin + second * cos), dim=-1).flatten(-2)
