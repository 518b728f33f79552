"""What `what_does_cross_attention_align` states, and the rule and the controls of each statement."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

import interp
from analyses.translation import aligning

if TYPE_CHECKING:
    from analyses.translation.aligning import Aligned, Numbers
    from analyses.translation.translators import Study

SOURCE = "MIT 6.S191 lecture 2 and 3Blue1Brown, Deep Learning, chapter 6"
MARGINS = {"words": 0.1, "sentences": 0.03}


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
