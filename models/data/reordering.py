"""A made-up language and its translation: the words are the same, their order and the articles are not.

A source sentence is article, adjectives, noun, verb, article, adjectives, noun ("the red small cat sees a dog"). In the
target some adjectives stand behind their noun and some before it, as in French, and the article takes the noun's
gender: so where a word goes, and what an article becomes, depends on words elsewhere. The grammar tells, for each
target word, the source word that it translates (`alignment`), which no corpus does.

When it misleads: every word has one translation (articles two), no word is left out or added, and every noun is met a
hundred times. That a network aligns here says little about English and French.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.pairs import SPECIAL, PairTokenizer, pair_dataset
from models.data.splits import Counts, split_in_order
from models.data.tokenizers import WordTokenizer

ARTICLES = {"the": ("lo", "la"), "a": ("un", "una")}
NOUNS = ("cat", "dog", "bird", "horse", "house", "tree", "car", "boat")
BEFORE = ("big", "small", "good", "old")
BEHIND = ("red", "blue", "round", "heavy")
VERBS = ("sees", "hears", "follows", "draws", "finds", "likes")


@dataclass(frozen=True)
class Phrase:
    """Words of the source, their translation, and for each word of that where its source word stands."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    alignment: tuple[int, ...]


def reordering(*, splits: Counts = CATALOGUE["reordering"].splits, seed: int = 0) -> Dataset:
    """Different sentences, each in one split alone; `examples` has `source`, `target`, `alignment`, `reordered`.

    `alignment`: for each target word the place of its source word, counted from 0, as text. `reordered`: whether that
    is another order than the source's.
    """
    randomness = np.random.default_rng([seed, 20_817])
    sentences: dict[str, Phrase] = {}
    while len(sentences) < sum(splits):
        phrase = _sentence(randomness)
        sentences.setdefault(" ".join(phrase.source), phrase)
    phrases = list(sentences.values())
    examples = pd.DataFrame(
        {
            "split": split_in_order(*splits),
            "source": list(sentences),
            "target": [" ".join(phrase.target) for phrase in phrases],
            "alignment": [" ".join(map(str, phrase.alignment)) for phrase in phrases],
            "reordered": [list(phrase.alignment) != sorted(phrase.alignment) for phrase in phrases],
        }
    )
    return pair_dataset(
        "reordering", examples, _tokenizer(), source=f"Made-up sentences and their translation, seed {seed}"
    )


def alignment_of(text: str) -> list[int]:
    """The places that `alignment` holds as text."""
    return [int(place) for place in text.split()]


def _sentence(randomness: np.random.Generator) -> Phrase:
    subject, thing = _noun_phrase(randomness), _noun_phrase(randomness)
    verb = str(randomness.choice(VERBS))
    return _joined([subject, Phrase((verb,), (translated(verb),), (0,)), thing])


def _noun_phrase(randomness: np.random.Generator) -> Phrase:
    article, noun = str(randomness.choice(list(ARTICLES))), str(randomness.choice(NOUNS))
    count = int(randomness.integers(3))
    adjectives = tuple(map(str, randomness.choice([*BEFORE, *BEHIND], size=count, replace=False)))
    source = (article, *adjectives, noun)
    before = [place for place, word in enumerate(source) if word in BEFORE]
    behind = [place for place, word in enumerate(source) if word in BEHIND]
    order = (0, *before, len(source) - 1, *behind)
    gender = NOUNS.index(noun) % 2
    target = tuple(ARTICLES[article][gender] if place == 0 else translated(source[place]) for place in order)
    return Phrase(source, target, order)


def translated(word: str) -> str:
    """The word of the target that means this one (articles have two)."""
    return word[::-1] + "o"


def _joined(phrases: Sequence[Phrase]) -> Phrase:
    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    alignment: tuple[int, ...] = ()
    for phrase in phrases:
        alignment += tuple(len(source) + place for place in phrase.alignment)
        source, target = source + phrase.source, target + phrase.target
    return Phrase(source, target, alignment)


def _tokenizer() -> PairTokenizer:
    words = (*NOUNS, *BEFORE, *BEHIND, *VERBS)
    articles = [article for pair in ARTICLES.values() for article in pair]
    return PairTokenizer(
        WordTokenizer((*SPECIAL, *ARTICLES, *words), SPECIAL),
        WordTokenizer((*SPECIAL, *articles, *map(translated, words)), SPECIAL),
    )
