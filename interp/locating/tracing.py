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
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from interp.locating.effects import Effects
from interp.locating.patching import Data, hooks_named, measure
from interp.reading.capture import capture
from interp.reading.points import layer_of
from interp.refusals import Refused
from interp.writing.edits import Edit, add_noise, patch
from interp.writing.sweep import Metric, sweep
from interp.writing.values import value_of


def embedding_std(model: nn.Module, inputs: Data, hook: str = "hook_embed") -> float:
    """The standard deviation of all entries of the embeddings of these inputs (over all seeds), padding left out."""
    acts = capture(model, inputs, hook)
    entries = acts.tensor(hook).double()
    if acts.mask is not None:
        entries = entries[acts.mask.expand(entries.shape[:-1])]
    return float(entries.std())


@dataclass(frozen=True)
class Corruption:
    """Noise on the embeddings at the subject's positions, drawn `draws` times from `seed`.

    `subject`: the positions, as `pos=` of an edit takes them (for each example its own: a Series, or a DataArray along
    `example` and `pos`). `strength`: in standard deviations of the network's own embeddings.
    """

    subject: Any
    strength: float = 3.0
    draws: int = 8
    seed: int = 0

    def edits(self, std: float) -> list[Edit]:
        """One edit for each draw. Raises `Refused` for none."""
        if self.draws < 1:
            raise Refused(f"draws is the number of draws of noise, 1 or more; given {self.draws}.")
        seeds = np.random.SeedSequence(self.seed).generate_state(self.draws)
        strength = self.strength * std
        return [add_noise("hook_embed", strength, draw=int(draw), pos=self.subject) for draw in seeds]


def causal_tracing(
    model: nn.Module,
    inputs: Data,
    corruption: Corruption,
    metric: Metric,
    *,
    hooks: str | Sequence[str] | None = None,
    at: int | None = None,
) -> Effects:
    """The metric with each hook's activation at each position restored, the subject's embeddings under noise.

    `hooks`: "blocks.*.hook_resid_post" unless given. `untouched` is the corrupted run, `other` the clean one, each
    metric averaged over the draws. The edits carry the coordinates `hook`, `component`, `layer` and `pos`.
    """
    names = hooks_named(model, hooks, unless_given="blocks.*.hook_resid_post")
    clean = capture(model, inputs, names)
    places = [(name, pos) for name in names for pos in range(clean[name].sizes["pos"])]
    restored = [patch(name, value_of(clean, name), pos=pos) for name, pos in places]
    noises = corruption.edits(embedding_std(model, inputs))
    swept = [
        sweep(model, inputs, [(noise,), *((noise, one) for one in restored)], metric, at=at)
        for noise in noises
    ]
    mean = xr.concat([draw.reset_coords(drop=True) for draw in swept], "draw").mean("draw")
    under = mean.isel(edit=slice(1, None)).assign_coords(_coordinates(places))
    return Effects(under, mean.isel(edit=0), measure(model, inputs, metric, at=at))


def _coordinates(places: Sequence[tuple[str, int]]) -> dict[str, tuple[str, list[Any]]]:
    """What is restored, along `edit`."""
    names = [name for name, _ in places]
    return {
        "hook": ("edit", names),
        "component": ("edit", [name.rpartition(".hook_")[2] for name in names]),
        "layer": ("edit", [-1 if (layer := layer_of(name)) is None else layer for name in names]),
        "pos": ("edit", [pos for _, pos in places]),
    }
