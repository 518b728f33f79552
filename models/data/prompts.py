"""Facts written out as token sequences, and which of them training sees.

A prompt is encoded together with its object, and the object begins where the prompt's own tokens end; so a
tokenizer whose tokens depend on what stands around them (byte pairs) gives what it would give in running
text. Blanks that are tokens of their own (characters) belong to the prompt.

Whole questions (subject, relation) are held out, never one of several answers, so no prompt of a held-out
fact is met in training. They are drawn at random, passing over those whose subject, or whose object in that
relation, would be left without any trained fact: what a network has never met it cannot even name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from numpy.typing import NDArray

from models.data.dataset import Dataset
from models.data.padding import pad
from models.data.tokenizers import Tokenizer
from models.refusals import Refused


@runtime_checkable
class Templates(Protocol):
    """What is asked of a relation here."""

    @property
    def templates(self) -> tuple[str, ...]: ...

    @property
    def objects(self) -> tuple[str, ...]: ...


@runtime_checkable
class FactTable(Protocol):
    """What is asked of facts here: see `models.data.facts.Facts`."""

    @property
    def name(self) -> str: ...

    @property
    def table(self) -> pd.DataFrame: ...

    @property
    def source(self) -> str: ...

    @property
    def by_name(self) -> Mapping[str, Templates]: ...


class Prompt(NamedTuple):
    """A prompt's tokens, the object's first, and the positions of the subject's first and last token."""

    tokens: list[int]
    target: int
    subject_first: int
    subject_last: int


def write_dataset(
    facts: FactTable, tokenizer: Tokenizer, *, held_out: tuple[int, int], context: int | None, seed: int
) -> Dataset:
    """The data set of `Facts.dataset`; `held_out` counts questions and templates."""
    draw = np.random.default_rng(seed)
    rows = _rows(facts)
    rows["kind"] = _kinds(facts, rows, held_out=held_out, draw=draw)
    rows["split"] = _splits(rows, draw)
    copies = rows.pop("copies").where(rows["kind"] == "trained", 1)
    prompts = _prompts(facts, rows, tokenizer)
    rows = rows.assign(
        answer_pos=[len(prompt.tokens) - 1 for prompt in prompts],
        subject_first=[prompt.subject_first for prompt in prompts],
        subject_last=[prompt.subject_last for prompt in prompts],
    )
    repeated = np.repeat(np.arange(len(rows)), copies)
    tokens, mask = pad([prompt.tokens for prompt in prompts], _padding(prompts, tokenizer), context=context)
    targets = torch.tensor([prompt.target for prompt in prompts])
    return Dataset(
        facts.name,
        tokens[repeated],
        targets[repeated],
        rows.iloc[repeated].reset_index(drop=True),
        None,
        len(tokenizer),
        facts.source,
        mask=mask[repeated],
        tokenizer=tokenizer,
    )


def _rows(facts: FactTable) -> pd.DataFrame:
    """A row per fact and template, in the table's order."""
    table = facts.table.assign(fact=range(len(facts.table)))
    counts = table["relation"].map(
        {name: len(relation.templates) for name, relation in facts.by_name.items()}
    )
    table["answers"] = table.groupby(["subject", "relation"])["object"].transform("size")
    table["copies"] = table.get("frequency", 1)
    rows = table.loc[table.index.repeat(counts)].reset_index(drop=True)
    rows["template"] = rows.groupby("fact").cumcount()
    return rows


def _kinds(
    facts: FactTable, rows: pd.DataFrame, *, held_out: tuple[int, int], draw: np.random.Generator
) -> NDArray[np.object_]:
    questions = draw_questions(facts.table, held_out[0], draw)[rows["fact"]]
    paraphrases = _draw_templates(facts, rows, held_out[1], draw)
    kinds = np.where(paraphrases, "held_out_paraphrase", "trained")
    return np.where(questions, "held_out_fact", kinds).astype(object)


def draw_questions(table: pd.DataFrame, wanted: int, draw: np.random.Generator) -> Bool[np.ndarray, " fact"]:
    """Which facts belong to `wanted` questions whose subjects and objects all stay in training with others.

    Raises `Refused` when there are not as many.
    """
    question = table.groupby(["subject", "relation"], sort=False).ngroup().to_numpy()
    order = np.argsort(question, kind="stable")
    facts_of = np.split(order, np.flatnonzero(np.diff(question[order])) + 1)
    held: NDArray[np.bool_] = np.zeros(len(table), dtype=bool)
    picked = 0
    remain = Remaining(table)
    for number in draw.permutation(len(facts_of)):
        if picked < wanted and remain.without(facts_of[number].tolist()):
            held[facts_of[number]] = True
            picked += 1
    if picked != wanted:
        raise Refused(
            f"{wanted} questions cannot be held out of {len(facts_of)}: {picked} can, if each subject and each "
            "object is to stay in training with another fact. Hold out fewer."
        )
    return held


class Remaining:
    """How many facts each subject, and each object of a relation, still has in training."""

    def __init__(self, table: pd.DataFrame) -> None:
        relation = table["relation"].tolist()
        self._keys = [
            [("", subject), (name, answer)]
            for subject, name, answer in zip(table["subject"], relation, table["object"], strict=True)
        ]
        self._counts = Counter(key for keys in self._keys for key in keys)

    def without(self, facts: Sequence[int]) -> bool:
        """Takes these facts out, if something is left of everything that they name; says whether."""
        taken = Counter(key for fact in facts for key in self._keys[fact])
        if any(self._counts[key] <= times for key, times in taken.items()):
            return False
        self._counts.subtract(taken)
        return True


def _draw_templates(
    facts: FactTable, rows: pd.DataFrame, wanted: int, draw: np.random.Generator
) -> Bool[np.ndarray, " row"]:
    """For each fact this many of its templates, at random."""
    for name, relation in facts.by_name.items():
        if not 0 <= wanted < len(relation.templates):
            raise Refused(
                f"{wanted} templates cannot be held out of the {len(relation.templates)} of {name!r}: at least one is "
                "needed for training. Write more templates, or hold out fewer."
            )
    chance = pd.Series(draw.random(len(rows)))
    questions = [rows["subject"], rows["relation"], rows["template"]]
    same_for_all_answers = chance.groupby(questions).transform("first")
    order = same_for_all_answers.groupby(rows["fact"]).rank(method="first")
    return (order <= wanted).to_numpy()


def _splits(rows: pd.DataFrame, draw: np.random.Generator) -> NDArray[np.object_]:
    """Every other subject probes: first of those with a held-out fact, then of the rest."""
    has_held_out = (rows["kind"] == "held_out_fact").groupby(rows["subject"]).any()
    shuffled = has_held_out.iloc[draw.permutation(len(has_held_out))]
    probing = shuffled.sort_values(kind="stable", ascending=False).index[::2]
    held_out = np.where(rows["subject"].isin(probing), "probe", "test")
    return np.where(rows["kind"] == "trained", "network", held_out).astype(object)


def _prompts(facts: FactTable, rows: pd.DataFrame, tokenizer: Tokenizer) -> list[Prompt]:
    columns = (rows[name] for name in ("subject", "relation", "object", "template"))
    prompts = [
        write_prompt(facts.by_name[relation].templates[template], subject, answer, tokenizer=tokenizer)
        for subject, relation, answer, template in zip(*columns, strict=True)
    ]
    _check_first_tokens(rows, prompts, tokenizer)
    _check_written_apart(rows, prompts, tokenizer)
    return prompts


def write_prompt(template: str, subject: str, answer: str, *, tokenizer: Tokenizer) -> Prompt:
    """One fact in one template. Raises `Refused` for what the tokenizer does not know."""
    before, _, after = template.partition("{subject}")
    whole = tokenizer.encode(f"{before}{subject}{after} {answer}")
    tokens = whole[: _shared(whole, tokenizer.encode(f"{before}{subject}{after}"))]
    rest = whole[len(tokens) :]
    while len(rest) > 1 and tokenizer.decode(rest[:1]).isspace():
        tokens, rest = [*tokens, rest[0]], rest[1:]
    opening = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    first = _shared(whole, tokenizer.encode(before.rstrip()))
    while tokenizer.decode(whole[first : first + 1]).isspace():
        first += 1
    after_last = max(first + 1, _shared(whole, tokenizer.encode(before + subject)))
    return Prompt([*opening, *tokens], rest[0], first + len(opening), after_last - 1 + len(opening))


def _shared(whole: Sequence[int], part: Sequence[int]) -> int:
    """With how many tokens of `part` the whole begins."""
    same = 0
    while same < len(part) and whole[same] == part[same]:
        same += 1
    return same


def _check_first_tokens(rows: pd.DataFrame, prompts: Sequence[Prompt], tokenizer: Tokenizer) -> None:
    first = rows[["relation", "object"]].assign(token=[prompt.target for prompt in prompts]).drop_duplicates()
    shared = first[first.duplicated(["relation", "token"], keep=False)]
    if len(shared):
        relation, _, token = shared.iloc[0]
        same = shared[(shared["relation"] == relation) & (shared["token"] == token)]["object"].tolist()
        raise Refused(
            f"The tokenizer does not fit: the objects {', '.join(map(repr, same[:3]))} of {relation!r} start with the "
            f"same token {tokenizer.tokens([token])[0]!r}, and only the first token is predicted. A word-level "
            "tokenizer (`facts.tokenizer()`) makes each object one token."
        )


def _check_written_apart(rows: pd.DataFrame, prompts: Sequence[Prompt], tokenizer: Tokenizer) -> None:
    """Two questions that are the same tokens, and have other answers, are one prompt that contradicts itself."""
    asked: dict[tuple[int, ...], tuple[tuple[str, str], int]] = {}
    questions = zip(rows["subject"], rows["relation"], strict=True)
    for question, prompt in zip(questions, prompts, strict=True):
        other, target = asked.setdefault(tuple(prompt.tokens), (question, prompt.target))
        if other != question and target != prompt.target:
            text = tokenizer.decode(prompt.tokens)
            raise Refused(
                f"Two questions, {other} and {question}, are written with the same tokens, {text!r}, and have other "
                "answers. Give each relation a template of its own; a tokenizer that knows every word of the facts "
                "(`facts.tokenizer()`) tells subjects apart, if they differ in more than blanks."
            )


def _padding(prompts: Sequence[Prompt], tokenizer: Tokenizer) -> int:
    if tokenizer.pad_id is None and len({len(prompt.tokens) for prompt in prompts}) > 1:
        raise Refused(
            "The prompts have unequal lengths, and the tokenizer has no <pad> to fill them up. "
            "Build it with special=('<pad>',)."
        )
    return tokenizer.pad_id or 0
