"""Optimizers for populations: elementwise rules whose rate is a number for each seed.

    sgd       p <- p - rate g
    momentum  v <- beta1 v + g;   p <- p - rate v
    adam(w)   m, s <- running means of g, g^2;   p <- p - rate m' / (sqrt(s') + epsilon), bias-corrected

as torch.optim has them (the tests hold each against it). One arithmetic for every number of seeds, so that a member of
a population goes the same way bit by bit whoever trains beside it; a frozen seed's gradient and rate are zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.training.training_config import Optimizer


class Updates:
    """Applies one optimizer to a population's parameters (each with a leading `seed` axis), in place."""

    def __init__(self, config: Optimizer, parameters: Sequence[Tensor]) -> None:
        self.config = config
        self.parameters = list(parameters)
        kinds = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2}[config.name]
        self.memory = [[torch.zeros_like(p) for p in self.parameters] for _ in range(kinds)]
        self._descent: list[Tensor] = []

    def set_rates(self, rates: Tensor) -> None:
        """The learning rate of each seed, from now on; `rates [seed]`."""
        self._descent = [-rates.to(p.dtype).view(-1, *[1] * (p.ndim - 1)) for p in self.parameters]

    @torch.no_grad()
    def apply(self, gradients: Sequence[Tensor], step: int) -> None:
        """Moves every parameter by its gradient; `step` counts from 0."""
        for place, gradient in enumerate(gradients):
            parameter, descent = self.parameters[place], self._descent[place]
            if self.config.weight_decay and self.config.name == "adamw":
                parameter.addcmul_(parameter, descent, value=self.config.weight_decay)
            elif self.config.weight_decay:
                gradient = gradient.add(parameter, alpha=self.config.weight_decay)
            parameter.addcmul_(self._direction(place, gradient, step), descent)

    def _direction(self, place: int, gradient: Tensor, step: int) -> Tensor:
        if not self.memory:
            return gradient
        first = self.memory[0][place]
        if self.config.name == "momentum":
            return first.mul_(self.config.beta1).add_(gradient)
        return self._adam(first, self.memory[1][place], gradient, step + 1)

    def _adam(self, mean: Tensor, square: Tensor, gradient: Tensor, count: int) -> Tensor:
        beta1, beta2 = self.config.beta1, self.config.beta2
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = square.sqrt().div_((1 - beta2**count) ** 0.5).add_(self.config.epsilon)
        return torch.div(mean, spread).mul_(1 / (1 - beta1**count))
