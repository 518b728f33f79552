"""Networks trained on images in the middle of a frame, and judged on them and on the same images shifted.

Each kind of network trains at every rate of a grid, as often as there are seeds, and the rate with the best accuracy on
the `probe` split is kept. Which test images the kept networks name rightly is told for each seed; a claim takes of it
each seed's own share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import interp
import models
from analyses.training_rows import for_training

SAME, SHUFFLED = "as they are", "shuffled"
CENTRED, SHIFTED = "in the middle", "shifted"
AT_ONCE = 250


class Images(NamedTuple):
    """The images in the middle of their frame, and the same ones shifted within it."""

    centred: models.Dataset
    shifted: models.Dataset

    def shuffled(self) -> Images:
        """The same, their pixels in another order."""
        return Images(*map(models.pixels_shuffled, self))


class Outcome(NamedTuple):
    """The networks of one kind at their best rate, and the probe accuracy at each rate."""

    trained: models.Trained
    rate: float
    by_rate: Mapping[float, float]


Outcomes = Mapping[tuple[str, str], Outcome]
"""By network and order of pixels."""
PerSeed = Mapping[tuple[str, str, str], Any]
"""By network, order of pixels and place of the images: `[seed]`, or which were right, `[seed, example]`."""


def in_a_frame(data: models.Dataset, shift: int, *, training: int) -> Images:
    """The data in the middle of a frame and shifted by up to so many pixels, with at most so many training images."""
    rows = np.arange(len(data))
    network = rows[(data.examples["split"] == "network").to_numpy()]
    data = data.subset(np.setdiff1d(rows, network[training:]))
    return Images(models.framed(data, shift), models.shifted(data, shift))


def best_of_rates(
    network: Any, data: models.Dataset, *, rates: Sequence[float], epochs: int, seeds: int
) -> Outcome:
    """Trains at each rate and keeps the one with the best mean accuracy on the probe split."""
    runs = {rate: train(network, data, rate=rate, epochs=epochs, seeds=seeds) for rate in rates}
    found = {rate: float(right_answers(run.model, data.probe).mean()) for rate, run in runs.items()}
    best = max(found, key=lambda rate: found[rate])
    return Outcome(runs[best], best, found)


def train(network: Any, data: models.Dataset, *, rate: float, epochs: int, seeds: int) -> models.Trained:
    """The networks of this config for every seed: Adam, cross-entropy, batches of 50, half a cosine."""
    training = models.TrainingConfig(
        "cross_entropy",
        models.Optimizer("adam", rate=rate),
        batch_size=50,
        epochs=epochs,
        schedule=models.Schedule("cosine", factor=0.05),
    )
    recipe = models.Recipe(f"images-{network.family}", "for comparison", network, data.name, training)
    return models.trained(recipe, seeds=seeds, data=for_training(data))


def right_answers(model: models.HookedModel, data: models.Dataset) -> np.ndarray:
    """Which images each network names rightly, bool `[seed, example]`."""
    parts = [
        (
            model(data.inputs[start : start + AT_ONCE]).detach().argmax(-1)
            == data.targets[start : start + AT_ONCE]
        )
        for start in range(0, len(data), AT_ONCE)
    ]
    return np.concatenate([part.cpu().numpy() for part in parts], axis=-1)


def common_seeds(outcomes: Outcomes) -> tuple[int, ...]:
    """The seeds that diverged in no training: comparisons are paired by seed."""
    going = [outcome.trained.model.every_seed for outcome in outcomes.values()]
    return tuple(seed for seed in going[0] if all(seed in some for some in going))


def judged(outcomes: Outcomes, orders: Mapping[str, Images], seeds: tuple[int, ...]) -> PerSeed:
    """Which test images these seeds' networks name rightly, in the middle and shifted."""
    right = {}
    for (name, order), outcome in outcomes.items():
        model = outcome.trained.model
        rows = [model.every_seed.index(seed) for seed in seeds]
        for place, data in zip((CENTRED, SHIFTED), orders[order], strict=True):
            right[name, order, place] = right_answers(model, data.test)[rows]
    return right


def on_own_shares(right: PerSeed) -> PerSeed:
    """Each seed's accuracy on its own share of the test images, the same share whichever network is judged."""
    shares = interp.disjoint_shares(*next(iter(right.values())).shape)
    return {key: (rows & shares).sum(-1) / shares.sum(-1) for key, rows in right.items()}
