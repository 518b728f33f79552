"""Activation patching and ablation over grids: layer by position by component, heads, neurons.

Patching puts activations of one run into another and asks how far the metric moves. Denoising: `inputs` are corrupted,
`source` is clean (is this place sufficient to restore the answer?); noising: the other way round (is it necessary?).
The two disagree wherever several places do the same, so do both. Ablation takes away instead: zero, the mean of
reference activations, or those of random other examples. All place the network where it may never have been in
training; resampled activations least so. (Vig et al. 2020, https://arxiv.org/abs/2004.12265; Heimersheim and Nanda
2024, https://arxiv.org/abs/2404.15255; Chan et al. 2022, causal scrubbing.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import product
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from interp.locating.effects import Effects
from interp.reading.activations import Activations
from interp.reading.capture import capture, evaluating
from interp.reading.feeding import LabelledData, feed_of
from interp.reading.points import hook_points, matching, seeds_of
from interp.refusals import Refused, unknown
from interp.writing.edits import Edit, mean, patch, resample, zero
from interp.writing.sweep import Metric, sweep
from interp.writing.swept import whole_position
from interp.writing.values import value_of

Data = LabelledData | Tensor
STANDS_FOR = {"pos": "query_pos", "head": "key_head"}
"""Where a hook lacks an axis of the grid, the axis that has its part."""
ABLATIONS = ("zero", "mean", "resample")


def activation_patching(
    model: nn.Module,
    inputs: Data,
    source: Data | Activations,
    metric: Metric,
    *,
    hooks: str | Sequence[str] | None = None,
    along: Sequence[str] = ("pos",),
    at: int | None = None,
    executor: Executor | None = None,
) -> Effects:
    """The metric with each place of each hook, in turn, as it is in the run of `source`, example for example.

    `hooks`: "blocks.*.hook_resid_pre" unless given. A place is one position along each axis of `along` (`()`: the whole
    hook); `pos` stands for `query_pos` and `head`
    for `key_head` where a hook has those. `source`: data, or activations captured already. `metric` and `at` as in
    `sweep`. The edits carry the coordinates `hook`, `component`, `layer` and the axes of `along`. (To hold attribution
    against exact effects, node for node: `exact_patching`, node_patching.py, the same sweep with its labels.)
    """
    names = hooks_named(model, hooks, unless_given="blocks.*.hook_resid_pre")
    acts = source if isinstance(source, Activations) else capture(model, source, names)
    values = {name: value_of(acts, name) for name in names}
    found = dict(_places(names, {name: _sizes(acts, name) for name in names}, along))
    edits = [patch(name, values[name], **where) for name, where in _listed(found)]
    under = sweep(model, inputs, edits, metric, at=at, executor=executor)
    other = None if isinstance(source, Activations) else measure(model, source, metric, at=at)
    return Effects(_named(under, found, along), measure(model, inputs, metric, at=at), other)


def ablation(
    model: nn.Module,
    inputs: Data,
    metric: Metric,
    *,
    hooks: str | Sequence[str],
    along: Sequence[str] = (),
    by: str = "zero",
    reference: Data | None = None,
    at: int | None = None,
) -> Effects:
    """The metric with each place of each hook taken away, in turn: down to each neuron with `along=("neuron",)`.

    `by`: "zero"; "mean" over the examples of `reference`; "resample", each example's from a random one of `reference`
    (from another one of `inputs`, where none is given).
    """
    if by not in ABLATIONS:
        raise unknown("ablation", by, ABLATIONS)
    if (by == "mean" and reference is None) or (by == "zero" and reference is not None):
        raise Refused(f"Ablation by {by!r} {'needs a' if by == 'mean' else 'takes no'} `reference`.")
    names = matching(hooks, hook_points(model))
    acts = capture(model, inputs if reference is None else reference, names)
    found = dict(_places(names, {name: _sizes(acts, name) for name in names}, along))
    values = {name: value_of(acts, name) for name in names}
    make: dict[str, Callable[..., Edit]] = {
        "zero": lambda name, **where: zero(name, **where),
        "mean": lambda name, **where: mean(name, values[name], **where),
        "resample": lambda name, **where: resample(
            name, None if reference is None else values[name], **where
        ),
    }
    edits = [make[by](name, **where) for name, where in _listed(found)]
    under = sweep(model, inputs, edits, metric, at=at)
    return Effects(_named(under, found, along), measure(model, inputs, metric, at=at))


@torch.no_grad()
def measure(model: nn.Module, inputs: Data, metric: Metric, *, at: int | None) -> xr.DataArray:
    """The metric of the untouched network, `[(seed), example]`."""
    feed, seeds, at = feed_of(model, inputs, batch_size=None), seeds_of(model), whole_position(at)
    with evaluating(model):
        output = model(feed.inputs.to(feed.device, feed.dtype))
    values = metric(output if at is None else output.select(-2, at)).cpu()
    dims, coords = (("example",), {}) if seeds is None else (("seed", "example"), {"seed": list(seeds)})
    return xr.DataArray(values.numpy(), dims=dims, coords=coords)


def hooks_named(model: nn.Module, hooks: str | Sequence[str] | None, *, unless_given: str) -> tuple[str, ...]:
    """The hooks asked for. Raises `Refused` asking for some where none were and the network lacks the usual ones."""
    points = hook_points(model)
    if hooks is not None:
        return matching(hooks, points)
    try:
        return matching(unless_given, points)
    except Refused as error:
        raise Refused(
            f"A {type(model).__name__} has no {unless_given}, so say where: give hooks=, of {', '.join(points)}."
        ) from error


def _sizes(acts: Activations, name: str) -> Mapping[str, int]:
    return dict(zip(acts.axes(name), acts.tensor(name).shape, strict=True))


def _places(
    names: Sequence[str], sizes: Mapping[str, Mapping[str, int]], along: Sequence[str]
) -> Iterator[tuple[str, list[dict[str, int]]]]:
    """For each hook every combination of positions along the axes of the grid, under the hook's own names of them."""
    for name in names:
        own = [axis if axis in sizes[name] else STANDS_FOR.get(axis, axis) for axis in along]
        for axis, asked in zip(own, along, strict=True):
            if axis not in sizes[name] or axis in ("example", "seed"):
                raise unknown(
                    f"axis of {name!r} for a grid",
                    asked,
                    [a for a in sizes[name] if a not in ("example", "seed")],
                )
        positions = product(*(range(sizes[name][axis]) for axis in own))
        yield name, [dict(zip(own, place, strict=True)) for place in positions]


def _listed(found: Mapping[str, list[dict[str, int]]]) -> list[tuple[str, dict[str, int]]]:
    return [(name, where) for name, places in found.items() for where in places]


def _named(
    under: xr.DataArray, found: Mapping[str, list[dict[str, int]]], along: Sequence[str]
) -> xr.DataArray:
    """The coordinates of the grid, under the names that were asked for."""
    listed = _listed(found)
    coords: dict[str, Any] = {"component": ("edit", [name.rpartition(".hook_")[2] for name, _ in listed])}
    for place, axis in enumerate(along):
        coords[axis] = ("edit", [list(where.values())[place] for _, where in listed])
    under = under.drop_vars([axis for axis in STANDS_FOR.values() if axis in under.coords])
    return under.assign_coords(coords)
