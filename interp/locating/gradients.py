"""Live tensors: what passes hook points while its graph is kept, and the gradient of a metric there.

A metric maps the network's output `[*seed, example, ...]` to one number for each seed and example. Examples do not meet
inside a network in eval mode, so the gradient of the sum over examples holds each example's own gradient; members of a
population do not meet either, except at inputs they share, which are therefore given to each of them apart.

The gradient speaks of small changes about the point where it was taken. Where the network saturates (a hard attention,
a ReLU that is off) it is zero however much a large change would matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from interp.reading.activations import Activations
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData, feed_of
from interp.reading.points import axes_of, declared_axes, hook_point, hook_points, seeds_of
from interp.refusals import Refused
from interp.writing.edits import Edit, edited
from interp.writing.sites import Site

Metric = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Take:
    """An edit that puts a live tensor in the place of what passes; gradients pass to it."""

    tensor: Tensor

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        return self.tensor


@dataclass(frozen=True, eq=False)
class Gradients:
    """What passed each hook, the metric's gradient there, and the metric `[*seed, example]`; all detached."""

    activations: dict[str, Tensor]
    gradients: dict[str, Tensor]
    metric: Tensor


@contextmanager
def traced(model: nn.Module, hooks: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Inside the block, what passed these hooks, as part of the graph (a leaf where there was none).

    Refuses a second firing: the gradient at one of the two would pass for the gradient at both.
    """
    live: dict[str, Tensor] = {}
    handles = [hook_point(model, name).register_forward_hook(_keeping(name, live)) for name in hooks]
    try:
        yield live
    finally:
        for handle in handles:
            handle.remove()
    if silent := [name for name in hooks if name not in live]:
        raise Refused(f"Hook {silent[0]!r} did not fire: the network ran without passing it.")


def _keeping(name: str, live: dict[str, Tensor]) -> Callable[[nn.Module, Any, Any], Tensor]:
    def keep(module: nn.Module, inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise Refused(f"What passes hook {name!r} is a {type(output).__name__}, not a tensor.")
        if torch.is_grad_enabled() and not output.requires_grad and output.is_floating_point():
            output = output.detach().requires_grad_()
        if name in live:
            raise Refused(
                f"Hook {name!r} fired twice in one pass. A recurrent layer with an edit in it is taken again step by "
                "step: ask for gradients outside the `edited` block, or edit another layer."
            )
        live[name] = output
        return live[name]

    # without gradients it changes nothing: a recurrent layer then calls it once, on what came of all edits
    keep.reads_only = not torch.is_grad_enabled()  # type: ignore[attr-defined]
    return keep


@torch.enable_grad()
def gradients_at(
    model: nn.Module, inputs: Tensor, metric: Metric, hooks: Sequence[str], *, edits: Sequence[Edit] = ()
) -> Gradients:
    """The metric's gradient at each hook. Raises `Refused` where the metric does not depend on what passes."""
    for name in hooks:
        if getattr(hook_point(model, name), "read_only", False):
            raise Refused(f"Hook {name!r} is read-only: nothing depends on what passes there.")
    with evaluating(model), edited(model, edits), traced(model, hooks) as live:
        values = metric_values(metric, model(inputs), seeds=seeds_of(model))
        found = torch.autograd.grad(values.sum(), list(live.values()), allow_unused=True)
    if unreached := [name for name, gradient in zip(live, found, strict=True) if gradient is None]:
        raise Refused(
            f"The metric does not depend on what passes {unreached[0]!r}: it has no gradient there."
        )
    return Gradients(
        {name: tensor.detach() for name, tensor in live.items()},
        dict(zip(live, found, strict=True)),
        values.detach(),
    )


@torch.enable_grad()
def gradient_with(model: nn.Module, inputs: Tensor, metric: Metric, hook: str, value: Tensor) -> Tensor:
    """The metric's gradient with respect to `value`, which stands in the place of what passes the hook.

    The value is one leaf, however often a network asks for it (a recurrent layer with an edit asks at each step).
    Raises `Refused` where the metric does not depend on it.
    """
    leaf = value.detach().requires_grad_()
    with evaluating(model), edited(model, Edit(hook, Take(leaf))):
        values = metric_values(metric, model(inputs), seeds=seeds_of(model))
    (found,) = torch.autograd.grad(values.sum(), leaf, allow_unused=True)
    if found is None:
        raise Refused(f"The metric does not depend on what passes {hook!r}: it has no gradient there.")
    return found


def metric_values(metric: Metric, output: Tensor, *, seeds: Sequence[int] | None) -> Tensor:
    """The metric of an output, one finite number for each seed and example; `Refused` for anything else."""
    values = metric(output)
    expected = output.shape[: 1 if seeds is None else 2]
    if not isinstance(values, Tensor) or values.shape != expected:
        given = f"shape {list(values.shape)}" if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise Refused(
            f"The metric gave {given} for an output {list(output.shape)}; it gives one number for each "
            f"{'example' if seeds is None else 'seed and example'}, {list(expected)}: leave averaging out."
        )
    check_finite(values)
    return values


def check_finite(values: Tensor) -> None:
    """Refuses values of a metric that are no numbers."""
    if not bool(values.isfinite().all()):
        raise Refused(f"The metric gave NaN or infinity for {int((~values.isfinite()).sum())} examples.")


def batch_of(model: nn.Module, data: LabelledData | Tensor) -> tuple[Tensor, pd.DataFrame]:
    """All inputs as one batch on the network's device, apart for each seed, and the table of examples."""
    feed = feed_of(model, data, batch_size=None)
    inputs, seeds = feed.inputs.to(feed.device, feed.dtype), seeds_of(model)
    entry = hook_points(model).get("hook_input")
    axes = None if entry is None else declared_axes(entry)
    if seeds is not None and axes is not None and inputs.ndim == len(axes):
        inputs = inputs.expand(len(seeds), *inputs.shape)
    return inputs, feed.examples


def labelled(model: nn.Module, values: dict[str, Tensor], examples: pd.DataFrame) -> Activations:
    """Numbers for everything that passed some hooks, with the hooks' axes."""
    seeds, points = seeds_of(model), hook_points(model)
    axes = {name: axes_of(name, points[name], ndim=value.ndim, seeds=seeds) for name, value in values.items()}
    return Activations(values, axes=axes, examples=examples, seeds=seeds)
