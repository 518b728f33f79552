"""The words a report uses, for a reader who has not met them; a report explains those that it uses."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "seed": (
        ("seed",),
        "A number that decides a network's first weights and the order it sees its data in. Networks of different "
        "seeds differ in nothing else, and what holds for many of them is no accident of one.",
    ),
    "interval": (
        ("BCa", "interval"),
        "The numbers in brackets: where the mean over seeds plausibly lies. BCa is a way of drawing seeds again and "
        "again to find out (the bias-corrected and accelerated bootstrap).",
    ),
    "sign-flip test": (
        ("sign-flip",),
        "If two things were alike, each seed's difference could as well have had the other sign. The test counts how "
        "often chance signs give a difference as large as the one measured.",
    ),
    "Benjamini-Hochberg": (
        ("Benjamini-Hochberg",),
        "A correction for asking many questions at once: some would come out by luck.",
    ),
    "linear probe": (
        ("linear probe", "decode"),
        "A simple reader: weighted sums of a layer's activations, fitted to name the label. What it names rightly on "
        "new images can be decoded from the layer.",
    ),
    "hook names": (
        ("hook_",),
        "Where in the network something was read: layers.0.hook_post is what the first hidden layer passes on, "
        "layers.1.hook_post the second.",
    ),
    "untrained network": (
        ("untrained",),
        "The same network before training. What can be decoded there was not learned.",
    ),
    "shuffled labels": (
        ("shuffled labels", "shuffled"),
        "The labels dealt out anew at random: whatever a probe reaches on them is luck, or a mistake.",
    ),
    "random label per type": (
        ("random label per type", "random_per_type"),
        "Inputs that look alike (each belongs to the nearest of some prototypes, typical inputs found without labels) "
        "share one random label. A probe that does well on these reads what inputs look like.",
    ),
    "selectivity": (
        ("selectivity",),
        "How much better a probe names the real label than the random label per type. Zero or less: what it reads need "
        "be no more than what inputs look like.",
    ),
    "random directions": (
        ("random_directions", "random directions"),
        "Removing directions always does harm. So as many random ones are removed for comparison; 'same norm' moves "
        "each example as far, 'same variance' removes random ones along which activations vary as much.",
    ),
    "code length": (
        ("times_shorter_than_uniform", "code length"),
        "How many bits it takes to tell the labels to somebody who has the activations. Times shorter than uniform: "
        "compared with somebody who has nothing (1: the activations are of no help).",
    ),
}


def words_in(text: str) -> dict[str, str]:
    """Those of the words above that occur in a text, with what they mean."""
    return {word: meaning for word, (signs, meaning) in WORDS.items() if any(sign in text for sign in signs)}
