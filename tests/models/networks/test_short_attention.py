"""Attention over a few positions, written out, is the fused kernel's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.networks.attention import SHORT, fused_attention, short_attention
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig


def heads(*shape: int, seed: int) -> Tensor:
    randomness = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=randomness, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("length", range(1, SHORT + 1))
@pytest.mark.parametrize(("lead", "key_heads"), [((5,), 4), ((5,), 2), ((3, 5), 1)])
def test_values_and_gradients_are_those_of_the_fused_kernel(
    length: int, lead: tuple[int, ...], key_heads: int
) -> None:
    q = heads(*lead, length, 4, 6, seed=0)
    k, v = heads(*lead, length, key_heads, 6, seed=1), heads(*lead, length, key_heads, 6, seed=2)
    ours, fused = short_attention(q, k, v), fused_attention(q, k, v, causal=True)
    torch.testing.assert_close(ours, fused, rtol=0, atol=1e-12)
    weights = heads(*ours.shape, seed=3).detach()
    pairs = [torch.autograd.grad((z * weights).sum(), (q, k, v)) for z in (ours, fused)]
    for mine, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_a_sequence_has_the_same_logits_whether_it_is_short_or_the_beginning_of_a_long_one() -> None:
    model = Transformer(TransformerConfig(20, 12, d_model=16, heads=4, d_mlp=24), seeds=(1, 2)).double()
    tokens = torch.randint(20, (4, 12), generator=torch.Generator().manual_seed(0))
    whole = model(tokens)
    for length in (1, 3, 4, 5):
        torch.testing.assert_close(model(tokens[:, :length]), whole[..., :length, :], rtol=0, atol=1e-12)
