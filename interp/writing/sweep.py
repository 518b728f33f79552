"""Sweep: a metric under each of thousands of edits, in few passes, equal to one edit at a time.

    effects = sweep(model, inputs, [patch(hook, clean, pos=p) for p in range(n)], metric, at=-1)    # [edit, example]

Edited runs ride side by side in one batch. Each starts at the layer where it first acts, on what entered that layer
in the untouched pass; in a causal network where all edits of a pass name their `pos`, positions before the first of
them are not computed again, their keys and values being known; with `at=-1` only the logits of that position are made,
and in the last layer nothing else. What a network cannot leave out is computed: one without `start_at_layer` is run
whole, one edit at a time, and so is any network to which somebody else's hooks are attached, since what those do to
many runs at once, or to a part of the positions, nobody knows.

Where it misleads: results are equal to rounding (1e-5 in float32), not to the bit, since sums over other batches are
taken in another order; an effect of that size is none. Activation patching: Vig et al. 2020,
https://arxiv.org/abs/2004.12265; Heimersheim and Nanda 2024, https://arxiv.org/abs/2404.15255.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import torch
import xarray as xr
from torch import Tensor, nn

from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData, feed_of, refuse_padding_at
from interp.reading.points import declared_axes, seeds_of
from interp.refusals import Refused
from interp.writing.changes import Resample
from interp.writing.edits import Edit, checked_point, edits_of
from interp.writing.planning import Edits
from interp.writing.references import refuse_padded_batch
from interp.writing.room import allowed
from interp.writing.sweep_labels import labelled
from interp.writing.swept import Sweeping, whole_position

Metric = Callable[[Tensor], Tensor]


@torch.no_grad()
def sweep(
    model: nn.Module,
    inputs: LabelledData | Tensor,
    edits: Sequence[Edit | Sequence[Edit]],
    metric: Metric,
    *,
    at: int | None = None,
    memory: int | None = None,
    executor: Executor | None = None,
) -> xr.DataArray:
    """The metric under each edit, `[edit, (seed), example]`, in the metric's unit.

    An entry of `edits` is an edit, or several that act together; their hooks, layers and restrictions become
    coordinates along `edit` (sweep_labels.py). `metric` takes the network's output on all examples,
    `[*seed, example, ...]`, to a number for each (seed and) example; with `at`, a position, the output is that
    position's alone, `[*seed, example, token]`. `memory`: bytes that all tensors made by the sweep may take at once
    (half of what is free, unless given); what the metric makes itself, and values of edits cast to the network's dtype,
    come on top. `executor`: runs shares of the sweep, each on its own copy of the network; with processes, model and
    metric must be picklable.

    Raises `Refused` as `edited` does, for a metric of another shape, where one example does not fit in `memory`, and
    where a network, metric or edit cannot be sent to the executor's processes.
    """
    asked = [edits_of(entry) for entry in edits]
    if not asked or not all(asked):
        raise Refused("A sweep needs at least one entry, and each entry at least one edit.")
    at = whole_position(at)
    feed = feed_of(model, inputs, batch_size=None)
    refuse_padding_at(inputs, at)
    given, seeds = feed.inputs.to(feed.device, feed.dtype), seeds_of(model)
    if not isinstance(inputs, Tensor):
        for edit in (edit for edits in asked for edit in edits):
            edit.where.check_examples(edit.hook, feed.examples)
    if feed.padding is not None:
        _refuse_padded_donors(model, asked, feed.padding)
    sweeping = Sweeping(model, given, metric, feed.axis, at, memory)
    with evaluating(model):
        values = sweeping.values(asked) if executor is None else shared_out(sweeping, asked, executor)
    return labelled(values, asked, model=model, examples=feed.known, seeds=seeds)


def _refuse_padded_donors(model: nn.Module, asked: Sequence[Edits], real: Tensor) -> None:
    """Refuses resampling within a batch at positions that are padding in some of its examples."""
    for edit in (edit for edits in asked for edit in edits):
        if isinstance(edit.change, Resample) and edit.change.source is None:
            axes = declared_axes(checked_point(edit, model)) or ()
            refuse_padded_batch(edit.hook, axes, edit.where, real)


def shared_out(sweeping: Sweeping, asked: Sequence[Edits], executor: Executor) -> Tensor:
    """Shares of the entries, each worked off elsewhere on a copy of the network and with its part of the memory."""
    shares = min(len(asked), os.cpu_count() or 1)
    bounds = [len(asked) * share // shares for share in range(shares + 1)]
    memory = None if sweeping.run_whole else (sweeping.memory or allowed(None)) // shares
    waiting = [
        executor.submit(
            _values, replace(sweeping, model=deepcopy(sweeping.model), memory=memory), asked[begin:end]
        )
        for begin, end in pairwise(bounds)
    ]
    try:
        return torch.cat([future.result() for future in waiting])
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if isinstance(executor, ProcessPoolExecutor):
            _check_picklable(network=sweeping.model, metric=sweeping.metric, edits=asked)
        raise error


def _check_picklable(**parts: object) -> None:
    """Raises `Refused` naming the part that cannot be sent to another process."""
    for name, part in parts.items():
        try:
            pickle.dumps(part)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise Refused(
                f"The {name} cannot be sent to another process ({error}): use functions defined at the top of a file "
                "instead of lambdas and inner ones, or an executor of threads."
            ) from error


@torch.no_grad()
def _values(sweeping: Sweeping, asked: Sequence[Edits]) -> Tensor:
    return sweeping.values(asked)
