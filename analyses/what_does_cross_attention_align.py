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

import time
from dataclasses import dataclass

import interp
from analyses.translation import aligning
from analyses.translation.judged import following, looking, sided, translated
from analyses.translation.shown import figures, notes, tables
from analyses.translation.translators import Setting, pairs_of, studied, translating

QUESTION = "What does cross-attention align when a small encoder-decoder translates?"


@dataclass(frozen=True)
class Config(Setting):
    """`data`: reordering (made up) or tatoeba (English-French). `pairs`: how many train the networks, of those made up.

    `width` (d_model) and `rate`: instead of what suits the data. `error_rate`: the share of wrong verdicts aimed at
    among the decided ones.
    """

    error_rate: float = 0.05

    @staticmethod
    def quick() -> Config:
        """Fewer pairs, smaller networks, short training."""
        return Config(pairs=1_000, width=16, epochs=12, rate=1e-2)


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
