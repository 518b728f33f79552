"""Many minimisations at once: known minima, and honesty about those that do not get there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from interp.measuring.descent import Stopping, minimise


@dataclass(frozen=True)
class Bowls:
    """Functions sum(steepness · (point - lowest)²) / 2; `told` scales the gradient that is told, 1 is the truth."""

    lowest: Tensor
    steepness: Tensor
    told: Tensor

    def value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        offset = points - self.lowest
        slope = self.steepness * offset
        return (slope * offset).sum((-2, -1)) / 2, slope * self.told[..., None, None]

    def precondition(self, gradients: Tensor) -> Tensor:
        return gradients

    def kept(self, own: Tensor, shared: Tensor) -> Bowls:
        return replace(self, lowest=self.lowest[own][:, shared], told=self.told[own][:, shared])


@pytest.fixture
def bowls() -> Bowls:
    generator = torch.Generator().manual_seed(0)
    lowest = torch.randn(4, 3, 2, 5, generator=generator, dtype=torch.float64)
    steepness = torch.logspace(-2, 2, 10, dtype=torch.float64).view(2, 5)
    return Bowls(lowest, steepness, torch.ones(4, 3, dtype=torch.float64))


def test_every_minimum_is_found(bowls):
    points, converged = minimise(bowls, torch.zeros_like(bowls.lowest), stopping=Stopping(1e-9))
    assert bool(converged.all())
    assert torch.allclose(points, bowls.lowest, atol=1e-6)


def test_a_problem_that_starts_at_its_minimum_stays_there(bowls):
    points, converged = minimise(bowls, bowls.lowest, stopping=Stopping(1e-9, iterations=1))
    assert bool(converged.all())
    assert torch.equal(points, bowls.lowest)


def test_one_that_cannot_descend_is_reported_and_the_others_arrive(bowls):
    told = bowls.told.clone()
    told[2, 1] = -1.0  # its gradient points uphill: no step along it ever falls
    points, converged = minimise(
        replace(bowls, told=told), torch.zeros_like(bowls.lowest), stopping=Stopping(1e-9)
    )
    assert torch.nonzero(~converged).tolist() == [[2, 1]]
    assert torch.equal(points[2, 1], torch.zeros(2, 5, dtype=torch.float64))
    assert torch.allclose(points[converged], bowls.lowest[converged], atol=1e-6)


def test_the_start_is_left_as_it_was(bowls):
    start = torch.zeros_like(bowls.lowest)
    minimise(bowls, start, stopping=Stopping(1e-3))
    assert start.abs().max() == 0
