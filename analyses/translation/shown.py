"""Tables, figures and notes of `what_does_cross_attention_align`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models
from analyses.translation import aligning
from analyses.translation.translators import Setting, Study, size

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from analyses.translation.aligning import Numbers


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
    spots = [
        interp.Spot.over_seeds(kind, name, values)
        for kind, named in numbers.items()
        for name, values in named.items()
    ]
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


def notes(setting: Setting, study: Study, data: models.Dataset) -> list[str]:
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
    if setting.data == "tatoeba":
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
