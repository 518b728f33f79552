"""Short English sentences and their French translations, from Tatoeba.

Words are lower case, without punctuation; French elisions are parted behind their apostrophe ("j' ai"), English
contractions before it ("i 'm"). Left out are pairs longer than `LONGEST` words on either side, and pairs that have
become alike. A word is known when the sentences that train networks have it twice or more; others are `<unk>`, never
asked for in a target, and counted for each pair.

A sentence has several translations, and a translation several sources: pairs that share a sentence, directly or through
others, are all in one split, so that no held-out sentence was met in training on either side.

When it misleads: 5,000 pairs are few, so most of what a network could need to know of either language it never met;
many held-out sentences differ from a training sentence in one word; and the pairs are the corpus's shortest.

Source: Tatoeba (https://tatoeba.org, CC BY 2.0 FR), as joined by the Tab-delimited Bilingual Sentence Pairs
(https://www.manythings.org/anki/).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.fetch import DataFile, fetch
from models.data.pairs import PairTokenizer, frequent_words, pair_dataset
from models.data.splits import Counts, group_sample
from models.files import read_file
from models.refusals import BadFile

PAIRS = DataFile(
    "tatoeba/eng-fra-5000.txt",
    "d952b56a181da5270b7bb4ded3f3bbe61e67a9b1de0e0fbc1d46438c71fb55a7",
    (),
    by_hand="It is the first 5,000 lines of fra.txt in https://www.manythings.org/anki/fra-eng.zip, which changes as "
    "the corpus grows (models.data.translation.translation_of makes a data set of any such text)",
)
LONGEST = 6
TIMES_MET = 2


def load_translation(*, splits: Counts = CATALOGUE["translation"].splits, seed: int = 0) -> Dataset:
    """The 5,000 pairs, as `translation_of` has them. `BadFile` when the file is missing or altered."""
    return translation_of(read_file(fetch(PAIRS)).decode("utf-8"), splits=splits, seed=seed)


def translation_of(text: str, *, splits: Counts, seed: int = 0) -> Dataset:
    """The pairs of a text; `examples` has `source` (English), `target` (French) and `group`, in one split alone.

    `splits`: so many for probe and test, all others for the network. `BadFile` for a line without a tab; `Refused` when
    no groups have just as many pairs as probe or test take.
    """
    pairs = read_pairs(text)
    table = pd.DataFrame(pairs, columns=["source", "target"])
    table["group"] = groups_of(pairs)
    table["split"] = _splits(table["group"].to_numpy(), splits, seed)
    met = table[table["split"] == "network"]
    tokenizer = PairTokenizer(
        frequent_words(met["source"].tolist(), least=TIMES_MET),
        frequent_words(met["target"].tolist(), least=TIMES_MET),
    )
    return pair_dataset(
        "translation", table, tokenizer, source="English-French pairs of Tatoeba, CC BY 2.0 FR, short ones"
    )


def read_pairs(text: str) -> list[tuple[str, str]]:
    """The pairs of a file with a tab between English, French and the licence, in order, each once, as words."""
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    if any(len(row) < 2 for row in rows):
        raise BadFile(
            f"A line of the pairs has no tab: {next(row for row in rows if len(row) < 2)[0][:60]!r}."
        )
    pairs = dict.fromkeys((english_words(row[0]), french_words(row[1])) for row in rows)
    return [pair for pair in pairs if all(1 <= len(side.split()) <= LONGEST for side in pair)]


def english_words(sentence: str) -> str:
    """Lower case, contractions parted before the apostrophe, no punctuation, a blank between words."""
    plain = sentence.lower().replace("’", "'")
    return " ".join(re.findall(r"'?[^\W_]+(?:-[^\W_]+)*", plain))


def french_words(sentence: str) -> str:
    """Lower case, elisions parted behind the apostrophe, no punctuation, a blank between words."""
    plain = sentence.lower().replace("’", "'")
    return " ".join(re.findall(r"[^\W_]+(?:-[^\W_]+)*'?", plain))


def groups_of(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """A number for each pair, the same for pairs that share a sentence, directly or through others."""
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def root(sentence: tuple[int, str]) -> tuple[int, str]:
        while (above := parent.setdefault(sentence, sentence)) != sentence:
            parent[sentence] = parent[above]
            sentence = above
        return sentence

    for source, target in pairs:
        parent[root((0, source))] = root((1, target))
    roots = [root((0, source)) for source, _ in pairs]
    numbers = {sentence: number for number, sentence in enumerate(dict.fromkeys(roots))}
    return [numbers[sentence] for sentence in roots]


def _splits(groups: np.ndarray, splits: Counts, seed: int) -> list[str]:
    """Which split each pair is in: whole groups for test and probe, drawn, and what is left for the network."""
    names = np.array(["network"] * len(groups), dtype=object)
    for split, count in (("test", splits[2]), ("probe", splits[1])):
        left = np.flatnonzero(names == "network")
        names[left[group_sample(groups[left], count, seed=seed)]] = split
    return [str(name) for name in names]
