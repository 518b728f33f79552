"""Does a transformer know the order of its words? Behind `who_remembers_longest`.

Three transformers of one shape learn which of two symbols came first (models/data/order.py): one that sees both ways
and has learned positions, the same without positions, and one without positions whose mask lets it see only what is
before. Without either, attention treats a row as a bag of words, so it can be right in one row of two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

import interp
import models
from analyses.sequences.remembering import own_mean, scores
from analyses.training_rows import for_training

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Kind = Literal["positions", "neither", "mask"]
KINDS: dict[Kind, str] = {
    "positions": "positions, sees both ways",
    "neither": "no positions, sees both ways",
    "mask": "no positions, sees what is before",
}
BATCH, EPOCHS = 50, 10


@dataclass(frozen=True)
class Ordered:
    """What one kind has learned, a number for each seed.

    `right`: the share of right answers; `untrained`: before training; `reordered`: on rows put into another order, held
    against what was first before; `moved`: the largest change of a logit by that.
    """

    kind: Kind
    right: Numbers
    untrained: Numbers
    reordered: Numbers
    moved: Numbers


def ordered(kind: Kind, data: models.Dataset, *, seeds: int) -> Ordered:
    """Transformers of this kind, trained, and asked on rows and on the same rows in another order."""
    config = models.TransformerConfig(
        data.classes,
        data.inputs.shape[1],
        d_model=16,
        heads=2,
        d_mlp=32,
        positions="learned" if kind == "positions" else "none",
        causal=kind == "mask",
    )
    training = models.recipe("induction").but(rate=5e-3, batch_size=BATCH, epochs=EPOCHS)
    run = models.trained(replace(training, network=config), seeds=seeds, data=for_training(data))
    test, other = data.test, reordered(data.test)
    shares = interp.disjoint_shares(seeds, len(test))
    return Ordered(
        kind,
        own_mean(scores(run.model, test), shares),
        own_mean(scores(models.Transformer(config, seeds=range(seeds)), test), shares),
        own_mean(scores(run.model, other), shares),
        largest_change(run.model, test, other),
    )


def reordered(data: models.Dataset, *, seed: int = 0) -> models.Dataset:
    """The same rows, all before the question in another order; the targets stay."""
    import torch

    from models.seeds import generator

    before = data.inputs[:, :-1]
    order = torch.rand(before.shape, generator=generator(seed, "reordered")).argsort(dim=1)
    return replace(data, inputs=torch.cat([before.gather(1, order), data.inputs[:, -1:]], dim=1))


def largest_change(model: models.HookedModel, data: models.Dataset, other: models.Dataset) -> Numbers:
    """The largest difference of an answer's logits between two versions of the same rows, `[seed]`."""
    import torch

    with torch.no_grad():
        apart = (model(data.inputs) - model(other.inputs))[:, :, -1].abs()
    return np.asarray(apart.flatten(1).amax(dim=1).double().numpy(), dtype=np.float64)
