"""Tokenizers: text to token numbers and back.

`WordTokenizer` has one token per word (words stand between blanks), `CharacterTokenizer` one per character;
`models.data.bpe.BPETokenizer` learns pieces of words from text. All are frozen, saved as JSON, and told apart
by `digest`. Special tokens (`<pad>` fills up shorter sequences, `<bos>` opens a sequence, `<unk>` stands for
what is not in the vocabulary) are there only when asked for. Nothing is put in by itself: `encode` adds no
`<bos>`, and a word that is not in the vocabulary is refused with the nearest words, unless the tokenizer has
`<unk>`.

When it misleads: a word-level vocabulary makes every name one token, which real language models do not have;
results on where facts are put together from their tokens need names of several words.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from models.files import write_file
from models.refusals import Refused, unknown

Special = Literal["<pad>", "<bos>", "<unk>"]


class Tokenizer(ABC):
    """What every tokenizer does; `len(tokenizer)` is the size of its vocabulary."""

    special: tuple[Special, ...]

    @property
    @abstractmethod
    def vocabulary(self) -> tuple[str, ...]:
        """Every token; its place is its number."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The token numbers of a text. Raises `Refused` for what is not in the vocabulary, unless `<unk>`
        is."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of token numbers. Raises `Refused` for a number outside the vocabulary."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """All that it takes to build this tokenizer again (`models.data.tokenizer_files.load_tokenizer`)."""

    def __len__(self) -> int:
        return len(self.vocabulary)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.vocabulary)}

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of these numbers. Raises `Refused` for a number outside the vocabulary."""
        chosen = [int(number) for number in ids]
        for number in chosen:
            if not 0 <= number < len(self):
                raise Refused(f"There is no token number {number}: the vocabulary has 0 to {len(self) - 1}.")
        return [self.vocabulary[number] for number in chosen]

    def number(self, token: str) -> int:
        """The number of one token. Raises `Refused`, with the nearest tokens, when there is none."""
        found = self._numbers.get(token, self._numbers.get("<unk>") if "<unk>" in self.special else None)
        if found is None:
            raise _no_such_token(token, self.vocabulary)
        return found

    def _numbers_of(self, tokens: Iterable[str]) -> list[int]:
        numbers = self._numbers
        return [numbers[token] if token in numbers else self.number(token) for token in tokens]

    @property
    def pad_id(self) -> int | None:
        """The number of `<pad>`, or None."""
        return self._numbers["<pad>"] if "<pad>" in self.special else None

    @property
    def bos_id(self) -> int | None:
        """The number of `<bos>`, or None."""
        return self._numbers["<bos>"] if "<bos>" in self.special else None

    @cached_property
    def digest(self) -> str:
        """sha256, in hexadecimal, of everything that decides what it does."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the tokenizer as JSON, whole or not at all."""
        write_file(Path(path), json.dumps(self.to_json(), ensure_ascii=False).encode())


@dataclass(frozen=True, repr=False)
class WordTokenizer(Tokenizer):
    """One token per word; blanks part words and are not kept apart (`decode` writes one blank between
    words)."""

    words: tuple[str, ...]
    special: tuple[Special, ...] = ()

    def __post_init__(self) -> None:
        check_vocabulary(self.words, self.special)
        split = [word for word in self.words if word.split() != [word]]
        if split:
            raise Refused(f"A word has no blank in it and is not empty; given {split[0]!r}.")

    @classmethod
    def of(cls, texts: Iterable[str], *, special: Sequence[Special] = ()) -> WordTokenizer:
        """The tokenizer of the words in these texts, in alphabetical order after the special tokens."""
        words = {word for text in texts for word in text.split()} - set(special)
        return cls((*special, *sorted(words)), tuple(special))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.words

    def encode(self, text: str) -> list[int]:
        return self._numbers_of(text.split())

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.tokens(ids))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "word", "words": list(self.words), "special": list(self.special)}

    def __repr__(self) -> str:
        return f"WordTokenizer({len(self):,} words, special {list(self.special)})"


@dataclass(frozen=True, repr=False)
class CharacterTokenizer(Tokenizer):
    """One token per character (a Unicode code point); nothing is lost."""

    characters: tuple[str, ...]
    special: tuple[Special, ...] = ()

    def __post_init__(self) -> None:
        check_vocabulary(self.characters, self.special)
        long = [token for token in self.characters if len(token) != 1 and token not in self.special]
        if long:
            raise Refused(f"A character is one code point; given {long[0]!r}.")

    @classmethod
    def of(cls, texts: Iterable[str], *, special: Sequence[Special] = ()) -> CharacterTokenizer:
        """The tokenizer of the characters in these texts, in order of code points after the special tokens."""
        characters = {character for text in texts for character in text}
        return cls((*special, *sorted(characters)), tuple(special))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.characters

    def encode(self, text: str) -> list[int]:
        return self._numbers_of(text)

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.tokens(ids))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "character", "characters": list(self.characters), "special": list(self.special)}

    def __repr__(self) -> str:
        return f"CharacterTokenizer({len(self):,} characters, special {list(self.special)})"


def check_vocabulary(tokens: Sequence[str], special: Sequence[str]) -> None:
    """Raise `Refused` for no token, a token given twice, and special tokens that do not exist or are not in
    it."""
    check_special(special)
    ordinary = set(tokens) - set(special)
    if not ordinary or len(set(tokens)) < len(tokens):
        twice = sorted({token for token in tokens if list(tokens).count(token) > 1}) if ordinary else []
        raise Refused(
            f"A vocabulary has at least one token besides the special ones, and none twice; twice: {twice}."
        )
    for token in special:
        if token not in tokens:
            raise Refused(f"The special token {token!r} is not in the vocabulary. Add it, or leave it out.")


def check_special(special: Sequence[str]) -> None:
    """Raise `Refused` for special tokens that do not exist, or one given twice."""
    for token in special:
        if token not in get_args(Special):
            raise unknown("special token", token, get_args(Special))
    if len(set(special)) < len(special):
        raise Refused(f"Special tokens are given once each, not {list(special)}.")


def _no_such_token(token: str, vocabulary: Sequence[str]) -> Refused:
    """The refusal, with the nearest tokens whatever their case."""
    by_folded = {word.casefold(): word for word in vocabulary}
    near = [by_folded[name] for name in difflib.get_close_matches(token.casefold(), by_folded, cutoff=0.5)]
    if not near:
        return unknown("token", token, [one if one.split() == [one] else repr(one) for one in vocabulary])
    same = by_folded.get(token.casefold())
    spelt = f"Spell it {same!r}" if same else "Spell it as one of them"
    return Refused(
        f"There is no token {token!r}. Nearest: {', '.join(near)}. {spelt}, or build the tokenizer from texts that "
        "have it, or with <unk>."
    )
