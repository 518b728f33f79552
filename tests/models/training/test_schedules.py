from __future__ import annotations

import pytest
import torch
from torch import nn

from models.training.schedules import Plateau, factor_at
from models.training.training_config import Schedule


def test_a_step_schedule_multiplies_every_so_many_steps() -> None:
    schedule = Schedule("step", every=3, factor=0.5)
    assert [factor_at(schedule, step, 9) for step in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_a_cosine_goes_from_one_to_its_factor_and_is_halfway_in_the_middle() -> None:
    schedule = Schedule("cosine", factor=0.2)
    assert factor_at(schedule, 0, 101) == 1
    assert factor_at(schedule, 50, 101) == pytest.approx(0.6)
    assert factor_at(schedule, 100, 101) == pytest.approx(0.2)


def test_a_cosine_is_torchs_own() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.1)
    for step in range(21):
        assert factor_at(Schedule("cosine", factor=0.1), step, 21) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_plateau_lowers_only_the_rate_of_the_seed_that_is_stuck() -> None:
    plateau = Plateau(Schedule("plateau", every=2, factor=0.1), members=2)
    for falling, stuck in [(5.0, 5.0), (4.0, 5.0), (3.0, 6.0), (2.0, 5.5), (1.0, 7.0)]:
        plateau.see(torch.tensor([falling, stuck], dtype=torch.float64))
    assert plateau.factor.tolist() == pytest.approx([1.0, 0.01])


def test_a_constant_schedule_never_changes_the_rate() -> None:
    plateau = Plateau(Schedule("constant"), members=1)
    for _ in range(9):
        plateau.see(torch.ones(1, dtype=torch.float64))
    assert plateau.factor.tolist() == [1.0]
    assert factor_at(Schedule("constant"), 7, 9) == 1
