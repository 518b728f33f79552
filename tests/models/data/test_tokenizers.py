"""Tokenizers: there and back, what is unknown, files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.bpe import BPETokenizer
from models.data.tokenizer_files import load_tokenizer
from models.data.tokenizers import CharacterTokenizer, Tokenizer, WordTokenizer
from models.refusals import BadFile, Refused

CORPUS = [
    "the capital of France is Paris",
    "the capital of Peru is Lima",
    "Lima lies in Peru; naïve café",
] * 5
texts = st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1)


@given(texts.filter(lambda made: any(text.split() for text in made)))
def test_words_come_back_parted_by_single_blanks(made: list[str]) -> None:
    tokenizer = WordTokenizer.of(made)
    for text in made:
        assert tokenizer.decode(tokenizer.encode(text)) == " ".join(text.split())


@given(texts.filter(any))
def test_characters_come_back_exactly(made: list[str]) -> None:
    tokenizer = CharacterTokenizer.of(made, special=["<pad>"])
    for text in made:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_byte_pairs_bring_back_any_text_exactly(text: str) -> None:
    assert BPE.decode(BPE.encode(text)) == text


BPE = BPETokenizer.train(CORPUS, size=300, special=["<pad>", "<bos>"])
EVERY: list[Tokenizer] = [
    WordTokenizer.of(CORPUS),
    WordTokenizer.of(CORPUS, special=["<pad>", "<bos>", "<unk>"]),
    CharacterTokenizer.of(CORPUS, special=["<bos>"]),
    BPE,
]


def test_numbers_of_words_follow_the_alphabet_after_the_special_tokens() -> None:
    tokenizer = WordTokenizer.of(["b a", "c <pad>"], special=["<pad>", "<bos>"])
    assert tokenizer.vocabulary == ("<pad>", "<bos>", "a", "b", "c")
    assert tokenizer.encode("c a b") == [4, 2, 3]
    assert (tokenizer.pad_id, tokenizer.bos_id, len(tokenizer)) == (0, 1, 5)
    assert WordTokenizer.of(["c b", "a"]).vocabulary == WordTokenizer.of(["a b c"]).vocabulary


def test_nothing_is_added_that_was_not_asked_for() -> None:
    plain = WordTokenizer.of(["a b"])
    assert (plain.pad_id, plain.bos_id, plain.vocabulary) == (None, None, ("a", "b"))
    assert WordTokenizer.of(["a"], special=["<bos>"]).encode("a") == [1]


def test_an_unknown_word_is_refused_with_the_nearest_whatever_its_case() -> None:
    with pytest.raises(Refused, match=r"no token 'Pari'\. Nearest: Paris.*Spell it as one of them, or"):
        EVERY[0].encode("the capital of Pari")
    with pytest.raises(Refused, match=r"no token 'nato'\. Nearest: NATO\. Spell it 'NATO', or build"):
        WordTokenizer.of(["NATO", "nowhere"]).encode("nato")
    with pytest.raises(Refused, match="no token 'ß'"):
        EVERY[2].encode("ß")


def test_an_unknown_word_becomes_unk_where_that_was_asked_for() -> None:
    tokenizer = EVERY[1]
    assert tokenizer.tokens(tokenizer.encode("the capital of Wakanda")) == ["the", "capital", "of", "<unk>"]


@pytest.mark.parametrize("tokenizer", EVERY, ids=repr)
def test_a_number_outside_the_vocabulary_is_refused(tokenizer: Tokenizer) -> None:
    for number in (-1, len(tokenizer)):
        for call in (tokenizer.decode, tokenizer.tokens):
            with pytest.raises(Refused, match=f"no token number {number}: the vocabulary has 0 to"):
                call([0, number])


@pytest.mark.parametrize("tokenizer", EVERY, ids=repr)
def test_a_saved_tokenizer_is_the_same_when_loaded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again == tokenizer
    assert (again.digest, again.vocabulary, again.special) == (
        tokenizer.digest,
        tokenizer.vocabulary,
        tokenizer.special,
    )
    assert again.encode(CORPUS[0]) == tokenizer.encode(CORPUS[0])


def test_digests_tell_tokenizers_apart() -> None:
    more = [WordTokenizer.of([*CORPUS, "x"]), WordTokenizer(("b", "a")), WordTokenizer(("a", "b"))]
    assert len({tokenizer.digest for tokenizer in [*EVERY, *more]}) == len(EVERY) + len(more)


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"kind": "words"}', '{"kind": "word"}', "cut"])
def test_a_harmed_file_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    text = json.dumps(BPE.to_json())[:900] if content == "cut" else content
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadFile, match=r"tokenizer\.json is no tokenizer"):
        load_tokenizer(path)


def test_altered_rules_are_a_bad_file_and_no_crash_later(tmp_path: Path) -> None:
    saved = BPE.to_json()
    saved["rules"]["model"]["merges"] = [["no", "such pieces"]]
    (tmp_path / "t.json").write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(BadFile, match=r"t\.json is no tokenizer"):
        load_tokenizer(tmp_path / "t.json")
    with pytest.raises(BadFile, match=r"no tokenizer file .*absent"):
        load_tokenizer(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("words", "special", "message"),
    [
        ((), (), "at least one token"),
        (("<pad>",), ("<pad>",), "at least one token"),
        (("a", "a"), (), r"none twice; twice: \['a'\]"),
        (("a b",), (), "no blank in it .* 'a b'"),
        (("",), (), "given ''"),
        (("a",), ("<pad>",), "'<pad>' is not in the vocabulary"),
        (("a", "<eos>"), ("<eos>",), "no special token '<eos>'"),
        (("a", "<pad>"), ("<pad>", "<pad>"), "once each"),
    ],
)
def test_a_vocabulary_that_cannot_be_meant_is_refused(
    words: tuple[str, ...], special: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        WordTokenizer(words, special)  # type: ignore[arg-type]


def test_a_character_is_one_code_point() -> None:
    with pytest.raises(Refused, match="one code point; given 'ab'"):
        CharacterTokenizer(("ab",))


def test_byte_pairs_are_learned_alike_every_time_and_join_what_is_frequent() -> None:
    assert BPETokenizer.train(CORPUS, size=300, special=["<pad>", "<bos>"]) == BPE
    assert len(BPE) == 300
    assert BPE.tokens([0, 1]) == ["<pad>", "<bos>"]
    assert len(BPE.encode(" capital")) < len(BPE.encode(" latipac"))


def test_byte_pairs_need_room_for_every_byte_and_no_unk() -> None:
    with pytest.raises(Refused, match="at least 257"):
        BPETokenizer.train(CORPUS, size=256, special=["<pad>"])
    with pytest.raises(Refused, match="no use for <unk>"):
        BPETokenizer.train(CORPUS, size=400, special=["<unk>"])  # type: ignore[list-item]
    assert len(BPETokenizer.train([], size=256)) == 256
