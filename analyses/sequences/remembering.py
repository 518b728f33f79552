"""Tanh networks, LSTMs, GRUs and transformers of nearly equal size, and what they learn of two tasks of memory.

The adding problem and key-value recall (models/data/sequences.py, recall.py). Sizes are chosen so that the networks
compared differ little in their parameters, position embeddings too; this is checked before anything is trained
(equal_sizes.py). The transformer that adds is one of patches (models/networks/vit.py): each position of a
number sequence is a patch of 2x2, its number and mark above two zeros, and it sees both ways.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

import interp
import models
from analyses.equal_sizes import equal, fitted, size
from analyses.training_rows import for_training
from models.networks.recurrent_config import CellName
from models.networks.vit_config import ViTConfig
from models.refusals import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.networks.families import NetworkConfig

    Numbers = NDArray[np.float64]

FAMILIES = {"rnn": "tanh network", "lstm": "LSTM", "gru": "GRU", "transformer": "transformer"}
CELLS: tuple[CellName, ...] = ("rnn", "lstm", "gru")
ADDING = {"rnn": 34, "lstm": 16, "gru": 19}  # units
RECALL = {"rnn": 60, "lstm": 28, "gru": 33}
ADDING_SIZE, RECALL_SIZE = 1_320, 5_500  # parameters
EMBEDDED = 16
PAIRS = 2
RATES = (3e-3, 1e-2)


@dataclass(frozen=True)
class Memory:
    """What networks of one kind have learned of a task.

    `data`: the test split. `shares [seed, example]`: which of its rows each seed is judged on. `scored [seed,
    example]`: the squared error (adding) or whether the answer is right (recall); `untrained`: before training;
    `deceived`: on what looks the same but cannot be known.
    """

    model: models.HookedModel
    rate: float
    data: models.Dataset
    shares: NDArray[np.bool_]
    scored: Numbers
    untrained: Numbers
    deceived: Numbers

    @property
    def parameters(self) -> int:
        """Of one network."""
        return size(self.model.config)

    @property
    def lag(self) -> NDArray[np.int64]:
        """How far from the end what is asked for stands, of each row."""
        return cast("NDArray[np.int64]", self.data.examples["lag"].to_numpy())

    def mean(self, what: Literal["scored", "untrained", "deceived"] = "scored") -> Numbers:
        """The mean over each seed's share."""
        return own_mean(getattr(self, what), self.shares)

    def between(self, low: float, high: float) -> Numbers:
        """The mean over those rows of each seed's share whose lag lies from `low` to below `high`."""
        return own_mean(self.scored, self.shares & (low <= self.lag) & (self.lag < high))

    def guessing(self, guesses: Numbers) -> Numbers:
        """The mean over each seed's share of what needs no network, a number for each row."""
        return own_mean(np.tile(guesses, (len(self.shares), 1)), self.shares)


def own_mean(scored: Numbers, shares: NDArray[np.bool_]) -> Numbers:
    """Each seed's mean over its own rows; both `[seed, example]`. `Refused` when a seed has none."""
    if not shares.any(axis=1).all():
        raise Refused("A seed has no test row of these lags: give more rows or fewer seeds.")
    return np.array([row[own].mean() for row, own in zip(scored, shares, strict=True)])


def adding_networks(length: int) -> dict[str, NetworkConfig]:
    """Networks of nearly equal size for the adding problem of this length."""
    found: dict[str, NetworkConfig] = {
        cell: models.RecurrentConfig(ADDING[cell], 1, cell=cell, features=2) for cell in CELLS
    }
    shape = ViTConfig((2, 2 * length), patch=2, layers=1, d_model=8, heads=2, d_mlp=1, outputs=1)
    return equal(found | {"transformer": fitted(shape, ADDING_SIZE)})


def recall_networks(data: models.Dataset) -> dict[str, NetworkConfig]:
    """Networks of nearly equal size for key-value recall."""
    tokens = data.classes
    found: dict[str, NetworkConfig] = {
        cell: models.RecurrentConfig(
            RECALL[cell], tokens, cell=cell, vocabulary=tokens, d_model=EMBEDDED, answers="each"
        )
        for cell in CELLS
    }
    shape = models.TransformerConfig(tokens, data.inputs.shape[1], d_model=EMBEDDED, heads=2, d_mlp=1)
    return equal(found | {"transformer": fitted(shape, RECALL_SIZE)})


def added(config: NetworkConfig, data: models.Dataset, *, seeds: int) -> Memory:
    """Networks trained on the adding problem: Adam, 0.005 halved every 1,500 steps, batches of 32, 8 epochs."""
    recipe = replace(models.recipe("adding-lstm"), network=config)
    shown = as_patches(data) if config.family == "vit" else data
    return learned(
        replace(recipe, name=f"adding-{kind_of(config)}"), shown, seeds=seeds, deceiving=dealt(shown.test)
    )


def recalled(config: NetworkConfig, data: models.Dataset, *, seeds: int, epochs: int) -> Memory:
    """Networks trained on key-value recall at that of `RATES` at which most is right on the probe split."""
    recipe = replace(models.recipe("recall-gru"), name=f"recall-{kind_of(config)}", network=config)
    runs = [
        learned(recipe.but(epochs=epochs, rate=rate), data, seeds=seeds, deceiving=severed(data.test))
        for rate in RATES
    ]
    return max(runs, key=lambda one: float(scores(one.model, data.probe).mean()))


def learned(recipe: models.Recipe, data: models.Dataset, *, seeds: int, deceiving: models.Dataset) -> Memory:
    """The recipe's networks and how they do on rows that none of them has learned from, each on a share of its own.

    `Refused` when a seed diverged: all seeds are compared.
    """
    run = models.trained(recipe, seeds=seeds, data=for_training(data))
    if run.divergences:
        raise Refused(f"Seeds of {recipe.network} diverged: {run.divergences}. Take a lower rate.")
    fresh = type(run.model)(recipe.network, seeds=range(seeds))
    return Memory(
        run.model,
        recipe.training.optimizer.rate,
        data.test,
        interp.disjoint_shares(seeds, len(data.test)),
        scores(run.model, data.test),
        scores(fresh, data.test),
        scores(run.model, deceiving),
    )


def kind_of(config: NetworkConfig) -> str:
    """`rnn`, `lstm`, `gru` or `transformer`."""
    return config.cell if config.family == "recurrent" else "transformer"


def scores(model: models.HookedModel, data: models.Dataset) -> Numbers:
    """Squared errors, or whether the answer is right, `[seed, example]`."""
    import torch

    with torch.no_grad():
        parts = [model(part) for part in torch.split(data.inputs, 500)]
    outputs = torch.cat(parts, dim=1)
    if data.targets.is_floating_point():
        return cast("Numbers", (outputs - data.targets).square().sum(-1).double().numpy())
    return cast("Numbers", (outputs[:, :, -1].argmax(-1) == data.targets).double().numpy())


def as_patches(data: models.Dataset) -> models.Dataset:
    """Number sequences `[example, pos, 2]` as images of 2 rows, a patch of 2x2 a position: the numbers above zeros."""
    import torch

    numbers = data.inputs.flatten(1)
    return replace(
        data,
        inputs=torch.cat([numbers, torch.zeros_like(numbers)], dim=1),
        image_shape=(2, numbers.shape[1]),
    )


def any_seen(data: models.Dataset) -> Numbers:
    """How often it is right to name a value that stands in the row, at random: for each row."""
    there = (data.inputs == data.targets[:, None]).sum(-1)
    return cast("Numbers", (there / PAIRS).double().numpy())


def dealt(data: models.Dataset, *, seed: int = 0) -> models.Dataset:
    """The same rows with the targets of others."""
    import torch

    from models.seeds import generator

    order = torch.randperm(len(data), generator=generator(seed, "dealt"))
    return replace(data, targets=data.targets[order])


def severed(data: models.Dataset, *, seed: int = 0) -> models.Dataset:
    """The same rows with all that stands before the question in another order: values no longer follow their keys."""
    import torch

    from models.seeds import generator

    before = data.inputs[:, :-2]
    order = torch.rand(before.shape, generator=generator(seed, "severed")).argsort(dim=1)
    return replace(data, inputs=torch.cat([before.gather(1, order), data.inputs[:, -2:]], dim=1))
