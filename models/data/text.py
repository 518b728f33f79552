"""Text by character: each character is predicted from those before it in its row.

Running text is cut into rows of equal length in its own order, the last tenth kept for `probe` and `test`, so that no
passage is in two splits. Names are a row each: a line's end, the name; the targets are the name and a line's end; so a
network that goes on from a line's end writes a name. Names are split at random, and no name is there twice.

`names` are first names (Karpathy 2022, https://github.com/karpathy/makemore; each is taken once); `places`, which need
no file, the 184 countries and their capitals in the project's own table (`countries.csv`); the running text is
Shakespeare's, as Karpathy joined it for char-rnn (2015, http://karpathy.github.io/2015/05/21/rnn-effectiveness).

When it misleads: a few hundred places are soon learnt by heart, so look at the test split; and bits per character
depend on the alphabet, which is that of the whole text, test split included.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from models.data.countries import country_table
from models.data.dataset import Dataset
from models.data.fetch import DataFile, fetch
from models.data.padding import pad
from models.data.splits import split_at_random, split_in_order
from models.data.tokenizers import CharacterTokenizer, Tokenizer
from models.data.validation import NOT_ASKED, at_least
from models.files import read_file
from models.refusals import BadFile, Refused

SHAKESPEARE = DataFile(
    "text/tinyshakespeare.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
)
NAMES = DataFile(
    "text/names.txt",
    "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
    ("https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",),
)
END = "\n"


def load_shakespeare(length: int = 64) -> Dataset:
    """Shakespeare, 1,115,394 characters in rows of `length`. `BadFile` when the file is missing or altered."""
    text = read_file(fetch(SHAKESPEARE)).decode("utf-8")
    return running_text(
        "shakespeare", text, length=length, source="Shakespeare (tinyshakespeare.txt, Karpathy 2015)"
    )


def load_names() -> Dataset:
    """29,494 first names in lower case. `BadFile`, which names what needs no file, when it is missing or altered."""
    try:
        path = fetch(NAMES)
    except BadFile as error:
        raise BadFile(
            f"{error} Or take 'places': names of countries and capitals, which need no file."
        ) from error
    words = read_file(path).decode("utf-8").split()
    return lines("names", list(dict.fromkeys(words)), source="First names (names.txt, Karpathy 2022)")


def load_places() -> Dataset:
    """The names of countries and capitals, in lower case."""
    table = country_table()
    words = [str(name).lower() for column in ("country", "capital") for name in table[column]]
    return lines(
        "places", list(dict.fromkeys(words)), source="Countries and capitals, a table of this project"
    )


def running_text(name: str, text: str, *, length: int, source: str) -> Dataset:
    """A text in rows of `length` characters, in order: 90, 5 and 5 of a hundred rows for network, probe and test.

    `examples` has `start`, the row's first character in the text; what does not fill a row at the end is left out.
    """
    at_least("length", length, 1)
    tokenizer = CharacterTokenizer.of([text])
    rows = (len(text) - 1) // length
    if rows < 20:
        raise Refused(
            f"{len(text)} characters make {rows} rows of {length}; at least 20 are needed for splits."
        )
    numbers = torch.tensor(tokenizer.encode(text))
    tokens = numbers[: rows * length].view(rows, length)
    later = rows // 20
    examples = pd.DataFrame(
        {
            "split": split_in_order(rows - 2 * later, later, later),
            "start": range(0, rows * length, length),
        }
    )
    return Dataset(
        name,
        tokens,
        numbers[1 : rows * length + 1].view(rows, length),
        examples,
        None,
        len(tokenizer),
        source,
        mask=torch.ones_like(tokens, dtype=torch.bool),
        tokenizer=tokenizer,
    )


def line_end(tokenizer: Tokenizer) -> int | None:
    """The token that opens and ends each text of `lines`; None for the tokenizer of other data."""
    if not isinstance(tokenizer, CharacterTokenizer) or tokenizer.pad_id is None:
        return None
    return tokenizer.number(END) if END in tokenizer.vocabulary else None


def lines(name: str, texts: Sequence[str], *, source: str, seed: int = 0) -> Dataset:
    """Short texts, a row each, padded at their end. Raises `Refused` for one that is empty, there twice, or has a
    line's end in it."""
    if len(set(texts)) < len(texts) or any(not text or END in text for text in texts):
        raise Refused("Each text is there once, is not empty and has no line's end in it.")
    tokenizer = CharacterTokenizer.of([*texts, END], special=("<pad>",))
    tokens, mask = pad([tokenizer.encode(END + text) for text in texts], 0)
    targets, _ = pad([tokenizer.encode(text + END) for text in texts], 0)
    examples = pd.DataFrame(
        {"split": split_at_random(len(texts), seed=seed, shares=(0.8, 0.1, 0.1)), "text": texts}
    )
    return Dataset(
        name,
        tokens,
        torch.where(mask, targets, NOT_ASKED),
        examples,
        None,
        len(tokenizer),
        source,
        mask=mask,
        tokenizer=tokenizer,
    )
