"""Token pairs: what stands where, what is asked, who is held out; a made-up language and real sentences."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.loading import load_data
from models.data.pairs import PairTokenizer, frequent_words, pair_dataset
from models.data.reordering import BEFORE, BEHIND, NOUNS, alignment_of, reordering, translated
from models.data.tokenizer_files import load_tokenizer
from models.data.tokenizers import WordTokenizer
from models.data.translation import english_words, french_words, groups_of, read_pairs, translation_of
from models.data.validation import NOT_ASKED
from models.refusals import BadFile, Refused

SMALL = (300, 20, 30)
PAIRS = [("go", "va"), ("go on", "va toujours"), ("run", "va"), ("i sleep", "je dors")]
SIDE = WordTokenizer(("<pad>", "<bos>", "<unk>", "go", "on", "je"), ("<pad>", "<bos>", "<unk>"))


def own(**changes: Any) -> Dataset:
    examples = pd.DataFrame(
        {"source": ["go on", "go"], "target": ["je go", "x"], "split": ["network", "test"], **changes}
    )
    return pair_dataset("own", examples, PairTokenizer(SIDE, SIDE), source="a test")


def test_a_pair_is_its_source_then_its_target_from_the_boundary_on() -> None:
    data = own()
    assert data.inputs.tolist() == [[3, 4, 1, 5, 3], [3, 0, 1, 2, 0]]
    assert data.mask is not None
    assert data.mask.tolist() == [[True] * 5, [True, False, True, True, False]]
    assert (data.source_positions, data.reads, data.classes) == (2, "token pairs", 6)


def test_asked_is_the_next_word_and_the_end_but_never_an_unknown_word() -> None:
    data = own()
    assert data.targets.tolist() == [[5, 3, 1], [NOT_ASKED, 1, NOT_ASKED]]
    assert data.examples["unknown_target"].tolist() == [0, 1]
    assert data.examples["unknown_source"].tolist() == [0, 0]


def test_where_the_source_ends_is_part_of_the_digest_and_of_every_subset() -> None:
    data = own()
    assert data.test.source_positions == 2
    changed = {name: getattr(data, name) for name in data.__dataclass_fields__}
    changed |= {
        "source_positions": 3,
        "targets": data.targets[:, 1:],
        "mask": torch.ones(2, 5, dtype=torch.bool),
    }
    assert Dataset(**changed).digest != data.digest


def test_targets_of_another_length_than_the_target_side_are_refused() -> None:
    data = own()
    changed = {name: getattr(data, name) for name in data.__dataclass_fields__}
    with pytest.raises(Refused, match=r"here \[2, 3\]; given \[2, 2\]"):
        Dataset(**changed | {"targets": data.targets[:, 1:]})
    with pytest.raises(Refused, match="leave at least 1 for the target"):
        Dataset(**changed | {"source_positions": 5})


def test_words_are_known_from_the_number_of_times_asked_for() -> None:
    tokenizer = frequent_words(["a b", "b c", "b a"], least=2)
    assert tokenizer.words == ("<pad>", "<bos>", "<unk>", "a", "b")
    assert tokenizer.encode("c b") == [2, 4]


def test_both_sides_of_a_tokenizer_are_saved_and_read_back(tmp_path: Path) -> None:
    tokenizer = PairTokenizer(frequent_words(["a b"], least=1), SIDE)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert isinstance(again, PairTokenizer)
    assert (again.source.words, again.target.words, again.digest) == (
        tokenizer.source.words,
        SIDE.words,
        tokenizer.digest,
    )


def test_a_tokenizer_without_padding_first_is_refused() -> None:
    with pytest.raises(Refused, match="<pad> as number 0"):
        PairTokenizer(WordTokenizer(("a", "b")), SIDE)


@pytest.mark.parametrize("name", ["reordering", "translation"])
def test_the_catalogue_tells_the_truth_about_pairs(name: str) -> None:
    if name == "translation" and not os.environ.get("INTERP_DATA_DIR"):
        pytest.skip("the pairs of Tatoeba are found through INTERP_DATA_DIR, which is not set")
    data, entry = load_data(name), CATALOGUE[name]
    assert tuple(data.split_counts().values()) == entry.splits
    assert (data.inputs.shape[1], data.classes, data.reads) == (entry.positions, entry.classes, entry.reads)
    assert isinstance(data.tokenizer, PairTokenizer)
    assert (data.source_positions, len(data.tokenizer.source)) == entry.sources


def test_each_target_word_translates_the_source_word_it_is_aligned_with() -> None:
    data = reordering(splits=SMALL)
    for row in data.examples.itertuples():
        source, target = str(row.source).split(), str(row.target).split()
        places = alignment_of(str(row.alignment))
        assert sorted(places) == list(range(len(source)))
        for word, place in zip(target, places, strict=True):
            assert word == translated(source[place]) or source[place] in ("the", "a")


def test_adjectives_stand_where_the_grammar_has_them() -> None:
    data = reordering(splits=SMALL)
    nouns = set(map(translated, NOUNS))
    for text in data.examples["target"]:
        words = str(text).split()
        for place, word in enumerate(words):
            if word in map(translated, BEHIND):
                assert words[place - 1] in nouns or words[place - 1] in map(translated, BEHIND)
            if word in map(translated, BEFORE):
                assert words[place + 1] in nouns or words[place + 1] in map(translated, BEFORE)


def test_an_article_has_the_gender_of_its_noun() -> None:
    seen = set()
    for row in reordering(splits=SMALL).examples.itertuples():
        source, target = str(row.source).split(), str(row.target).split()
        if source[-2] in ("the", "a"):
            seen.add((source[-2], NOUNS.index(source[-1]) % 2, target[-2]))
    assert seen == {("the", 0, "lo"), ("the", 1, "la"), ("a", 0, "un"), ("a", 1, "una")}


def test_no_sentence_is_there_twice_and_a_seed_gives_the_same_again() -> None:
    first, again, other = (reordering(splits=SMALL, seed=seed) for seed in (0, 0, 1))
    assert first.examples["source"].is_unique
    assert first.digest == again.digest != other.digest


def test_sentences_become_words() -> None:
    assert english_words("I don’t know: we'll see!") == "i don 't know we 'll see"
    assert french_words("J’ai dit : « Lève-toi ! »") == "j' ai dit lève-toi"


def test_pairs_that_share_a_sentence_are_one_group_through_others_too() -> None:
    assert groups_of(PAIRS) == [0, 1, 0, 2]
    assert groups_of([("a", "x"), ("b", "y"), ("a", "y")]) == [0, 0, 0]


def test_no_held_out_sentence_of_either_side_was_met_in_training() -> None:
    text = "\n".join(f"{source}\t{target}\tlicence" for source, target in PAIRS * 2)
    text += "\n" + "\n".join(f"one {n}\tun {n}\none {n}\tune {n}\ntwo {n}\tune {n}" for n in range(30))
    data = translation_of(text, splits=(0, 6, 9))
    assert (data.split_counts()["probe"], data.split_counts()["test"]) == (6, 9)
    for column in ("source", "target", "group"):
        assert (data.examples.groupby(column)["split"].nunique() == 1).all()


def test_pairs_alike_count_once_and_long_ones_are_left_out() -> None:
    text = "Go.\tVa !\tA\nGo!\tVa.\tB\nA b c d e f g.\tA.\tC\n"
    assert read_pairs(text) == [("go", "va")]


def test_a_line_without_a_tab_is_a_bad_file() -> None:
    with pytest.raises(BadFile, match="has no tab: 'Go'"):
        read_pairs("Go")


def test_missing_pairs_are_named_with_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("INTERP_OFFLINE", raising=False)
    with pytest.raises(BadFile, match=r"eng-fra-5000.txt is not here.*first 5,000 lines of fra.txt"):
        load_data("translation")
