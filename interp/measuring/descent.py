"""Minimise many smooth convex functions at once: preconditioned L-BFGS, every problem at its own pace.

Each round evaluates all running problems at their trial points in one batch. A problem whose trial value
falls enough (Armijo's rule) moves there and takes a new direction; one whose does not halves its step. The
direction is the two-loop recursion over the last few moves, started from the problem's own preconditioner,
scaled by the newest curvature. Problems that have reached the tolerance leave the batch: slow ones do not
hold up the rest.

It misleads on functions that are not convex, and where the tolerance is below what the dtype resolves: such
problems stall and are reported as not converged.

Source: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization" (1989),
doi.org/10.1007/BF01589116.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MEMORY = 8
SUFFICIENT_DECREASE = 1e-4
SMALLEST_STEP = 1e-9

Points = Float[Tensor, "own shared row column"]
Values = Float[Tensor, "own shared"]


@runtime_checkable
class Problems(Protocol):
    """Convex functions on a grid `[own, shared]`, each of a matrix `[row, column]`."""

    def value_and_gradient(self, points: Points) -> tuple[Values, Points]:
        """Each function's value and gradient at its point."""

    def precondition(self, gradients: Points) -> Points:
        """A positive definite guess of the inverse Hessian, applied to each gradient."""

    def kept(self, own: Tensor, shared: Tensor) -> Problems:
        """The problems of the given rows and columns of the grid."""


@dataclass(frozen=True)
class Stopping:
    """When to stop: largest entry of the gradient at most `tolerance`, or after `iterations` evaluations."""

    tolerance: float = 1e-4
    iterations: int = 1000


@dataclass
class _State:
    point: Tensor
    value: Tensor
    gradient: Tensor
    direction: Tensor
    step: Tensor
    curvature: Tensor
    moves: deque[tuple[Tensor, Tensor, Tensor]]

    def kept(self, own: Tensor, shared: Tensor) -> _State:
        def pick(tensor: Tensor) -> Tensor:
            return tensor[own][:, shared]

        moves = deque(((pick(s), pick(y), pick(r)) for s, y, r in self.moves), MEMORY)
        return _State(
            point=pick(self.point),
            value=pick(self.value),
            gradient=pick(self.gradient),
            direction=pick(self.direction),
            step=pick(self.step),
            curvature=pick(self.curvature),
            moves=moves,
        )


def minimise(
    problems: Problems, start: Points, *, stopping: Stopping
) -> tuple[Points, Bool[Tensor, "own shared"]]:
    """The minimising points and which of them reached the tolerance."""
    points, converged = start.clone(), torch.zeros(start.shape[:2], dtype=torch.bool, device=start.device)
    own, shared = (torch.arange(size, device=start.device) for size in start.shape[:2])
    state = _begin(problems, start)
    for _ in range(stopping.iterations):
        reached = state.gradient.abs().amax((-2, -1)) <= stopping.tolerance
        running = ~reached & (state.step > SMALLEST_STEP)
        points[own[:, None], shared], converged[own[:, None], shared] = state.point, reached
        rows, columns = running.any(1), running.any(0)
        if not bool(rows.any()):
            return points, converged
        if int(rows.sum()) * int(columns.sum()) <= running.numel() * 0.7:
            own, shared, running = own[rows], shared[columns], running[rows][:, columns]
            problems, state = problems.kept(rows, columns), state.kept(rows, columns)
        _advance(problems, state, running)
    points[own[:, None], shared] = state.point
    converged[own[:, None], shared] = state.gradient.abs().amax((-2, -1)) <= stopping.tolerance
    return points, converged


def _begin(problems: Problems, start: Tensor) -> _State:
    value, gradient = problems.value_and_gradient(start)
    direction = -problems.precondition(gradient)
    ones = torch.ones_like(value)
    return _State(start, value, gradient, direction, ones, ones, deque(maxlen=MEMORY))


def _advance(problems: Problems, state: _State, running: Tensor) -> None:
    """One evaluation of every problem: accept the trial point or halve the step; frozen where not running."""
    trial = state.point + _wide(state.step) * state.direction
    value, gradient = problems.value_and_gradient(trial)
    slope = _dot(state.gradient, state.direction)
    rounding = 8 * torch.finfo(value.dtype).eps * state.value.abs()
    accepted = running & (value <= state.value + SUFFICIENT_DECREASE * state.step * slope + rounding)
    _remember(problems, state, trial - state.point, gradient - state.gradient, accepted)
    wide = _wide(accepted)
    state.point = torch.where(wide, trial, state.point)
    state.gradient = torch.where(wide, gradient, state.gradient)
    state.value = torch.where(accepted, value, state.value)
    state.step = torch.where(accepted, 1.0, torch.where(running, state.step / 2, state.step))
    state.direction = torch.where(wide, _direction(problems, state), state.direction)


def _remember(problems: Problems, state: _State, move: Tensor, change: Tensor, accepted: Tensor) -> None:
    """Keep the newest move and gradient change; zeros, which change nothing, where none was taken."""
    product = _dot(move, change)
    useful = accepted & (product > torch.finfo(product.dtype).eps * _dot(move, move))
    wide = _wide(useful)
    move, change = torch.where(wide, move, 0.0), torch.where(wide, change, 0.0)
    inverse = torch.where(useful, 1 / torch.where(useful, product, 1.0), 0.0)
    squared = _dot(change, problems.precondition(change))
    state.curvature = torch.where(useful, product / torch.where(useful, squared, 1.0), state.curvature)
    state.moves.append((move, change, inverse))


def _direction(problems: Problems, state: _State) -> Tensor:
    """The two-loop recursion: minus the approximate inverse Hessian times the gradient."""
    vector, shares = state.gradient, []
    for move, change, inverse in reversed(state.moves):
        share = inverse * _dot(move, vector)
        vector = vector - _wide(share) * change
        shares.append(share)
    vector = _wide(state.curvature) * problems.precondition(vector)
    for (move, change, inverse), share in zip(state.moves, reversed(shares), strict=True):
        vector = vector + _wide(share - inverse * _dot(change, vector)) * move
    return -vector


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum((-2, -1))


def _wide(values: Tensor) -> Tensor:
    return values[..., None, None]
