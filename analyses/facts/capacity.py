"""What transformers of one shape hold of the facts they were trained on: the counting behind `how_many_facts_fit`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import models
from models.refusals import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Numbers = NDArray[np.float64]

RELATIONS, OBJECTS = 4, 20
BITS = math.log2(OBJECTS)
HEADS, BATCHES = 2, 20


def asked_facts(subjects: int) -> models.Dataset:
    """Arbitrary facts about this many subjects, four each, in one short template."""
    facts = models.world(subjects, relations=RELATIONS, objects=OBJECTS)
    facts = facts.with_templates("{subject} {relation}")
    return facts.dataset(facts.tokenizer())


@dataclass(frozen=True)
class Shape:
    """A transformer of two layers: `neurons` a layer (0: no MLPs) and heads of width / 2."""

    width: int
    neurons: int
    heads: int = HEADS

    def __str__(self) -> str:
        kind = f"{self.neurons} neurons" if self.neurons else "attention only"
        return f"d_model {self.width}, {self.heads} heads, {kind}"


@dataclass(frozen=True)
class Learned:
    """What the networks of one shape hold, a number for each seed.

    `share`: of all facts answered rightly; `untrained`, `dealt_anew`: the same before training, and held against facts
    dealt anew; `known`: facts beyond guessing; `coded`: bits by which the network shortens the code of all objects.
    """

    shape: Shape
    rate: float
    parameters: int
    share: Numbers
    untrained: Numbers
    dealt_anew: Numbers
    known: Numbers
    coded: Numbers

    @property
    def per_parameter(self) -> Numbers:
        """Bits of known facts per parameter."""
        return self.known * BITS / self.parameters


def with_mlps(width: int) -> Shape:
    """The usual shape: four neurons for each dimension."""
    return Shape(width, 4 * width)


def attention_only(width: int) -> Shape:
    """As many weights in three times the heads."""
    return Shape(width, 0, 3 * HEADS)


def learned(
    shape: Shape, data: models.Dataset, *, seeds: int, epochs: int, rates: Sequence[float]
) -> Learned:
    """The networks of a shape at that of the rates at which they know most; rates that diverge do not count."""
    from models.training.train import Diverged

    network = models.TransformerConfig(
        vocabulary=data.classes,
        context=data.inputs.shape[1],
        d_model=shape.width,
        heads=shape.heads,
        d_head=shape.width // HEADS,
        d_mlp=shape.neurons,
        activation="relu",
    )
    recipe = replace(models.recipe("facts"), data=data.name, network=network)
    recipe = recipe.but(epochs=epochs, batch_size=len(data) // BATCHES)
    runs: dict[float, models.Trained] = {}
    for rate in rates:
        with suppress(Diverged):
            runs[rate] = models.trained(recipe.but(rate=rate), seeds=seeds, data=data)
    clean = [counted(shape, run, data, rate) for rate, run in runs.items() if not run.divergences]
    if not clean:
        raise Refused(f"At every rate of {tuple(rates)} a seed of {shape} diverged: give lower rates.")
    return max(clean, key=lambda one: float(one.known.mean()))


def counted(shape: Shape, run: models.Trained, data: models.Dataset, rate: float) -> Learned:
    """What the networks of one training hold."""
    import torch

    with torch.no_grad():
        logits = run.model(data.inputs)[:, :, -1].double()
    targets = data.targets.expand(logits.shape[:2])
    surprise = -logits.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1) / math.log(2)
    asked = run.metrics.groupby("seed")["known"]
    share = asked.last().to_numpy()
    beyond_chance = np.clip((share - 1 / OBJECTS) / (1 - 1 / OBJECTS), 0, None)
    return Learned(
        shape,
        rate,
        sum(weights.numel() for weights in run.model.parameters()) // len(share),
        share,
        asked.first().to_numpy(),
        (logits.argmax(-1) == dealt_anew(data)).double().mean(-1).numpy(),
        beyond_chance * len(data),
        (BITS - surprise).sum(-1).numpy(),
    )


def dealt_anew(data: models.Dataset) -> Tensor:
    """The objects of each relation in another order among its facts: what a network that knows none would meet."""
    order, draw = np.arange(len(data)), np.random.default_rng(0)
    for rows in data.examples.groupby("relation").indices.values():
        order[rows] = draw.permutation(rows)
    return data.targets[order]
