"""What does cross-attention align when a small encoder-decoder translates, and does the translation need it?

Encoder-decoders of many seeds learn pairs of sentences and are judged on pairs that none of them met, each seed on its
own share. Three things are asked (T12): are held-out sentences translated better than by networks of as many
parameters without a source, better than with another pair's source, and better than before training; does
cross-attention look at the source word that a target word translates, also where it stands at another place; and does
it follow a word when the words of the source are shuffled.

By default the pairs are of a made-up language that moves adjectives behind their nouns, whose grammar tells which word
translates which; `--data tatoeba` asks the same of English and French, where that is known of a few words only.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import interp
import models
from analyses import aligning
from analyses.aligning import BOUNDARY, Aligned

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from analyses.aligning import Numbers

QUESTION = "What does cross-attention align when a small encoder-decoder translates?"
SOURCE = "MIT 6.S191 lecture 2 and 3Blue1Brown, Deep Learning, chapter 6"
MARGINS = {"words": 0.1, "sentences": 0.03}
HEADS, LAYERS, BATCH = 4, 1, 50
HELD_OUT = 500
SUITED = {
    "reordering": (32, 5e-3, 0.0),
    "translation": (64, 3e-3, 1.0),
}  # width, rate, weight decay: by probe split


@dataclass(frozen=True)
class Config:
    """`data`: reordering (made up) or tatoeba (English-French). `pairs`: how many train the networks, of those made up.

    `width` (d_model) and `rate`: instead of what suits the data. `error_rate`: the share of wrong verdicts aimed at
    among the decided ones.
    """

    data: Literal["reordering", "tatoeba"] = "reordering"
    seeds: int = 8
    pairs: int = 4_000
    width: int | None = None
    epochs: int = 20
    rate: float | None = None
    error_rate: float = 0.05

    @staticmethod
    def quick() -> Config:
        """Fewer pairs, smaller networks, short training."""
        return Config(pairs=1_000, width=16, epochs=12, rate=1e-2)


@dataclass(frozen=True)
class Study:
    """The networks and what they are judged on: `test`, each seed's `shares` of it, the words known to be `aligned`."""

    trained: models.Trained
    alone: models.Trained
    untrained: models.Seq2Seq
    test: models.Dataset
    shares: np.ndarray[Any, np.dtype[np.bool_]]
    aligned: Aligned


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks, translates, looks where they look, judges."""
    begun = time.monotonic()
    data = pairs_of(config)
    study = studied(config, data)
    numbers = translating(study)
    patterns = {
        "trained": aligning.cross_pattern(study.trained.model, study.test),
        "untrained": aligning.cross_pattern(study.untrained, study.test),
    }
    evidence = [*translated(numbers), *looking(study, patterns), *following(study, patterns), sided(study)]
    return interp.Report(
        question=QUESTION,
        analysis="what_does_cross_attention_align",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate),
        tables=tables(study, numbers)
        | {"differences": interp.differences_table(evidence, error_rate=config.error_rate)},
        figures=figures(study, numbers, patterns),
        notes=notes(config, study, data),
        provenance=interp.gather(
            seeds=study.trained.model.every_seed,
            data={data.name: data.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def pairs_of(config: Config) -> models.Dataset:
    """The pairs asked for."""
    if config.data == "tatoeba":
        return models.load_data("translation")
    return models.reordering(splits=(config.pairs, 100, HELD_OUT))


def studied(config: Config, data: models.Dataset) -> Study:
    """The encoder-decoders, and decoders of as many parameters that read no source."""
    network = encoder_decoder(config, data)
    trained = models.trained(recipe(config, network, data.name), seeds=config.seeds, data=data)
    targets = aligning.target_alone(data)
    alone = models.trained(
        recipe(config, without_source(network), targets.name), seeds=trained.model.every_seed, data=targets
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


def encoder_decoder(config: Config, data: models.Dataset) -> models.Seq2SeqConfig:
    """As small a network as the pairs take."""
    entry = models.CATALOGUE[data.name]
    assert entry.sources is not None
    assert entry.positions is not None
    positions, tokens = entry.sources
    width = config.width or SUITED[data.name][0]
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


def recipe(config: Config, network: Any, data: str) -> models.Recipe:
    """How either kind of network is trained."""
    _, rate, decay = SUITED[data.removesuffix("-target")]
    training = models.TrainingConfig(
        "cross_entropy",
        models.Optimizer("adamw", rate=config.rate or rate, weight_decay=decay),
        batch_size=BATCH,
        epochs=config.epochs,
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


def translated(numbers: dict[str, dict[str, Numbers]]) -> list[interp.Evidence]:
    """Better than without a source, by a margin."""
    measures = {
        "words": ("word by word", "share of words and ends predicted rightly, those before given"),
        "sentences": ("sentence by sentence", "share of sentences written as one of their translations"),
    }
    return [
        interp.Evidence(
            f"Held-out sentences are translated {how} by more than {MARGINS[kind]:g} better than without their source.",
            SOURCE,
            measure,
            numbers[kind]["trained"],
            interp.ExceedsControls(margin=MARGINS[kind]),
            {name: values for name, values in numbers[kind].items() if name != "trained"},
        )
        for kind, (how, measure) in measures.items()
    ]


def looking(study: Study, patterns: dict[str, Numbers]) -> list[interp.Evidence]:
    """Cross-attention looks at the word that is translated, also where that has moved."""
    evidence = []
    for words, which in ((study.aligned, "each word"), (study.aligned.moved, "a word that has moved")):
        same_place = np.broadcast_to(words.source == words.target, (len(study.shares), len(words.source)))
        controls = controls_of_looking(study, patterns, words)
        if not (words.source != words.target).all():
            controls["the same place in the source"] = aligning.per_seed(same_place, words, study.shares)
        evidence.append(
            interp.Evidence(
                f"Where {which} is to be written, cross-attention looks at the source word that it translates.",
                "Bahdanau, Cho and Bengio 2015, https://arxiv.org/abs/1409.0473",
                "share of target words whose strongest cross-attention is on the word they translate",
                aligning.looked_at(patterns["trained"], words, study.shares),
                interp.ExceedsControls(),
                controls,
            )
        )
    return evidence


def controls_of_looking(study: Study, patterns: dict[str, Numbers], words: Aligned) -> dict[str, Numbers]:
    """Where attention lies that does not know this sentence."""
    another = aligning.of_sources_as_long(patterns["trained"], study.test)
    return {
        "untrained": aligning.looked_at(patterns["untrained"], words, study.shares),
        "attention of another sentence as long": aligning.looked_at(another, words, study.shares),
    }


def following(study: Study, patterns: dict[str, Numbers]) -> list[interp.Evidence]:
    """The order of words: attention keeps near the diagonal, and goes with a word to another place."""
    shuffled, went = aligning.shuffled_sources(study.test)
    pattern = aligning.cross_pattern(study.trained.model, shuffled)
    words, shares = study.aligned, study.shares
    there = went[words.example, words.source]
    moved = words.only(there != words.source)
    new_place = dataclasses.replace(moved, source=there[there != words.source])
    far = {
        name: aligning.distance_from_diagonal(one, study.test, shares)
        for name, one in {**patterns, "source words shuffled": pattern}.items()
    }
    return [
        interp.Evidence(
            "When the words of the source are shuffled, cross-attention looks at a word where it stands now.",
            SOURCE,
            "share of target words whose strongest cross-attention is on the word they translate, words moved by "
            "shuffling",
            aligning.looked_at(pattern, new_place, shares),
            interp.ExceedsControls(),
            {
                "the place where it stood": aligning.looked_at(pattern, moved, shares),
                "untrained": aligning.looked_at(
                    aligning.cross_pattern(study.untrained, shuffled), new_place, shares
                ),
            },
        ),
        interp.Evidence(
            "Cross-attention keeps to the order of words: it lies nearer the diagonal than without training or order.",
            SOURCE,
            "mean distance of attention from the same relative place, in sentence lengths",
            far.pop("trained"),
            interp.BelowControls(),
            far,
        ),
    ]


def sided(study: Study) -> interp.Evidence:
    """Queries of the first layer come from the target alone, keys from the source alone."""
    hooks = [f"decoder.blocks.0.cross_attn.hook_{part}" for part in "qk"]
    pairs = (study.test, aligning.of_other_pairs(study.test))
    ours, others = (interp.capture(study.trained.model, data, hooks) for data in pairs)
    changed = [
        (ours[hook] != others[hook]).any([dim for dim in ours[hook].dims if dim != "seed"]) for hook in hooks
    ]
    held = (~changed[0] & changed[1]).to_numpy()
    return interp.Evidence(
        "In the first layer queries hang on the target alone: another source changes keys, and no query.",
        SOURCE,
        "1 where no query of the held-out pairs changes and keys do, else 0",
        held.astype(float),
        interp.Equals(1),
    )


def tables(study: Study, numbers: dict[str, dict[str, Numbers]]) -> dict[str, pd.DataFrame]:
    """Every number behind the claims of translation, and sentences written by the first network."""
    import pandas as pd

    rows = [
        {"measure": kind, "network": name, "seed": seed, "share": share}
        for kind, named in numbers.items()
        for name, values in named.items()
        for seed, share in zip(study.trained.model.every_seed, values, strict=True)
    ]
    model: Any = study.trained.model.member(study.trained.model.every_seed[0])
    some = study.test.subset(range(0, len(study.test), len(study.test) // 12))
    assert some.tokenizer is not None
    written = models.translate(model, aligning.sides(some)[0]).tolist()
    examples = some.examples[["source", "target"]].assign(
        written=[some.tokenizer.decode(aligning.ended(row)) for row in written]
    )
    return {"translation": pd.DataFrame(rows), "examples": examples}


def figures(
    study: Study, numbers: dict[str, dict[str, Numbers]], patterns: dict[str, Numbers]
) -> dict[str, Any]:
    """Translation against its controls, and one sentence's alignment."""
    spots = [spot(kind, name, values) for kind, named in numbers.items() for name, values in named.items()]
    place = shown_example(study)
    return {
        "translation": interp.interval_plot(
            spots,
            measure="share right on held-out pairs",
            caption="Words predicted rightly, those before given, and sentences written wholly right. Intervals over "
            "seeds.",
        ),
        "alignment": interp.heatmap(
            alignment(study, patterns["trained"], place),
            measure="cross-attention, mean over seeds and heads",
            caption="Where each word of a held-out target looks in its source while it is to be written: "
            f"{study.test.examples['source'][place]!r}.",
        ),
    }


def spot(place: str, series: str, values: Any) -> interp.Spot:
    """Mean over seeds with its interval, as a dot of a figure."""
    over_seeds = interp.measured(values)
    return interp.Spot(place, series, over_seeds.estimate, over_seeds.interval)


def shown_example(study: Study) -> int:
    """Of the test sentences with most words that are known to have moved, the first."""
    counts = np.bincount(study.aligned.moved.example, minlength=len(study.test))
    return int(counts.argmax())


def alignment(study: Study, pattern: Numbers, place: int) -> xr.DataArray:
    """The pattern of one example, the mean over seeds, with its words: known ones, so `<unk>` where one is not."""
    import xarray as xr

    tokenizer: Any = study.test.tokenizer
    source, target = (side[place] for side in aligning.sides(study.test))
    here = tokenizer.source.tokens(source[source != 0].tolist())
    there = [*tokenizer.tokens(target[target != 0].tolist()[1:]), "(end)"]
    return xr.DataArray(
        pattern[:, place, : len(there), : len(here)].mean(axis=0).round(2),
        dims=("target word", "source word"),
        coords={"target word": there, "source word": here},
    )


def notes(config: Config, study: Study, data: models.Dataset) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    unknown = (data.test.examples["unknown_target"] > 0).mean()
    held_out = len(data.test)
    ours, theirs = size(study.trained.model), size(study.alone.model)
    said = [
        f"{len(data.network):,} pairs train the networks, {held_out:,} are held out and shared out among the seeds: "
        "each is judged on its own.",
        f"The encoder-decoders have {ours:,} parameters each, the networks without a source {theirs:,}.",
        f"{len(study.aligned.example):,} target words of the held-out pairs are known to translate a certain source "
        f"word, {len(study.aligned.moved.example):,} of them at another place.",
        "Looked at is the mean of the heads of the last layer: single heads may align better, and information may have "
        "moved to other source positions before the decoder looks there.",
        "That a word is looked at does not say that its translation comes from there.",
        "Shuffled sources are no sentences of the language, and no network met one: what attention does there need not "
        "be what it does with sentences.",
    ]
    if config.data == "tatoeba":
        said += [
            f"{100 * unknown:.0f} % of the held-out French sentences have a word that training met less than twice: "
            "such a word counts as wrong, and its sentence too.",
            "Which words translate one another is known from a dictionary of "
            f"{len(aligning.DICTIONARY)} English words, written down beforehand.",
        ]
    else:
        said.append(
            "In the made-up language every word has one translation; --data tatoeba asks the same of French."
        )
    return said + [
        f"Seed {gone.seed} diverged at step {gone.step} (rate {gone.rate:g}) and is left out."
        for gone in study.trained.divergences
    ]
