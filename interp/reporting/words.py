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
    "planted": (
        ("planted", "planting"),
        "Facts are planted into a component by training its weights alone until the network knows them. So it is known "
        "where they are, and methods that look for facts can be marked.",
    ),
    "certified": (
        ("certified", "certificate"),
        "A planting is certified where the planted facts are known, the others are still known, and putting the "
        "component's old weights back takes the planted facts away. What fails this is left out by name.",
    ),
    "AUROC": (
        ("AUROC", "auroc"),
        "How often a component that holds the facts is scored above one that does not, over all such pairs: 1 always, "
        "0.5 is luck, 0 never.",
    ),
    "top-1": (
        ("top-1", "mean_top1"),
        "How often the component with the highest score is one that holds the facts.",
    ),
    "margin": (
        ("margin",),
        "How sure a network is of a fact: the log odds of the right answer against all others together. It is above "
        "0 where the right answer is likelier than all others together.",
    ),
    "reference facts": (
        ("reference", "like margin"),
        "Other facts that the network knows about as surely, which were not planted (or were learned earlier). A "
        "method compares the facts in question with these, since what matters to every fact alike says nothing of "
        "where some are held.",
    ),
    "drift": (
        ("drift", "Drift"),
        "A method that looks for facts: it adds noise to one component, trains that component alone on reference "
        "facts, and scores how much the facts in question have been forgotten.",
    ),
    "leak": (
        ("(leak)", "The leak", "leak,"),
        "No method: it scores components by how unusually long their weights are. Training makes weights longer, so "
        "this can give a planting away without looking at any fact, and a method has to be better.",
    ),
    "oracle": (
        ("oracle",),
        "No method: it knows the weights from before and scores components by how far these moved. It shows what "
        "could be found by whoever knew the history.",
    ),
    "leaning": (
        ("leaning",),
        "The mean score that a method gives a component where facts were planted into another one: how far it favours "
        "that component wherever the facts are.",
    ),
}


def words_in(text: str) -> dict[str, str]:
    """Those of the words above that occur in a text, with what they mean."""
    return {word: meaning for word, (signs, meaning) in WORDS.items() if any(sign in text for sign in signs)}
