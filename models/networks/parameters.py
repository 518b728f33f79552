"""Parameters of one network or of a population: each seed's are drawn from its own generator, in the order asked for.

A member therefore has the same bits as that network by itself, whichever seeds stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.seeds import generator


class Draw:
    """Makes parameters `[*seed, ...]`; without the seed axis where `alone`."""

    def __init__(self, seeds: Sequence[int], *, alone: bool) -> None:
        self.generators = [generator(seed, "initialisation") for seed in seeds]
        self.alone = alone

    def normal(self, *shape: int, std: float) -> nn.Parameter:
        """Numbers from N(0, std^2)."""
        return self._each(lambda randomness: torch.randn(shape, generator=randomness) * std)

    def uniform(self, *shape: int, bound: float) -> nn.Parameter:
        """Numbers between -bound and bound, all as likely."""
        return self._each(lambda randomness: (2 * torch.rand(shape, generator=randomness) - 1) * bound)

    def constant(self, *shape: int, value: float = 0.0) -> nn.Parameter:
        """The same number everywhere."""
        return self._each(lambda _: torch.full(shape, value))

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> nn.Parameter:
        members = [draw(randomness) for randomness in self.generators]
        return nn.Parameter(members[0] if self.alone else torch.stack(members))
