"""Gradients at a trajectory that is read: of all that hangs on it, through later steps too.

A trajectory is one tensor, but its later rows are computed from its earlier ones, so as an ordinary node it could be
given only the gradient of what is computed from the whole. Here the steps are taken once more, and to each row is added
a zero whose gradient goes to the row that was shown: what is shown has the total gradient. What a metric computes
directly from the shown trajectory goes on into the weights as well; the zeros' share does not, for the steps taken
again have brought it there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Shown:
    """A trajectory as it is shown to hooks (`tensor`), and zeros that carry its gradient (`zeros()`)."""

    def __init__(self, plain: Tensor) -> None:
        self._arrived: tuple[int, Tensor] | None = None
        self.tensor: Tensor = (
            _Show.apply(plain, self)  # type: ignore[no-untyped-call]
            if plain.requires_grad
            else plain.detach().requires_grad_()
        )

    def zeros(self) -> Tensor:
        """Zeros; the gradient that reaches them is the shown trajectory's."""
        return _Zeros.apply(self.tensor, self)  # type: ignore[no-any-return, no-untyped-call]

    def arrive(self, gradient: Tensor) -> None:
        """Remembers what reached the zeros in this backward pass."""
        self._arrived = (torch._C._current_graph_task_id(), gradient)

    def arrived(self) -> Tensor | None:
        """What reached the zeros in this backward pass."""
        arrived, self._arrived = self._arrived, None
        return None if arrived is None or arrived[0] != torch._C._current_graph_task_id() else arrived[1]


class _Show(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plain: Tensor, shown: Shown) -> Tensor:
        ctx.shown = shown
        return plain.view_as(plain)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        arrived = ctx.shown.arrived()
        return gradient if arrived is None else gradient - arrived, None


class _Zeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, shown: Shown) -> Tensor:
        ctx.shown = shown
        return torch.zeros_like(tensor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.shown.arrive(gradient)
        return gradient, None


class Passing:
    """A `see` that changes no value and lets every shown trajectory have its gradient."""

    def __init__(self, shown: Mapping[str, Shown]) -> None:
        self._zeros = {name: iter(one.zeros().unbind(-2)) for name, one in shown.items()}
        self._h: list[Tensor] = []

    def __call__(self, name: str, row: Tensor) -> Tensor:
        """The row, with the gradient's way to what was shown."""
        if name in self._zeros:
            row = row + next(self._zeros[name])
        if name == "h":
            self._h.append(row)
        return row

    def h(self, plain: Tensor) -> Tensor:
        """The states, with the bits of the plain ones and the gradient's way through the steps taken here."""
        h = torch.stack(self._h, dim=-2)
        return plain.detach() + (h - h.detach())
