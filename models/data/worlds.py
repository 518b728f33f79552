"""Synthetic worlds: facts made up in any number, about subjects with names of several words.

Names are drawn, without repetition, from all sequences of `tokens_per_subject` parts out of one pool. The
pool is the smallest whose sequences are twice as many as subjects, and each part belongs to at least two
subjects: no single token says who is meant (unless names have one token). Each relation has objects of its
own.

- `arbitrary`: objects are dealt out at random, all equally often up to one. A fact can only be memorised:
  log2(objects) bits.
- `rule-governed`: each part of a name has one of A attributes, A the smallest number with
  A^tokens_per_subject >= objects, and the object is a function of the attributes of all parts, drawn for each
  relation. So facts never seen can be worked out.

When it misleads: memorising arbitrary facts is the hardest case for a network, and real facts lie between the
two rules; in a rule-governed world a network that answers correctly may know no fact at all.

Source: arbitrary worlds follow Allen-Zhu and Li, Physics of language models: part 3.3, knowledge capacity
scaling laws (2024), https://arxiv.org/abs/2404.05405, with names and templates of our own.
"""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int64
from numpy.typing import NDArray

from models.data.facts import Facts, Relation
from models.refusals import Refused, one_of

Rule = Literal["arbitrary", "rule-governed"]
TEMPLATES = (
    "the {relation} of {{subject}} is",
    "{{subject}} has as {relation}",
    "{{subject}} 's {relation} is",
)
NOUNS = ("home", "trade", "meal", "game", "colour", "song", "pet", "tool", "hero", "drink", "sport", "book")
MOST_PARTS = 6
_SYLLABLES = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]


def world(
    subjects: int = 1_000,
    *,
    relations: int = 4,
    objects: int = 50,
    tokens_per_subject: int = 2,
    rule: Rule = "arbitrary",
    seed: int = 0,
) -> Facts:
    """A world of `subjects` x `relations` facts, each relation with `objects` objects; the same seed, the
    same world.

    Column `attributes`, where a rule governs: the attributes of the subject's parts. How often each is met is
    set by `Facts.with_frequencies`. Raises `Refused` for fewer than 2 subjects, relations below 1, names of 0
    or more than 6 parts, and objects below 2, more than the subjects, or more than the rule brings about.
    """
    _check(subjects, relations=relations, objects=objects, tokens_per_subject=tokens_per_subject, rule=rule)
    draw = np.random.default_rng([seed, subjects])
    parts = draw_names(subjects, tokens_per_subject, draw)
    attributes = _attributes(parts, objects, draw)
    names = [" ".join(map(_part, name)) for name in parts.tolist()]
    nouns = [_noun(number) for number in range(relations)]
    tables = []
    for noun in nouns:
        codes = (
            _deal(subjects, objects, draw) if rule == "arbitrary" else _governed(attributes, objects, draw)
        )
        tables.append(_table(names, noun, codes, attributes if rule == "rule-governed" else None))
    return Facts(
        f"{rule} world",
        pd.concat(tables, ignore_index=True),
        tuple(_relation(noun, objects) for noun in nouns),
        f"A made-up world of {subjects:,} subjects, {relations} relations, {objects} objects each, {rule}, seed {seed}",
    )


def draw_names(
    subjects: int, tokens_per_subject: int, draw: np.random.Generator
) -> Int64[np.ndarray, "subject part"]:
    """The numbers of the parts of each name: names differ, and each part that occurs is in two or more of
    them."""
    pool = subjects if tokens_per_subject == 1 else _root(2 * subjects, tokens_per_subject)
    while True:
        codes = draw.choice(pool**tokens_per_subject, size=subjects, replace=False)
        parts = np.stack(np.unravel_index(codes, (pool,) * tokens_per_subject), axis=1).astype(np.int64)
        owners = pd.DataFrame({"part": parts.ravel(), "subject": np.repeat(codes, tokens_per_subject)})
        if tokens_per_subject == 1 or owners.groupby("part")["subject"].nunique().min() > 1:
            return parts


def _deal(subjects: int, objects: int, draw: np.random.Generator) -> Int64[np.ndarray, " subject"]:
    """An object for each subject, at random, all equally often up to one."""
    return draw.permutation(np.resize(draw.permutation(objects), subjects)).astype(np.int64)


def _attributes(
    parts: Int64[np.ndarray, "subject part"], objects: int, draw: np.random.Generator
) -> Int64[np.ndarray, "subject part"]:
    kinds = _root(objects, parts.shape[1])
    of_part = _deal(int(parts.max()) + 1, kinds, draw)
    attributes: NDArray[np.int64] = of_part[parts]
    return attributes


def _governed(
    attributes: Int64[np.ndarray, "subject part"], objects: int, draw: np.random.Generator
) -> Int64[np.ndarray, " subject"]:
    """The object of each subject: a table of all combinations of attributes, drawn once."""
    kinds = _root(objects, attributes.shape[1])
    table = _deal(kinds ** attributes.shape[1], objects, draw)
    codes: NDArray[np.int64] = table[
        np.ravel_multi_index(tuple(attributes.T), (kinds,) * attributes.shape[1])
    ]
    reached = len(np.unique(codes))
    if reached < objects:
        raise Refused(
            f"With {len(codes)} subjects the rule brings about {reached} of the {objects} objects. "
            "Ask for more subjects or fewer objects."
        )
    return codes


def _table(
    names: list[str],
    noun: str,
    codes: Int64[np.ndarray, " subject"],
    attributes: Int64[np.ndarray, "subject part"] | None,
) -> pd.DataFrame:
    table = pd.DataFrame({"subject": names, "relation": noun, "object": [f"{noun}_{code}" for code in codes]})
    if attributes is None:
        return table
    return table.assign(attributes=[" ".join(map(str, row)) for row in attributes])


def _relation(noun: str, objects: int) -> Relation:
    templates = tuple(template.format(relation=noun) for template in TEMPLATES)
    return Relation(noun, templates, tuple(f"{noun}_{code}" for code in range(objects)))


def _noun(number: int) -> str:
    return NOUNS[number] if number < len(NOUNS) else f"{NOUNS[number % len(NOUNS)]}{number // len(NOUNS) + 1}"


def _part(number: int) -> str:
    """The name part of this number: syllables, two or more, as digits of a number in base 70."""
    rest, last = divmod(number, len(_SYLLABLES))
    word = _SYLLABLES[(rest + 17 * last) % len(_SYLLABLES)] + _SYLLABLES[(37 * last + 11) % len(_SYLLABLES)]
    while rest >= len(_SYLLABLES):
        rest //= len(_SYLLABLES)
        word = _SYLLABLES[rest % len(_SYLLABLES)] + word
    return word.capitalize()


def _root(number: int, degree: int) -> int:
    """The smallest whole number whose power of this degree is at least `number`."""
    root = max(1, int(number ** (1 / degree)))
    while (root - 1) ** degree >= number:
        root -= 1
    while root**degree < number:
        root += 1
    return int(root)


def _check(subjects: int, *, relations: int, objects: int, tokens_per_subject: int, rule: str) -> None:
    one_of("rule", rule, Rule)
    if (
        subjects < 2
        or relations < 1
        or not 1 <= tokens_per_subject <= MOST_PARTS
        or not 2 <= objects <= subjects
    ):
        raise Refused(
            f"A world of {subjects} subjects with {tokens_per_subject} tokens, {relations} relations, {objects} "
            f"objects. Allowed: 2 subjects or more, 1 to {MOST_PARTS} tokens, 1 relation or more, 2 objects or more "
            "but not more than subjects."
        )
