"""Causal tracing: corrupt what is said of the subject, restore one state at a time, see where the answer returns.

The embeddings at the subject's positions get normal noise of `strength` times the standard deviation of the network's
own embeddings (calibrated to the network, not a number carried over from another), then one activation is put back as
it was in the clean run; the metric is averaged over draws of the noise. It misleads where the noise is too weak to
hide the subject (compare `untouched` with `other`) or so strong that nothing the network knows is left, and restoring
a window of layers finds more than any one of them holds. (Meng et al. 2022, https://arxiv.org/abs/2202.05262; Zhang
and Nanda 2024 on its sensitivity, https://arxiv.org/abs/2309.16042.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from interp.locating.effects import Effects
from interp.locating.patching import Data, measure
from interp.reading.capture import capture
from interp.reading.points import hook_points, matching
from interp.refusals import Refused
from interp.writing.edits import add_noise, patch
from interp.writing.sweep import Metric, sweep
from interp.writing.values import value_of


def embedding_std(model: nn.Module, inputs: Data, hook: str = "hook_embed") -> float:
    """The standard deviation of all entries of the embeddings of these inputs (over all seeds)."""
    return float(capture(model, inputs, hook).tensor(hook).double().std())


def causal_tracing(
    model: nn.Module,
    inputs: Data,
    subject: Any,
    metric: Metric,
    *,
    hooks: str | Sequence[str] = "blocks.*.hook_resid_post",
    at: int | None = None,
    strength: float = 3.0,
    draws: int = 8,
    seed: int = 0,
) -> Effects:
    """The metric with each hook's activation at each position restored, the subject's embeddings under noise.

    `subject`: the positions, as `pos=` of an edit takes them (for each example its own: a Series, or a DataArray along
    `example` and `pos`). `untouched` is the corrupted run, `other` the clean one, each metric averaged over `draws`.
    """
    if draws < 1:
        raise Refused(f"draws is the number of draws of noise, 1 or more; given {draws}.")
    names = matching(hooks, hook_points(model))
    clean = capture(model, inputs, names)
    values = {name: value_of(clean, name) for name in names}
    std = strength * embedding_std(model, inputs)
    places = [(name, pos) for name in names for pos in range(clean[name].sizes["pos"])]
    restored, corrupted = [], []
    for draw in np.random.SeedSequence(seed).generate_state(draws):
        noise = add_noise("hook_embed", std, draw=int(draw), pos=subject)
        entries = [(noise, patch(name, values[name], pos=pos)) for name, pos in places]
        swept = sweep(model, inputs, [(noise,), *entries], metric, at=at)
        corrupted.append(swept.isel(edit=0).reset_coords(drop=True))
        restored.append(swept.isel(edit=slice(1, None)))
    under = sum(restored[1:], restored[0].reset_coords(drop=True)) / draws
    coords = {
        "hook": ("edit", [name for name, _ in places]),
        "component": ("edit", [name.rpartition(".hook_")[2] for name, _ in places]),
        "layer": (
            "edit",
            [int(name.split(".")[1]) if name.startswith("blocks.") else -1 for name, _ in places],
        ),
        "pos": ("edit", [pos for _, pos in places]),
    }
    under = xr.DataArray(under.values, dims=restored[0].dims).assign_coords(coords)
    if "seed" in restored[0].coords:
        under = under.assign_coords(seed=restored[0]["seed"].values)
    untouched = xr.concat(corrupted, "draw").mean("draw")
    return Effects(under, untouched, measure(model, inputs, metric, at=at))
