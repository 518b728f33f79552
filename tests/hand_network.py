"""A user's own hooked module, small enough to check by hand: x, then 2x, then 2x + 1, then the sum over features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Point(nn.Module):
    """A plain hook point that declares nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class NamedPoint(Point):
    """A hook point with axes."""

    def __init__(self, *axes: str, read_only: bool = False) -> None:
        super().__init__()
        self.axes, self.read_only = axes, read_only


class HandNetwork(nn.Module):
    """hook_input = x, double.hook_post = 2x, plus.hook_post = 2x + 1, hook_output = their sum per example.

    `fault`: "silent" leaves plus.hook_post out, "twice" fires it twice, "tuple" passes a tuple there, "transposed"
    puts the example axis last, "grown" adds a feature in every pass.
    """

    def __init__(self, *, axes: bool = True, fault: str = "") -> None:
        super().__init__()
        feature = ("example", "feature")
        self.hook_dict: dict[str, nn.Module] = {
            "hook_input": NamedPoint(*feature) if axes else Point(),
            "double.hook_post": NamedPoint(*feature) if axes else Point(),
            "plus.hook_post": NamedPoint(*feature) if axes else Point(),
            "hook_output": NamedPoint("example", read_only=True) if axes else Point(),
        }
        self.points = nn.ModuleList(self.hook_dict.values())
        self.dropout = nn.Dropout(0.5)
        self.fault, self.passes = fault, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        points = self.hook_dict
        x = self.dropout(points["double.hook_post"](2 * points["hook_input"](x)))
        x = self._last(points["plus.hook_post"], x + 1)
        return points["hook_output"](x.sum(dim=-1))

    def _last(self, point: nn.Module, x: Tensor) -> Any:
        if self.fault == "silent":
            return x
        if self.fault == "tuple":
            point((x, x))
            return x
        if self.fault == "grown":
            x = torch.cat([x, x[:, :1].expand(-1, self.passes)], dim=1)
        if self.fault == "transposed":
            return point(x.T).T
        return point(point(x)) if self.fault == "twice" else point(x)


class Exploding(Exception):
    """Raised by a user's hook in the middle of a forward pass."""


def hooks_of(model: nn.Module) -> dict[str, list[Any]]:
    """Every forward hook in the model, by module, in order."""
    return {name: list(module._forward_hooks.values()) for name, module in model.named_modules()}
