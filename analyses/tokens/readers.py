"""The networks that `how_is_the_next_token_chosen` asks, and the text they read.

Networks trained here read names by character; stories260K reads stories that it drew itself, since its own data are not
here. A unit is a network of its own seed, judged on its own share of the test texts; where there is one network only, a
draw of texts, and what is found is found of that network alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models
from analyses.tokens.pretrained_stories import own_stories, shuffled, stories
from models.refusals import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Numbers = NDArray[np.float64]

SHARES = (0.6, 0.1, 0.3)
CONTEXT, BEGUN = 16, 8
"""Characters of a name that are read at most; positions that the lenses read, in names that have them."""


@dataclass(frozen=True, eq=False)
class Readers:
    """A network, one that knows nothing, and texts: `data.network` to fit lenses on, `data.test` to judge on."""

    model: Any
    untrained: Any
    data: models.Dataset
    units: int

    def per_unit(self, values: Tensor, asked: Tensor) -> Numbers:
        """The mean of `[*seed, example, pos]` over what is asked of each unit's own share of the texts, `[unit]`."""
        shares = interp.disjoint_shares(self.units, asked.shape[0])[:, :, None] & asked.numpy()
        numbers = np.broadcast_to(values.numpy(force=True).astype(np.float64), shares.shape)
        total: Numbers = np.where(shares, numbers, 0.0).sum(axis=(-2, -1)) / shares.sum(axis=(-2, -1))
        return total


def names(kind: str, *, rows: int) -> models.Dataset:
    """Names of fewer than 16 characters, at most so many to train on; three in ten are kept to judge on."""
    from models.data.splits import split_at_random

    data = models.load_data(kind)
    assert data.mask is not None
    short = np.flatnonzero((data.mask.sum(dim=1) <= CONTEXT).numpy())
    kept = np.sort(np.random.default_rng(0).permutation(short)[: int(rows / SHARES[0])])
    data = cut(data.subset(kept), CONTEXT)
    split = split_at_random(len(data), seed=0, shares=SHARES)
    return replace(data, examples=data.examples.assign(split=split))


def cut(data: models.Dataset, length: int) -> models.Dataset:
    """The first positions of every row."""
    assert data.mask is not None
    return dataclasses.replace(
        data,
        inputs=data.inputs[:, :length],
        targets=data.targets[:, :length],
        mask=data.mask[:, :length],
    )


def begun(data: models.Dataset) -> models.Dataset:
    """The first positions of the rows that have them: no padding is left."""
    assert data.mask is not None
    length = min(BEGUN, data.inputs.shape[1]) if not bool(data.mask.all()) else data.inputs.shape[1]
    return cut(data.subset(data.mask[:, :length].all(dim=1)), length)


def asked_once(data: models.Dataset) -> models.Dataset:
    """The same texts, each cut off at a random place, so that one token only is asked of each."""
    import torch

    from models.seeds import generator

    chance = torch.rand(data.targets.shape, generator=generator(0, "where a text is cut off"))
    last = chance.masked_fill(data.targets < 0, -1.0).argmax(dim=1, keepdim=True)
    kept = torch.arange(data.targets.shape[1]) == last
    once = torch.where(kept, data.targets, -1)
    training = torch.tensor(data.examples["split"].eq("network").to_numpy())[:, None]
    return replace(
        data, name=f"{data.name}, one token asked", targets=torch.where(training, once, data.targets)
    )


def trained_readers(
    data: models.Dataset, *, seeds: int, epochs: int
) -> tuple[Readers, Any, list[models.Trained]]:
    """Small transformers trained on every position, and others trained on one position of each text."""
    network = models.TransformerConfig(data.classes, CONTEXT, layers=3, d_model=32, d_mlp=64)
    recipe = replace(models.recipe("induction"), data=data.name, network=network)
    recipe = recipe.but(epochs=epochs, rate=5e-3, batch_size=32)
    runs = [models.trained(recipe, seeds=seeds, data=one) for one in (data, asked_once(data))]
    if any(run.divergences for run in runs):
        raise Refused("A seed diverged at the rate of this analysis, 0.005: its networks cannot be paired.")
    model, once = (run.model for run in runs)
    untrained = type(model)(model.config, seeds=model.every_seed).to(model.device)
    return Readers(model, untrained, data, seeds), once, runs


def story_readers(*, draws: int, rows: int) -> Readers:
    """stories260K and its own stories, of 32 tokens: some to fit lenses on, 20 for each draw to judge on."""
    import pandas as pd
    import torch

    model = stories()
    tokens = own_stories(model, count=rows + 20 * draws, length=33, seed=0)
    data = models.Dataset(
        "stories drawn by stories260K",
        tokens[:, :-1].contiguous(),
        tokens[:, 1:].contiguous(),
        pd.DataFrame({"split": ["network"] * rows + ["test"] * (20 * draws)}),
        None,
        model.config.vocabulary,
        "stories that stories260K drew at temperature 1, seed 0",
        mask=torch.ones_like(tokens[:, :-1], dtype=torch.bool),
    )
    return Readers(model, shuffled(), data, draws)
