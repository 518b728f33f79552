"""Byte-pair encoding: starts from bytes and joins, again and again, the most frequent neighbours into a new
token.

All 256 bytes are tokens, so any text can be encoded and comes back exactly; a blank belongs to the word after
it, as in GPT-2. The `tokenizers` library counts and joins. The same texts give the same tokens.

When it misleads: rare names fall into many pieces, whose number goes along with how rare the name is; and the
first piece of two different words may be the same.

Source: Sennrich, Haddow and Birch, Neural machine translation of rare words with subword units (2016),
https://aclanthology.org/P16-1162/; on bytes: Radford et al., Language models are unsupervised multitask
learners (2019).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from models.data.tokenizers import Tokenizer, check_special
from models.refusals import Refused

BYTES = 256


@dataclass(frozen=True, repr=False)
class BPETokenizer(Tokenizer):
    """A trained byte-pair encoding; `rules` is the `tokenizers` library's own JSON, which holds pieces and
    joins."""

    rules: str
    special: tuple[Literal["<pad>", "<bos>"], ...] = ()

    @classmethod
    def train(
        cls, texts: Iterable[str], *, size: int, special: Sequence[Literal["<pad>", "<bos>"]] = ()
    ) -> BPETokenizer:
        """The encoding of at most `size` tokens learned from these texts (fewer where no neighbours are left).

        `size` counts the special tokens and the 256 bytes; fewer than these are refused, and so is `<unk>`,
        which could never occur.
        """
        check_special(special)
        if size < BYTES + len(special) or "<unk>" in special:
            raise Refused(
                f"A size of {size} with the special tokens {list(special)}: the 256 bytes and the special tokens need "
                f"at least {BYTES + len(special)}, and with every byte a token there is no use for <unk>."
            )
        engine = tokenizers.Tokenizer(models.BPE())
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        engine.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
        )
        engine.train_from_iterator(texts, trainer)
        return cls(json.dumps(json.loads(engine.to_str())), tuple(special))

    @cached_property
    def _engine(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.rules)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        by_token = self._engine.get_vocab()
        return tuple(sorted(by_token, key=by_token.__getitem__))

    def encode(self, text: str) -> list[int]:
        return list(self._engine.encode(text).ids)

    def decode(self, ids: Iterable[int]) -> str:
        chosen = list(ids)
        self.tokens(chosen)
        return str(self._engine.decode(chosen, skip_special_tokens=False))

    def to_json(self) -> dict[str, Any]:
        return {"kind": "bpe", "rules": json.loads(self.rules), "special": list(self.special)}

    def __repr__(self) -> str:
        return f"BPETokenizer({len(self):,} tokens, special {list(self.special)})"
