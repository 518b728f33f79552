"""What the benchmarks of sequences time: a training step on the next token."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def training_step(network: nn.Module, tokens: Tensor) -> Callable[[], None]:
    """Forward, backward and Adam on the next token."""
    optimizer, targets = torch.optim.Adam(network.parameters(), lr=1e-3), tokens.roll(-1, dims=-1).flatten()

    def step() -> None:
        loss = F.cross_entropy(network(tokens).flatten(0, 1), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
