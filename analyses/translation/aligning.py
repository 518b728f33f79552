"""What encoder-decoders know of their sources, and where their cross-attention looks: the measuring behind
`what_does_cross_attention_align`.

Cross-attention is that of the last layer, the mean of its heads. A target word is said to look at the source word with
the largest share of it at the position that predicts the word. Which source word a target word translates is known from
the grammar (made-up language) or, for a few words, from a dictionary of pairs written down here before any network.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Numbers = NDArray[np.float64]

BOUNDARY = 1
DICTIONARY = {
    "i": ("je", "j'"),
    "you": ("tu", "vous"),
    "he": ("il",),
    "she": ("elle",),
    "we": ("nous", "on"),
    "they": ("ils", "elles"),
    "tom": ("tom",),
    "is": ("est",),
    "am": ("suis",),
    "'m": ("suis",),
    "are": ("êtes", "es", "sont", "sommes"),
    "me": ("moi", "me", "m'"),
    "'t": ("pas",),
    "not": ("pas",),
    "very": ("très",),
    "here": ("ici",),
    "who": ("qui",),
    "a": ("un", "une"),
    "the": ("le", "la", "les", "l'"),
}


@dataclass(frozen=True)
class Aligned:
    """Words that translate one another: in which example, at which target position, at which source position."""

    example: NDArray[np.int64]
    target: NDArray[np.int64]
    source: NDArray[np.int64]

    def only(self, chosen: NDArray[np.bool_]) -> Aligned:
        """Some of them."""
        return Aligned(self.example[chosen], self.target[chosen], self.source[chosen])

    @property
    def moved(self) -> Aligned:
        """Those that stand at another place in the target than in the source."""
        return self.only(self.target != self.source)


def aligned_words(data: models.Dataset) -> Aligned:
    """All that is known: by the grammar where it tells, else by the dictionary."""
    rows = []
    for number, row in enumerate(data.examples.to_dict("records")):
        if "alignment" in row:
            places = [int(place) for place in str(row["alignment"]).split()]
            rows += [(number, place, source) for place, source in enumerate(places)]
        else:
            rows += [(number, *places) for places in by_dictionary(str(row["source"]), str(row["target"]))]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Aligned(*columns)


def by_dictionary(source: str, target: str) -> list[tuple[int, int]]:
    """(place in the target, place in the source) of the words that the dictionary knows and that leave no choice."""
    found, here, there = [], source.split(), target.split()
    for word in set(here) & DICTIONARY.keys():
        places = [place for place, other in enumerate(there) if other in DICTIONARY[word]]
        rivals = [other for other in here if set(DICTIONARY.get(other, ())) & set(DICTIONARY[word])]
        if len(places) == len(rivals) == 1:
            found.append((places[0], here.index(word)))
    return sorted(found)


def sides(data: models.Dataset) -> tuple[Tensor, Tensor]:
    """Sources and the targets so far."""
    source, target = data.inputs.tensor_split([data.source_positions], dim=1)
    return source, target


def with_sources(data: models.Dataset, sources: Tensor) -> models.Dataset:
    """The same pairs with other sources of their sizes."""
    import torch

    inputs = torch.cat([sources, sides(data)[1]], dim=1)
    return dataclasses.replace(data, inputs=inputs, mask=inputs != 0)


def of_other_pairs(data: models.Dataset) -> models.Dataset:
    """Each target beside the source of the pair half a data set away."""
    return with_sources(data, sides(data)[0].roll(len(data) // 2, dims=0))


def target_alone(data: models.Dataset) -> models.Dataset:
    """The targets without any source."""
    _, target = sides(data)
    return dataclasses.replace(
        data, name=f"{data.name}-target", inputs=target, mask=target != 0, source_positions=0
    )


def word_accuracy(model: Any, data: models.Dataset, shares: NDArray[np.bool_]) -> Numbers:
    """The share of target words and ends predicted rightly, the target before them given; unknown words count as wrong.

    `shares [seed, example]`: which examples a seed is judged on.
    """
    import torch

    with torch.no_grad():
        named = model(data.inputs).argmax(dim=-1)
    right = ((named == data.targets) & (data.targets >= 0)).sum(dim=-1).numpy()
    due = (data.targets >= 0).sum(dim=-1).numpy() + data.examples["unknown_target"].to_numpy()
    return np.array(
        [ours[chosen].sum() / due[chosen].sum() for ours, chosen in zip(right, shares, strict=True)]
    )


def exact_matches(written: Tensor, data: models.Dataset, shares: NDArray[np.bool_]) -> Numbers:
    """The share of sources whose written target is one of their translations, word for word."""
    tokenizer, examples = data.tokenizer, data.examples
    assert tokenizer is not None
    known = examples.groupby("source")["target"].agg(set)
    references = [known[source] for source in examples["source"]]
    found = []
    for ours, chosen in zip(written.tolist(), shares, strict=True):
        texts = [tokenizer.decode(ended(row)) for row in ours]
        right = np.array([text in allowed for text, allowed in zip(texts, references, strict=True)])
        found.append(right[chosen].mean())
    return np.array(found)


def ended(row: list[int]) -> list[int]:
    """What was written before the end."""
    return row[: row.index(BOUNDARY)] if BOUNDARY in row else [token for token in row if token]


def cross_pattern(model: models.HookedModel, data: models.Dataset) -> Numbers:
    """`[seed, example, target_pos, source_pos]`: the last layer's cross-attention, the mean of its heads."""
    hook = f"decoder.blocks.{model.config.layers - 1}.cross_attn.hook_pattern"
    acts = interp.capture(model, data, hook)
    return acts[hook].mean("head").transpose("seed", "example", "query_pos", "key_pos").to_numpy()


def looked_at(pattern: Numbers, words: Aligned, shares: NDArray[np.bool_]) -> Numbers:
    """The share of these words that look at the source word they translate, a number for each seed."""
    strongest = pattern.argmax(axis=-1)[:, words.example, words.target]
    return per_seed(strongest == words.source, words, shares)


def per_seed(right: NDArray[np.bool_], words: Aligned, shares: NDArray[np.bool_]) -> Numbers:
    """The mean over the words of each seed's own examples; `right [seed, word]`."""
    return np.array([ours[chosen[words.example]].mean() for ours, chosen in zip(right, shares, strict=True)])


def of_sources_as_long(pattern: Numbers, data: models.Dataset) -> Numbers:
    """Each example's pattern replaced by that of the next example whose source has as many words."""
    lengths = (sides(data)[0] != 0).sum(dim=1).numpy()
    donors = np.arange(len(lengths))
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        donors[alike] = np.roll(alike, 1)
    return pattern[:, donors]


def shuffled_sources(data: models.Dataset, *, seed: int = 0) -> tuple[models.Dataset, NDArray[np.int64]]:
    """The pairs with the words of each source in another order, and where each word went, `[example, source_pos]`."""
    import torch

    randomness, sources = np.random.default_rng([seed, 3_907]), sides(data)[0]
    went = np.tile(np.arange(sources.shape[1]), (len(data), 1))
    for row, length in enumerate((sources != 0).sum(dim=1).tolist()):
        went[row, :length] = randomness.permutation(length)
    places = torch.tensor(went)
    return with_sources(data, torch.zeros_like(sources).scatter(1, places, sources)), went


def distance_from_diagonal(pattern: Numbers, data: models.Dataset, shares: NDArray[np.bool_]) -> Numbers:
    """How far attention is from the same relative place, in sentence lengths: 0 on the diagonal, 1 at the other end.

    The mean over the words of targets and sources of two words or more.
    """
    source, target = sides(data)
    words, written = (source != 0).sum(dim=1).numpy(), (target != 0).sum(dim=1).numpy() - 1
    keys, queries = np.arange(source.shape[1]), np.arange(target.shape[1])
    from_ = queries[None, :] / np.maximum(written - 1, 1)[:, None]
    to = keys[None, :] / np.maximum(words - 1, 1)[:, None]
    far = np.abs(from_[:, :, None] - to[:, None, :])
    each = (pattern * far).sum(axis=-1)
    counted = (queries[None, :] < written[:, None]) & (words > 1)[:, None] & (written > 1)[:, None]
    return np.array(
        [
            (ours * (counted & chosen[:, None])).sum() / (counted & chosen[:, None]).sum()
            for ours, chosen in zip(each, shares, strict=True)
        ]
    )
