"""Facts as token sequences: prompts, targets, and what is held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.bpe import BPETokenizer
from models.data.dataset import Dataset
from models.data.facts import Facts
from models.data.families import families
from models.data.tokenizers import CharacterTokenizer, Tokenizer, WordTokenizer
from models.data.worlds import world
from models.refusals import Refused

TEMPLATES = {"capital": ["the capital of {subject} is", "{subject} is ruled from"]}
ATLAS = Facts.of([("Peru", "capital", "Lima"), ("South Korea", "capital", "Seoul")], templates=TEMPLATES)
SMALL = world(60, relations=3, objects=6)
SENTENCES = [
    "the capital of Peru is Lima",
    "Peru is ruled from Lima",
    "the capital of South Korea is Seoul",
    "South Korea is ruled from Seoul",
]
TOKENIZERS: list[Tokenizer] = [
    ATLAS.tokenizer(),
    ATLAS.tokenizer(special=["<bos>", "<pad>"]),
    CharacterTokenizer.of(SENTENCES, special=["<pad>"]),
    BPETokenizer.train(SENTENCES * 3, size=290, special=["<pad>", "<bos>"]),
]


def real_tokens(data: Dataset, row: int) -> list[int]:
    assert data.mask is not None
    tokens: list[int] = data.inputs[row][data.mask[row]].tolist()
    return tokens


def held_out(**changes: int) -> Dataset:
    return SMALL.dataset(SMALL.tokenizer(), **({"held_out_facts": 12, "held_out_paraphrases": 1} | changes))


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=repr)
def test_prompt_and_object_are_the_tokens_of_the_sentence(tokenizer: Tokenizer) -> None:
    data = ATLAS.dataset(tokenizer)
    opening = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    for row, sentence in enumerate(SENTENCES):
        tokens = [*real_tokens(data, row), int(data.targets[row])]
        assert tokens == [*opening, *tokenizer.encode(sentence)][: len(tokens)]
        example = data.examples.iloc[row]
        assert example["answer_pos"] == len(tokens) - 2
        assert example["object"].startswith(tokenizer.decode(tokens[-1:]).strip())
    assert data.classes == len(tokenizer)
    assert data.tokenizer is tokenizer


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=repr)
def test_the_positions_of_the_subject_spell_it(tokenizer: Tokenizer) -> None:
    data = ATLAS.dataset(tokenizer)
    for row, example in data.examples.iterrows():
        tokens = data.inputs[int(str(row))][example["subject_first"] : example["subject_last"] + 1]
        assert tokenizer.decode(tokens.tolist()).strip() == example["subject"]


def test_a_row_written_out_by_hand() -> None:
    data = ATLAS.dataset(ATLAS.tokenizer())
    words = "<pad> Korea Lima Peru Seoul South capital from is of ruled the".split()  # noqa: SIM905
    assert data.tokenizer is not None
    assert data.tokenizer.vocabulary == tuple(words)
    assert data.inputs.tolist() == [
        [11, 6, 9, 3, 8, 0],
        [3, 8, 10, 7, 0, 0],
        [11, 6, 9, 5, 1, 8],
        [5, 1, 8, 10, 7, 0],
    ]
    assert data.targets.tolist() == [2, 2, 4, 4]
    assert data.examples["answer_pos"].tolist() == [4, 3, 5, 4]
    assert data.examples["subject_first"].tolist() == [3, 0, 3, 0]
    assert data.examples["subject_last"].tolist() == [3, 0, 4, 1]
    assert data.examples["template"].tolist() == [0, 1, 0, 1]
    assert data.split_counts() == {"network": 4, "probe": 0, "test": 0}


sizes = st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(0, 9))


@settings(max_examples=15)
@given(sizes)
def test_what_is_held_out_is_never_trained(sizes: tuple[int, int, int]) -> None:
    facts, paraphrases, seed = sizes
    data = held_out(held_out_facts=facts, held_out_paraphrases=paraphrases, seed=seed)
    examples = data.examples
    by_kind = dict(list(examples.groupby("kind")))
    none = examples.head(0)
    trained, reworded = by_kind["trained"], by_kind.get("held_out_paraphrase", none)
    unseen = by_kind.get("held_out_fact", none)
    assert (len(trained), len(reworded)) == ((180 - facts) * (3 - paraphrases), (180 - facts) * paraphrases)
    assert len(unseen) == 3 * facts
    assert set(trained["fact"]).isdisjoint(unseen["fact"])
    assert set(reworded["fact"]) <= set(trained["fact"])
    in_training = (examples["split"] == "network").tolist()
    seen = {tuple(row) for row, known in zip(data.inputs.tolist(), in_training, strict=True) if known}
    other = {tuple(row) for row, known in zip(data.inputs.tolist(), in_training, strict=True) if not known}
    assert seen.isdisjoint(other)
    assert len(seen) + len(other) == 180 * 3


@settings(max_examples=15)
@given(sizes)
def test_splits_are_kinds_and_a_subject_is_judged_in_one(sizes: tuple[int, int, int]) -> None:
    facts, paraphrases, seed = sizes
    examples = held_out(held_out_facts=facts, held_out_paraphrases=paraphrases, seed=seed).examples
    assert ((examples["kind"] == "trained") == (examples["split"] == "network")).all()
    judging = examples[examples["split"] != "network"].groupby("subject")["split"].nunique()
    assert (judging == 1).all()


@settings(max_examples=15)
@given(st.integers(0, 100), st.integers(0, 5))
def test_every_subject_and_object_of_a_held_out_fact_is_met_in_training(facts: int, seed: int) -> None:
    examples = held_out(held_out_facts=facts, seed=seed).examples
    trained = examples[examples["kind"] == "trained"]
    assert set(trained["subject"]) == set(examples["subject"])
    assert set(zip(trained["relation"], trained["object"], strict=True)) == set(
        zip(examples["relation"], examples["object"], strict=True)
    )


def test_each_template_trains_some_facts_and_is_held_out_for_others() -> None:
    counts = pd.crosstab(held_out().examples["kind"], held_out().examples["template"])
    assert (counts > 0).all(axis=None)


def test_held_out_facts_are_shared_out_between_probe_and_test() -> None:
    unseen = held_out(held_out_facts=2).examples.query("kind == 'held_out_fact'")
    assert unseen["split"].value_counts().to_dict() == {"probe": 3, "test": 3}


def test_the_same_arguments_give_the_same_data_and_another_seed_other_data() -> None:
    before = torch.get_rng_state()
    assert held_out().digest == held_out().digest != held_out(seed=1).digest
    assert torch.equal(before, torch.get_rng_state())


def test_a_question_with_two_answers_is_held_out_whole() -> None:
    facts = families()
    for seed in range(5):
        data = facts.dataset(facts.tokenizer(), held_out_facts=20, held_out_paraphrases=1, seed=seed)
        questions = data.examples.groupby(["subject", "relation"])
        assert (questions["kind"].agg(lambda kinds: "held_out_fact" in set(kinds)).sum()) == 20
        assert data.examples["answers"].max() == 2
        per_prompt = data.examples.groupby(["subject", "relation", "template"])
        assert (per_prompt["kind"].nunique() == 1).all()
        assert (per_prompt["object"].nunique() == per_prompt["answers"].first()).all()


def test_training_meets_a_fact_as_often_as_its_frequency_says_and_tests_ask_once() -> None:
    facts = world(60, relations=3, objects=6).with_frequencies("zipf", seed=3)
    data = facts.dataset(facts.tokenizer(), held_out_facts=12, held_out_paraphrases=1)
    counts = data.examples.groupby(["split", "fact"]).size()
    trained = facts.table["frequency"][counts["network"].index]
    assert counts["network"].tolist() == (2 * trained).tolist()
    assert counts["test"].isin([1, 3]).all()
    assert "copies" not in data.examples


def test_what_else_is_known_of_a_fact_is_known_of_its_rows() -> None:
    facts = world(60, relations=3, objects=6, rule="rule-governed")
    data = facts.dataset(facts.tokenizer())
    assert (facts.table["attributes"].to_numpy()[data.examples["fact"]] == data.examples["attributes"]).all()
    assert np.array_equal(data.examples["fact"].unique(), np.arange(180))


@pytest.mark.parametrize(
    ("tokenizer", "changes", "message"),
    [
        (WordTokenizer.of(["the capital of is ruled from Lima Peru", "Seoul"]), {}, "no token 'South'"),
        (ATLAS.tokenizer(special=()), {}, "no <pad> to fill them up"),
        (TOKENIZERS[0], {"context": 5}, "has 6 tokens, and 1 of 4 are longer than the context of 5"),
        (TOKENIZERS[0], {"held_out_paraphrases": 2}, "2 templates cannot be held out of the 2 of 'capital'"),
        (TOKENIZERS[0], {"held_out_paraphrases": -1}, "-1 templates"),
        (TOKENIZERS[0], {"held_out_facts": 1}, "1 questions cannot be held out of 2: 0 can"),
        (TOKENIZERS[0], {"held_out_facts": -1}, "-1 questions"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tokenizer: Tokenizer, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        ATLAS.dataset(tokenizer, **changes)


def test_objects_that_start_with_the_same_token_do_not_fit_the_tokenizer() -> None:
    facts = Facts.of([("Peru", "capital", "San A"), ("Chad", "capital", "San B")], templates=TEMPLATES)
    with pytest.raises(
        Refused, match=r"does not fit: the objects 'San A', 'San B' of 'capital' .* token 'San'"
    ):
        facts.dataset(facts.tokenizer())


def test_without_padding_prompts_of_one_length_are_written_all_the_same() -> None:
    facts = world(60, relations=3, objects=6, tokens_per_subject=1).subset(range(60))
    one = Facts.of(
        facts.table[["subject", "relation", "object"]].itertuples(index=False, name=None),
        templates={"home": ["the home of {subject} is"]},
    )
    data = one.dataset(one.tokenizer(special=()))
    assert data.mask is not None
    assert data.mask.all()
    assert data.inputs.shape == (60, 5)


@pytest.mark.parametrize(
    ("triples", "templates"),
    [
        (
            [("a", "r", "X"), ("b", "r", "Y"), ("a", "s", "Y"), ("b", "s", "X")],
            {"r": ["{subject} has"], "s": ["{subject} has"]},
        ),
        ([("New York", "r", "X"), ("New  York", "r", "Y")], {"r": ["{subject} has"]}),
    ],
)
def test_questions_that_are_written_alike_and_answered_otherwise_are_refused(
    triples: list[tuple[str, str, str]], templates: dict[str, list[str]]
) -> None:
    facts = Facts.of(triples, templates=templates)
    with pytest.raises(Refused, match="written with the same tokens"):
        facts.dataset(facts.tokenizer())


def test_characters_of_a_subject_begin_behind_the_blank() -> None:
    tokenizer = CharacterTokenizer.of(SENTENCES, special=["<pad>"])
    data = ATLAS.dataset(tokenizer)
    for row, (first, last) in enumerate(data.examples[["subject_first", "subject_last"]].to_numpy()):
        subject = tokenizer.decode(data.inputs[row][first : last + 1].tolist())
        assert subject == data.examples.iloc[row]["subject"]


def test_a_relation_is_given_once() -> None:
    (relation,) = ATLAS.relations
    with pytest.raises(Refused, match="'capital' is given twice"):
        Facts("twice", ATLAS.table, (relation, relation))
