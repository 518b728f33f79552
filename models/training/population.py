"""A population in training: many seeds, one batched network, one step at a time.

Each seed has its own initialisation and its own order of the data, a pure function of (seed, epoch); the losses are
summed over seeds, so each seed's gradient is its own. In float32 a member has the same bits in a population of any
size; at another place in it too, unless its matrices are so odd in size (17 wide, batches of 3) that they lie
differently in memory, which the matrix library's rounding depends on. A seed whose loss is no longer finite is frozen:
its weights stay as they are, and the others go on as if it were not there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.data.dataset import Dataset
from models.networks.families import network_class
from models.refusals import Refused
from models.seeds import generator
from models.training.answering import Questions, answers
from models.training.fitting import check_fit
from models.training.losses import LOSSES, targets_for
from models.training.optimizers import Updates
from models.training.recipes import Recipe
from models.training.schedules import Plateau, factor_at


class Divergence(NamedTuple):
    """Where a seed's loss stopped being finite."""

    seed: int
    step: int
    rate: float


class Population:
    """The networks of a recipe's seeds, between two steps of their training."""

    def __init__(self, recipe: Recipe, data: Dataset, seeds: Sequence[int], device: torch.device) -> None:
        check_fit(recipe, data)
        config = recipe.training
        dtype = getattr(torch, config.dtype)
        self.recipe, self.seeds = recipe, tuple(seeds)
        self.model = network_class(recipe.network)(recipe.network, seeds=seeds).to(device=device, dtype=dtype)
        self.questions = Questions.of(data, device=device, dtype=dtype, causal=self.model.causal)
        self.targets = targets_for(config.loss, data.targets, recipe.network.outputs, dtype).to(device)
        examples = len(self.questions)
        self.batch_size = examples if config.batch_size == "full" else config.batch_size
        if self.batch_size > examples:
            raise Refused(f"A batch of {self.batch_size} is more than the {examples} training examples.")
        self.steps_per_epoch = math.ceil(examples / self.batch_size)
        self.steps = config.epochs * self.steps_per_epoch
        self.step = 0
        self.updates = Updates(config.optimizer, list(self.model.parameters()))
        self.plateau = Plateau(config.schedule, len(self.seeds))
        self.loss_sum = torch.zeros(len(self.seeds), dtype=torch.float64)
        self.diverged_at = torch.full((len(self.seeds),), -1, dtype=torch.int64)
        self.diverged_rate = torch.zeros(len(self.seeds), dtype=torch.float64)
        self._factor: float | None = None
        self._order: tuple[int, Tensor] | None = None

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return self.step // self.steps_per_epoch

    @property
    def divergences(self) -> list[Divergence]:
        """The seeds that are frozen, with step and rate."""
        rows = zip(self.seeds, self.diverged_at.tolist(), self.diverged_rate.tolist(), strict=True)
        return [Divergence(seed, step, rate) for seed, step, rate in rows if step >= 0]

    def advance(self) -> None:
        """One step of every seed that is not frozen."""
        if self.step % self.steps_per_epoch == 0:
            self.loss_sum.zero_()
        self._set_rates()
        losses = LOSSES[self.recipe.training.loss](*self._batch())
        total = losses.sum()
        gradients: Sequence[Tensor] = torch.autograd.grad(total, self.updates.parameters)
        if not math.isfinite(total.item()):
            gradients = self._freeze(losses.detach().cpu(), gradients)
        self.updates.apply(gradients, self.step)
        self.loss_sum += losses.detach().cpu()
        self.step += 1
        if self.step % self.steps_per_epoch == 0:
            self.plateau.see(self.loss_sum / self.steps_per_epoch)
            self._factor = None
        if self.step == self.steps:
            self._check_weights()

    def rates(self) -> Tensor:
        """The learning rate of each seed at this step, `[seed]`."""
        config = self.recipe.training
        return self.plateau.factor * (
            config.optimizer.rate * factor_at(config.schedule, self.step, self.steps)
        )

    def _check_weights(self) -> None:
        """Counts a seed as diverged whose last update left weights that are not finite: no later loss will tell."""
        finite = torch.ones(len(self.seeds), dtype=torch.bool)
        for parameter in self.updates.parameters:
            finite &= parameter.detach().flatten(1).isfinite().all(dim=1).cpu()
        newly = ~finite & (self.diverged_at < 0)
        self.diverged_at[newly] = self.step
        self.diverged_rate[newly] = self.rates()[newly]

    def _set_rates(self) -> None:
        factor = factor_at(self.recipe.training.schedule, self.step, self.steps)
        if factor != self._factor:
            self._factor = factor
            self.updates.set_rates(torch.where(self.diverged_at < 0, self.rates(), 0.0).to(self.model.device))

    def _batch(self) -> tuple[Tensor, Tensor]:
        if self.batch_size == len(self.questions):
            return answers(self.model, self.questions), self.targets
        epoch, place = divmod(self.step, self.steps_per_epoch)
        rows = self._order_of(epoch)[:, place * self.batch_size : (place + 1) * self.batch_size]
        targets = self.targets.index_select(0, rows.reshape(-1)).view(*rows.shape, *self.targets.shape[1:])
        return answers(self.model, self.questions.rows(rows)), targets

    def _order_of(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            orders = [data_order(seed, epoch, len(self.questions)) for seed in self.seeds]
            self._order = (epoch, torch.stack(orders).to(self.model.device))
        return self._order[1]

    def _freeze(self, losses: Tensor, gradients: Sequence[Tensor]) -> list[Tensor]:
        newly = ~losses.isfinite() & (self.diverged_at < 0)
        self.diverged_at[newly] = self.step
        self.diverged_rate[newly] = self.rates()[newly]
        self._factor = None
        self._set_rates()
        going = (self.diverged_at < 0).to(self.model.device)
        return [torch.where(going.view(-1, *[1] * (g.ndim - 1)), g, 0.0) for g in gradients]


def data_order(seed: int, epoch: int, examples: int) -> Tensor:
    """In which order this seed sees the examples in this epoch, `[example]`: a pure function of its arguments."""
    return torch.randperm(examples, generator=generator(seed, "order", epoch))
