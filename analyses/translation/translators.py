"""Encoder-decoders and networks without a source, and what they translate: the networks of
`what_does_cross_attention_align`.

A network without a source is the decoder alone, with so many more neurons that it has as many parameters: what it gets
right of a target needs no source.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import interp
import models
from analyses.training_rows import for_training
from analyses.translation import aligning
from analyses.translation.aligning import BOUNDARY, Aligned

if TYPE_CHECKING:
    import numpy as np

    from analyses.translation.aligning import Numbers

HEADS, LAYERS, BATCH = 4, 1, 50
HELD_OUT = 500
SUITED = {
    "reordering": (32, 5e-3, 0.0),
    "translation": (64, 3e-3, 1.0),
}  # width, rate, weight decay: by probe split


@dataclass(frozen=True)
class Setting:
    """The pairs that are learned, and how: see `what_does_cross_attention_align`."""

    data: Literal["reordering", "tatoeba"] = "reordering"
    seeds: int = 8
    pairs: int = 4_000
    width: int | None = None
    epochs: int = 20
    rate: float | None = None


@dataclass(frozen=True)
class Study:
    """The networks and what they are judged on: `test`, each seed's `shares` of it, the words known to be `aligned`."""

    trained: models.Trained
    alone: models.Trained
    untrained: models.Seq2Seq
    test: models.Dataset
    shares: np.ndarray[Any, np.dtype[np.bool_]]
    aligned: Aligned


def pairs_of(setting: Setting) -> models.Dataset:
    """The pairs asked for."""
    if setting.data == "tatoeba":
        return models.load_data("translation")
    return models.reordering(splits=(setting.pairs, 100, HELD_OUT))


def studied(setting: Setting, data: models.Dataset) -> Study:
    """The encoder-decoders, and decoders of as many parameters that read no source."""
    network = encoder_decoder(setting, data)
    trained = models.trained(
        recipe(setting, network, data.name), seeds=setting.seeds, data=for_training(data)
    )
    targets = aligning.target_alone(for_training(data))
    alone = models.trained(
        recipe(setting, without_source(network), targets.name), seeds=trained.model.every_seed, data=targets
    )
    test = data.test
    return Study(
        trained,
        alone,
        models.Seq2Seq(network, seeds=trained.model.every_seed),
        test,
        interp.disjoint_shares(len(trained.model.every_seed), len(test)),
        aligning.aligned_words(test),
    )


def encoder_decoder(setting: Setting, data: models.Dataset) -> models.Seq2SeqConfig:
    """As small a network as the pairs take."""
    entry = models.CATALOGUE[data.name]
    assert entry.sources is not None
    assert entry.positions is not None
    positions, tokens = entry.sources
    width = setting.width or SUITED[data.name][0]
    return models.Seq2SeqConfig(
        tokens,
        positions,
        entry.classes,
        entry.positions - positions,
        layers=LAYERS,
        d_model=width,
        heads=HEADS,
        d_mlp=2 * width,
    )


def without_source(network: models.Seq2SeqConfig) -> models.TransformerConfig:
    """A decoder with no source to look at, and so many more neurons that it has as many parameters."""
    least = dataclasses.replace(network.decoder, d_mlp=network.d_mlp)
    missing = size(models.Seq2Seq(network)) - size(models.Transformer(least))
    return dataclasses.replace(
        least, d_mlp=network.d_mlp + round(missing / (network.layers * (2 * network.d_model + 1)))
    )


def size(model: models.HookedModel) -> int:
    """The parameters of one network."""
    members = 1 if model.seeds is None else len(model.seeds)
    return sum(weights.numel() for weights in model.parameters()) // members


def recipe(setting: Setting, network: Any, data: str) -> models.Recipe:
    """How either kind of network is trained."""
    _, rate, decay = SUITED[data.removesuffix("-target")]
    training = models.TrainingConfig(
        "cross_entropy",
        models.Optimizer("adamw", rate=setting.rate or rate, weight_decay=decay),
        batch_size=BATCH,
        epochs=setting.epochs,
        schedule=models.Schedule("cosine", factor=0.05),
    )
    return models.Recipe(f"{data}-{network.family}", "translates", network, data, training)


def translating(study: Study) -> dict[str, dict[str, Numbers]]:
    """Accuracy word by word, and of whole sentences written by the networks, for each kind of network and source."""
    others, test, shares = aligning.of_other_pairs(study.test), study.test, study.shares
    model: Any = study.trained.model
    written = {
        "trained": models.translate(model, aligning.sides(test)[0]),
        "another pair's source": models.translate(model, aligning.sides(others)[0]),
        "untrained": models.translate(study.untrained, aligning.sides(test)[0]),
        "no source": sentences_alone(study),
    }
    accuracy = {
        "trained": aligning.word_accuracy(model, test, shares),
        "another pair's source": aligning.word_accuracy(model, others, shares),
        "untrained": aligning.word_accuracy(study.untrained, test, shares),
        "no source": aligning.word_accuracy(study.alone.model, aligning.target_alone(test), shares),
    }
    return {
        "words": accuracy,
        "sentences": {name: aligning.exact_matches(rows, test, shares) for name, rows in written.items()},
    }


def sentences_alone(study: Study) -> Any:
    """What a network without a source writes: one sentence for all, `[seed, example, pos]`."""
    import torch

    start = torch.full((1, 1), BOUNDARY)
    count = study.alone.model.config.context
    written = models.generate(study.alone.model, start, count=count)[..., 1:]
    return written.expand(-1, len(study.test), -1)
