"""Tokenizers read back from the JSON files that `Tokenizer.save` writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.data.bpe import BPETokenizer
from models.data.pairs import PairTokenizer
from models.data.tokenizers import CharacterTokenizer, Tokenizer, WordTokenizer
from models.refusals import BadFile

_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Tokenizer]] = {
    "word": lambda saved: _words(saved),
    "pair": lambda saved: PairTokenizer(_words(saved["source"]), _words(saved["target"])),
    "character": lambda saved: CharacterTokenizer(tuple(saved["characters"]), tuple(saved["special"])),
    "bpe": lambda saved: BPETokenizer(json.dumps(saved["rules"]), tuple(saved["special"])),
}


def _words(saved: Mapping[str, Any]) -> WordTokenizer:
    return WordTokenizer(tuple(saved["words"]), tuple(saved["special"]))


def tokenizer_from_json(saved: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer whose `to_json` this is; KeyError or ValueError for anything else."""
    tokenizer = _KINDS[saved["kind"]](saved)
    len(tokenizer)
    return tokenizer


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer saved in this file. Raises `BadFile` when it is missing, truncated or something else."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        return tokenizer_from_json(saved)
    except FileNotFoundError as error:
        raise BadFile(f"There is no tokenizer file {path}.") from error
    except Exception as error:  # the tokenizers library raises bare Exception
        raise BadFile(
            f"{path} is no tokenizer, or is truncated or altered ({error}). Save it again."
        ) from error
