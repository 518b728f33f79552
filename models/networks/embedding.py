"""Token embeddings, for one network or a population."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.parameters import Draw


class Embedding(nn.Module):
    """`W_E [*seed, token, d_model]`; a population's tables lie one after the other, and each seed looks in its own."""

    def __init__(self, vocabulary: int, d_model: int, draw: Draw, *, scale: float) -> None:
        super().__init__()
        self.W_E = draw.normal(vocabulary, d_model, std=scale * d_model**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[*seed, example, pos, d_model]` of `tokens [*seed, example, pos]`, shared by all seeds or one for each."""
        if self.W_E.ndim == 2:
            return F.embedding(tokens, self.W_E)
        seeds, vocabulary, _ = self.W_E.shape
        offsets = torch.arange(0, seeds * vocabulary, vocabulary, device=tokens.device)
        return F.embedding(tokens + offsets[:, None, None], self.W_E.flatten(0, 1))
