"""Learning-rate schedules: a factor for each seed, a function of the step or of that seed's own losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.training.training_config import Schedule


def factor_at(schedule: Schedule, step: int, steps: int) -> float:
    """What the rate is multiplied by at `step` of `steps` (1 for `constant` and `plateau`)."""
    if schedule.name == "step":
        return schedule.factor ** (step // schedule.every)
    if schedule.name == "cosine":
        progress = step / max(steps - 1, 1)
        return schedule.factor + (1 - schedule.factor) * (1 + math.cos(math.pi * progress)) / 2
    return 1.0


class Plateau:
    """Lowers a seed's rate when its loss has not fallen below its best for `every` epochs; all tensors `[seed]`."""

    def __init__(self, schedule: Schedule, members: int) -> None:
        self.schedule = schedule
        self.best = torch.full((members,), math.inf, dtype=torch.float64)
        self.waited = torch.zeros(members, dtype=torch.int64)
        self.factor = torch.ones(members, dtype=torch.float64)

    def see(self, losses: Tensor) -> None:
        """Takes the seeds' losses of the epoch that has ended."""
        if self.schedule.name != "plateau":
            return
        better = losses < self.best
        self.best = torch.where(better, losses, self.best)
        self.waited = torch.where(better, 0, self.waited + 1)
        patience_over = self.waited >= self.schedule.every
        self.factor = torch.where(patience_over, self.factor * self.schedule.factor, self.factor)
        self.waited = torch.where(patience_over, 0, self.waited)
