"""Which entries of the activations does the output owe its value to, by gradients.

- Gradient x input: x * dF/dx, the linear part of F about x (Simonyan et al. 2013, https://arxiv.org/abs/1312.6034;
  Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713). On a ReLU network without biases the parts sum to F.
- Integrated gradients: (x - b) * mean of dF/dx along the straight line from a baseline b to x, by Gauss-Legendre
  quadrature (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365). They sum to F(x) - F(b), up to the error of
  the quadrature, which `gap` holds. It misleads where the line leaves what the network was made for, and it answers
  "compared with b": another baseline, another answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from interp.locating.gradients import (
    Metric,
    Take,
    batch_of,
    gradient_with,
    gradients_at,
    labelled,
    metric_values,
    traced,
)
from interp.reading.activations import Activations
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData
from interp.reading.points import axes_of, hook_point, hook_points, matching, seeds_of
from interp.refusals import Refused
from interp.writing.aligning import aligned
from interp.writing.edits import Edit, edited
from interp.writing.sites import Site
from interp.writing.values import value_of


def gradient_x_input(
    model: nn.Module, data: LabelledData | Tensor, metric: Metric, patterns: str | list[str]
) -> Activations:
    """Activation times gradient of the metric, at every hook that matches, with the hook's axes.

    `metric` takes the output `[*seed, example, ...]` to `[*seed, example]`. All examples ride in one batch. For a
    network of real-valued input, `hook_input` is the input. Raises `Refused` as `capture` does.
    """
    inputs, examples = batch_of(model, data)
    hooks = matching(patterns, hook_points(model))
    found = gradients_at(model, inputs, metric, hooks)
    return labelled(
        model, {name: found.activations[name] * found.gradients[name] for name in hooks}, examples
    )


@dataclass(frozen=True)
class Integrated:
    """`attributions` with the hook's axes; `difference` is F(x) - F(baseline), `gap` what the sum is off by."""

    attributions: xr.DataArray
    difference: xr.DataArray
    gap: xr.DataArray


def integrated_gradients(
    model: nn.Module,
    data: LabelledData | Tensor,
    metric: Metric,
    hook: str,
    *,
    baseline: Any = 0.0,
    steps: int = 32,
) -> Integrated:
    """Integrated gradients of the metric at one hook, from `baseline` (aligned as the value of `patch` is).

    `steps` points of a Gauss-Legendre rule: exact for gradients that are polynomials of degree 2 steps - 1 along the
    line. All positions of the hook lie on the line at once: in a recurrent layer a position is credited for what it
    does while the later ones are given, not through them. Raises `Refused` for steps below 1 and for a baseline that
    does not fit.
    """
    if steps < 1:
        raise Refused(f"steps is at least 1; given {steps}.")
    inputs, examples = batch_of(model, data)
    line = _Line.to(model, inputs, hook, baseline)
    mean = torch.zeros_like(line.end)
    for place, weight in _quadrature(steps):
        mean += weight * line.gradient(place, metric)
    attributions = (line.end - line.start) * mean
    difference = line.value(1.0, metric) - line.value(0.0, metric)
    array = labelled(model, {hook: attributions}, examples)[hook]
    kept = [dim for dim in ("seed", "example") if dim in array.dims]
    total = xr.DataArray(
        difference.numpy(force=True), dims=kept, coords={k: array[k] for k in kept if k in array.coords}
    )
    others = [dim for dim in array.dims if dim not in kept]
    return Integrated(array, total, array.sum(others) - total)


@dataclass(frozen=True, eq=False)
class _Line:
    """The straight line from a baseline to what passes a hook, and the network along it."""

    model: nn.Module
    inputs: Tensor
    hook: str
    start: Tensor
    end: Tensor

    @classmethod
    def to(cls, model: nn.Module, inputs: Tensor, hook: str, baseline: Any) -> _Line:
        with torch.no_grad(), evaluating(model), traced(model, [hook]) as live:
            model(inputs)
        end, seeds = live[hook].detach(), seeds_of(model)
        axes = axes_of(hook, hook_point(model, hook), ndim=end.ndim, seeds=seeds)
        start = aligned(value_of(baseline, hook), end, Site(hook, axes, seeds, {})).expand_as(end)
        return cls(model, inputs, hook, start, end)

    def at(self, place: float) -> Tensor:
        return torch.lerp(self.start, self.end, place)

    def value(self, place: float, metric: Metric) -> Tensor:
        with (
            torch.no_grad(),
            evaluating(self.model),
            edited(self.model, Edit(self.hook, Take(self.at(place)))),
        ):
            return metric_values(metric, self.model(self.inputs), seeds=seeds_of(self.model))

    def gradient(self, place: float, metric: Metric) -> Tensor:
        return gradient_with(self.model, self.inputs, metric, self.hook, self.at(place))


def _quadrature(steps: int) -> list[tuple[float, float]]:
    """Places in (0, 1) and their weights, which sum to 1."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    return [(float(1 + place) / 2, float(weight) / 2) for place, weight in zip(places, weights, strict=True)]
