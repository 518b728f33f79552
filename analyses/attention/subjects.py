"""The networks that `what_does_attention_move` asks, what it shows them, and how figures are averaged over units.

A unit is a network of its own seed, judged on its own share of the test rows; where there is one network only, a draw
of rows, and what is found is found of that network alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models
from analyses.attention.induction_rows import begun_with, rows_of
from analyses.tokens.pretrained_stories import FIRST_TOKEN, PIECES, own_stories, shuffled, stories

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray
    from torch import Tensor

    Numbers = NDArray[np.float64]

COURSE = "3Blue1Brown, Deep Learning, chapter 6"
WIDTH, HEADS, RATE = 32, 4, 1e-2


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, the same network knowing nothing (`untrained`), and what they read.

    `rows` ask for what followed before: a part to choose heads by, a part to judge on. `text [example, pos]` is judged
    on where any sequence will do, and `other_text` the same number of others. `shares [unit, example]`: which test
    example belongs to which unit. `unmasked`: the same weights looking ahead, too, where such a network can be made.
    """

    model: Any
    untrained: Any
    rows: models.Dataset
    text: Tensor
    vocabulary: range
    shares: NDArray[np.bool_]
    other_text: Tensor | None = None
    unmasked: Any = None

    def per_unit(self, values: xr.DataArray) -> Numbers:
        """The mean of `[(seed), example]` over each unit's own examples, `[unit]`."""
        total = np.where(self.shares, self._of_units(values), 0.0).sum(axis=-1)
        mean: Numbers = total / self.shares.sum(axis=-1)
        return mean

    def largest(self, values: xr.DataArray) -> Numbers:
        """The largest of `[(seed), example]`, none below 0, over each unit's own examples, `[unit]`."""
        most: Numbers = np.where(self.shares, self._of_units(values), 0.0).max(axis=-1)
        return most

    def few(self, count: int) -> Subject:
        """With no more than so many texts of each unit."""
        kept = np.sort(np.concatenate([np.flatnonzero(share)[:count] for share in self.shares]))
        return replace(self, text=self.text[kept], shares=self.shares[:, kept])

    def _of_units(self, values: xr.DataArray) -> Numbers:
        numbers = values.transpose(..., "example").values.astype(np.float64)
        return np.broadcast_to(numbers, (len(self.shares), numbers.shape[-1]))


@dataclass(frozen=True, eq=False)
class OneLayer:
    """Networks of one layer: with as many heads a layer as those of two, and with as many heads altogether."""

    narrow: Any
    wide: Any


@dataclass(frozen=True, eq=False)
class Found:
    """What a part of the analysis found."""

    evidence: Sequence[interp.Evidence]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def trained_here(
    kind: str, *, seeds: int, length: int, vocabulary: int, rows: int, epochs: int, judged: int
) -> tuple[Subject, OneLayer, list[models.Trained]]:
    """Transformers without MLPs, trained on rows of a kind: two layers, and one. Seeds that diverge anywhere go."""
    data = rows_of(kind, length, vocabulary, rows=rows, judged=judged)
    sizes = ((2, HEADS), (1, HEADS), (1, 2 * HEADS))
    runs = [_trained(data, seeds=seeds, epochs=epochs, layers=layers, heads=heads) for layers, heads in sizes]
    kept = sorted(set.intersection(*(set(run.model.every_seed) for run in runs)))
    two, narrow, wide = (_those(run.model, kept) for run in runs)
    subject = Subject(
        two,
        type(two)(two.config, seeds=two.every_seed).to(two.device),
        data,
        data.test.inputs,
        range(vocabulary),
        interp.disjoint_shares(len(kept), judged),
        unmasked=without_mask(two),
    )
    return subject, OneLayer(narrow, wide), runs


def _trained(data: models.Dataset, *, seeds: int, epochs: int, layers: int, heads: int) -> models.Trained:
    network = models.TransformerConfig(
        vocabulary=data.classes,
        context=data.inputs.shape[1],
        layers=layers,
        d_model=WIDTH,
        heads=heads,
        d_head=WIDTH // HEADS,
        d_mlp=0,
    )
    recipe = replace(models.recipe("induction"), network=network).but(epochs=epochs, rate=RATE)
    return models.trained(recipe, seeds=seeds, data=data)


def _those(model: Any, seeds: Sequence[int]) -> Any:
    """The population of these seeds alone."""
    if list(model.every_seed) == list(seeds):
        return model
    return models.population([model.member(seed) for seed in seeds])


def without_mask(model: Any) -> Any:
    """The same weights in networks that look ahead, too: what the mask is held against."""
    unmasked = type(model)(replace(model.config, causal=False), seeds=model.every_seed).to(model.device)
    unmasked.load_state_dict(model.state_dict())
    return unmasked


def pretrained(*, draws: int, length: int, judged: int) -> Subject:
    """stories260K on rows of random word pieces, and on beginnings of its own stories."""
    model = stories()
    rows = rows_of("repeats", length - 1, len(PIECES), rows=1, judged=judged)
    text = own_stories(model, count=2 * judged, length=length, seed=0)
    return Subject(
        model,
        shuffled(),
        begun_with(rows, FIRST_TOKEN, offset=PIECES.start, classes=model.config.vocabulary),
        text[:judged],
        PIECES,
        interp.disjoint_shares(draws, judged),
        other_text=text[judged:],
    )
