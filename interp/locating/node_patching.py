"""Attribution patching of nodes, and the exact patching that it estimates.

A node is what passes a hook, or one entry of it along axes that are named (`Nodes(hooks, along=("head",))`). Its effect
is the metric with the node's activation taken from the corrupt run, less the metric of the clean run. Exact patching
takes a run for each node; attribution patching takes the linear part of all of them from one gradient,

    (corrupt activation - clean activation) . gradient at the clean run

(Nanda 2023, https://www.neelnanda.io/mechanistic-interpretability/attribution-patching; Kramar et al. 2024,
https://arxiv.org/abs/2403.00745). With `steps=m` the gradient is the mean over m runs on inputs between corrupt and
clean, as Hanna et al. 2024 (https://arxiv.org/abs/2403.17806) do for edges. It misleads where the network saturates:
there it may give zero for a node that carries everything, so it is reported beside its rank correlation with the exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy.stats import spearmanr
from torch import Tensor, nn

from interp.locating.gradients import (
    Metric,
    Take,
    batch_of,
    check_finite,
    gradients_at,
    metric_values,
    traced,
)
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData
from interp.reading.points import axes_of, hook_point, hook_points, matching, seeds_of
from interp.refusals import Refused, unknown
from interp.writing.edits import Edit, patch
from interp.writing.sweep import sweep

ENTRIES = ("hook_input", "hook_embed", "hook_pos_embed")
"""Where inputs enter a network, or one of its stacks (`encoder.hook_embed`)."""


@dataclass(frozen=True)
class Nodes:
    """Every hook that the patterns match is a node, or each of its entries along the axes named."""

    patterns: str | Sequence[str]
    along: Sequence[str] = ()


@dataclass(frozen=True)
class Node:
    """One node: a hook, and an entry along each of some axes."""

    hook: str
    entry: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        chosen = ", ".join(f"{axis}={place}" for axis, place in self.entry)
        return f"{self.hook}[{chosen}]" if chosen else self.hook


def attribution_patching(
    model: nn.Module,
    clean: LabelledData | Tensor,
    corrupt: LabelledData | Tensor,
    metric: Metric,
    nodes: Nodes | str | Sequence[str],
    *,
    steps: int = 1,
) -> xr.DataArray:
    """The estimated effect of every node, `[seed, node, example]` (no seed axis for one network).

    `clean` and `corrupt` are inputs of one shape. `node` carries the coordinate `hook` and one for each axis of `along`
    (-1 where the hook has no such axis). Raises `Refused` for inputs of different shapes, axes no hook has, and several
    steps on a network whose inputs enter at no hook of `ENTRIES`.
    """
    pair = _Pair.of(model, clean, corrupt, nodes)
    gradients = pair.gradients(metric, steps)
    estimates = {name: (pair.corrupt[name] - pair.clean[name]) * gradients[name] for name in pair.hooks}
    return pair.label(_part(estimates[node.hook], node, pair.axes[node.hook]) for node in pair.nodes)


def exact_patching(
    model: nn.Module,
    clean: LabelledData | Tensor,
    corrupt: LabelledData | Tensor,
    metric: Metric,
    nodes: Nodes | str | Sequence[str],
) -> xr.DataArray:
    """The true effect of every node; arguments and result as above.

    A sweep of patches, as `activation_patching` (patching.py) is: that one restores from one run to another over grids
    and gives tables with intervals and p-values; this one gives what attribution is to be held against, node for node.
    """
    pair = _Pair.of(model, clean, corrupt, nodes)
    patches = [patch(node.hook, pair.corrupt[node.hook], **dict(node.entry)) for node in pair.nodes]
    under = torch.from_numpy(sweep(model, clean, patches, metric).values)
    check_finite(under)
    return pair.label(under - pair.untouched(metric).to(under))


def rank_correlation(estimate: xr.DataArray, exact: xr.DataArray) -> xr.DataArray:
    """Spearman's correlation, over nodes or edges, of the mean effects over examples; one for each seed.

    NaN where all effects of one of the two are equal. Raises `Refused` for arrays of different nodes or edges.
    """
    dim = "edge" if "edge" in estimate.dims else "node"
    if dim not in exact.dims or not np.array_equal(estimate[dim], exact[dim]):
        raise Refused(f"Both arrays have the same {dim} axis; given {estimate.sizes} and {exact.sizes}.")
    one, other = (array.mean("example").transpose(..., dim) for array in (estimate, exact))
    rows = [
        _spearman(a, b)
        for a, b in zip(*(x.values.reshape(-1, x.sizes[dim]) for x in (one, other)), strict=True)
    ]
    return one.isel({dim: 0}, drop=True).copy(data=np.array(rows).reshape(one.shape[:-1]))


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    constant = np.ptp(one) == 0 or np.ptp(other) == 0
    return float("nan") if constant else float(spearmanr(one, other).statistic)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A clean and a corrupt run of one network, and the nodes to be judged."""

    model: nn.Module
    inputs: tuple[Tensor, Tensor]
    examples: pd.DataFrame
    clean: dict[str, Tensor]
    corrupt: dict[str, Tensor]
    axes: dict[str, tuple[str, ...]]
    nodes: tuple[Node, ...]
    along: tuple[str, ...]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        clean: LabelledData | Tensor,
        corrupt: LabelledData | Tensor,
        asked: Nodes | str | Sequence[str],
    ) -> _Pair:
        wanted = asked if isinstance(asked, Nodes) else Nodes(asked)
        (inputs, examples), (other, _) = batch_of(model, clean), batch_of(model, corrupt)
        if inputs.shape != other.shape:
            raise Refused(
                f"Clean and corrupt inputs have one shape; given {list(inputs.shape)} and {list(other.shape)}."
            )
        hooks, seeds = matching(wanted.patterns, hook_points(model)), seeds_of(model)
        here, there = _pass(model, inputs, hooks), _pass(model, other, hooks)
        axes = {
            name: axes_of(name, hook_point(model, name), ndim=here[name].ndim, seeds=seeds) for name in hooks
        }
        nodes = tuple(_nodes(here, axes, wanted.along))
        return cls(model, (inputs, other), examples, here, there, axes, nodes, tuple(wanted.along))

    @property
    def hooks(self) -> tuple[str, ...]:
        return tuple(self.clean)

    def gradients(self, metric: Metric, steps: int) -> dict[str, Tensor]:
        """At the clean run, or the mean over `steps` inputs from corrupt (left out) to clean."""
        if steps < 1:
            raise Refused(f"steps is at least 1; given {steps}.")
        if steps == 1:
            return gradients_at(self.model, self.inputs[0], metric, self.hooks).gradients
        entries = _entries(self.model)
        start, end = (_pass(self.model, inputs, entries) for inputs in reversed(self.inputs))
        total = {name: torch.zeros_like(tensor) for name, tensor in self.clean.items()}
        for step in range(1, steps + 1):
            between = [Edit(name, Take(torch.lerp(start[name], end[name], step / steps))) for name in entries]
            found = gradients_at(self.model, self.inputs[0], metric, self.hooks, edits=between)
            for name, gradient in found.gradients.items():
                total[name] += gradient / steps
        return total

    @torch.no_grad()
    def untouched(self, metric: Metric) -> Tensor:
        """The metric of the clean run."""
        with evaluating(self.model):
            return metric_values(metric, self.model(self.inputs[0]), seeds=seeds_of(self.model))

    def label(self, effects: Iterable[Tensor]) -> xr.DataArray:
        seeds = seeds_of(self.model)
        stacked = torch.stack(list(effects), dim=-2).numpy(force=True)
        entries = [dict(node.entry) for node in self.nodes]
        coords = {
            "node": [str(node) for node in self.nodes],
            "hook": ("node", [node.hook for node in self.nodes]),
            **{axis: ("node", [entry.get(axis, -1) for entry in entries]) for axis in self.along},
            **{str(name): ("example", column.to_numpy()) for name, column in self.examples.items()},
            **({} if seeds is None else {"seed": list(seeds)}),
        }
        return xr.DataArray(stacked, coords=coords, dims=("seed", "node", "example")[seeds is None :])


def _entries(model: nn.Module) -> list[str]:
    """The hooks where inputs enter. Raises `Refused` where there are none: nothing would lie between the runs."""
    stacks = ("", "encoder.", "decoder.")
    wanted = {stack + name for stack in stacks for name in ENTRIES}
    if entries := [name for name in hook_points(model) if name in wanted]:
        return entries
    raise Refused(
        f"Several steps lie between what enters in two runs, at {', '.join(ENTRIES)} (of the network, its encoder or "
        f"decoder); this {type(model).__name__} has none of these: take steps=1."
    )


def _pass(model: nn.Module, inputs: Tensor, hooks: Sequence[str]) -> dict[str, Tensor]:
    with torch.no_grad(), evaluating(model), traced(model, hooks) as live:
        model(inputs)
    return {name: live[name] for name in hooks}


def _nodes(
    tensors: dict[str, Tensor], axes: dict[str, tuple[str, ...]], along: Sequence[str]
) -> Iterator[Node]:
    known = {axis for names in axes.values() for axis in names} - {"seed", "example"}
    if stray := [axis for axis in along if axis not in known]:
        raise unknown("axis of these hooks", stray[0], sorted(known))
    for hook, tensor in tensors.items():
        lengths = dict(zip(axes[hook], tensor.shape, strict=True))
        here = [axis for axis in along if axis in lengths]
        for places in product(*(range(lengths[axis]) for axis in here)):
            yield Node(hook, tuple(zip(here, places, strict=True)))


def _part(estimates: Tensor, node: Node, axes: tuple[str, ...]) -> Tensor:
    """A node's share of entrywise estimates, summed to `[*seed, example]`."""
    entry = dict(node.entry)
    part = estimates[tuple(entry.get(axis, slice(None)) for axis in axes)]
    left = [axis for axis in axes if axis not in entry]
    gone = [place for place, axis in enumerate(left) if axis not in ("seed", "example")]
    return part.sum(gone) if gone else part
