"""What `what_does_cross_attention_align` measures, on sentences and patterns small enough to work out by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import models
from analyses.translation import aligning
from analyses.translation.translators import encoder_decoder, pairs_of, size, without_source
from analyses.what_does_cross_attention_align import Config, answer
from models.data.pairs import PairTokenizer, pair_dataset
from models.data.tokenizers import WordTokenizer
from models.refusals import BadFile

SPECIAL: Any = ("<pad>", "<bos>", "<unk>")
BOTH = np.ones((1, 2), dtype=bool)


@pytest.fixture
def data() -> models.Dataset:
    """Two pairs: "a b c" -> "A C B" and "a b" -> "A x", x unknown; the targets' first word is number 3."""
    tokenizer = PairTokenizer(
        WordTokenizer((*SPECIAL, "a", "b", "c"), SPECIAL), WordTokenizer((*SPECIAL, "A", "B", "C"), SPECIAL)
    )
    examples = pd.DataFrame(
        {
            "source": ["a b c", "a b"],
            "target": ["A C B", "A x"],
            "alignment": ["0 2 1", "0 1"],
            "split": "test",
        }
    )
    return pair_dataset("own", examples, tokenizer, source="a test")


def pattern_of(*rows: list[int]) -> np.ndarray[Any, Any]:
    """One seed whose attention lies wholly on these source positions, a row an example, four target positions each."""
    return np.eye(3)[np.array(rows)][None]


def test_the_words_known_to_translate_one_another_are_the_grammars(data: models.Dataset) -> None:
    words = aligning.aligned_words(data)
    found = list(zip(words.example, words.target, words.source, strict=True))
    assert found == [(0, 0, 0), (0, 1, 2), (0, 2, 1), (1, 0, 0), (1, 1, 1)]
    assert words.moved.source.tolist() == [2, 1]


def test_a_dictionary_word_counts_where_it_leaves_no_choice() -> None:
    assert aligning.by_dictionary("tom is here", "tom est ici") == [(0, 0), (1, 1), (2, 2)]
    assert aligning.by_dictionary("i am very old", "je suis très vieux") == [(0, 0), (1, 1), (2, 2)]
    assert aligning.by_dictionary("here i am", "me voici") == []
    assert aligning.by_dictionary("is he old", "est-il vieux") == []
    assert aligning.by_dictionary("tom saw tom", "tom a vu tom") == []


def test_looked_at_is_the_share_of_words_whose_strongest_attention_is_right(data: models.Dataset) -> None:
    words = aligning.aligned_words(data)
    pattern = pattern_of([0, 2, 2, 0], [0, 1, 0, 0])
    assert aligning.looked_at(pattern, words, BOTH).tolist() == [pytest.approx(4 / 5)]
    first, second = np.array([[True, False]]), np.array([[False, True]])
    assert aligning.looked_at(pattern, words, first).tolist() == [pytest.approx(2 / 3)]
    assert aligning.looked_at(pattern, words, second).tolist() == [1.0]


def test_attention_on_the_diagonal_is_at_no_distance_from_it(data: models.Dataset) -> None:
    diagonal, opposite = pattern_of([0, 1, 2, 0], [0, 1, 0, 0]), pattern_of([2, 1, 0, 0], [1, 0, 0, 0])
    assert aligning.distance_from_diagonal(diagonal, data, BOTH).tolist() == [0.0]
    # distances 1, 0, 1 in the first sentence and 1, 1 in the second
    assert aligning.distance_from_diagonal(opposite, data, BOTH).tolist() == [pytest.approx(4 / 5)]


def test_unknown_words_and_ends_count_among_what_is_due(data: models.Dataset) -> None:
    class Named(torch.nn.Module):
        """Names A, C, C, end for the first pair and A, unknown, end for the second: right are 3 of 4 and 2 of 3."""

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            named = torch.tensor([[3, 5, 5, 1], [3, 2, 1, 1]])
            return torch.nn.functional.one_hot(named, 6)[None].float()

    assert aligning.word_accuracy(Named(), data, BOTH).tolist() == [pytest.approx(5 / 7)]


def test_a_sentence_is_right_when_it_is_one_of_its_translations(data: models.Dataset) -> None:
    right_and_unknown = torch.tensor([[[3, 5, 4, 1], [3, 2, 1, 0]]])
    assert aligning.exact_matches(right_and_unknown, data, BOTH).tolist() == [0.5]
    several = dataclasses.replace(data, examples=data.examples.assign(source=["a b", "a b"]))
    other_translation = torch.tensor([[[3, 5, 4, 1], [3, 5, 4, 1]]])
    assert aligning.exact_matches(other_translation, several, BOTH).tolist() == [1.0]


def test_other_pairs_bring_their_source_and_keep_the_target(data: models.Dataset) -> None:
    other = aligning.of_other_pairs(data)
    assert other.inputs[:, :3].tolist() == data.inputs[[1, 0], :3].tolist()
    assert other.inputs[:, 3:].tolist() == data.inputs[:, 3:].tolist()


def test_shuffled_sources_hold_the_same_words_where_it_says_they_went(data: models.Dataset) -> None:
    shuffled, went = aligning.shuffled_sources(data, seed=1)
    before, after = data.inputs[:, :3], shuffled.inputs[:, :3]
    assert not torch.equal(before, after)
    for row in range(2):
        for place in range(int((before[row] != 0).sum())):
            assert after[row, went[row, place]] == before[row, place]
    assert int((after[1] != 0).sum()) == 2


def test_the_network_without_a_source_has_as_many_parameters() -> None:
    config = Config.quick()
    network = encoder_decoder(config, pairs_of(config))
    with_source, without = models.Seq2Seq(network), models.Transformer(without_source(network))
    assert abs(size(with_source) / size(without) - 1) < 0.01


def test_without_the_english_french_pairs_it_says_which_file_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    with pytest.raises(BadFile, match=r"tatoeba/eng-fra-5000\.txt is not here"):
        answer(Config(data="tatoeba"))
