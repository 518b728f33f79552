"""A fact in several words is one fact, padding says nothing, and facts are compared with others of their relation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from known_facts import SIZES, Bench

from interp.locating.localization.baselines import weight_change
from interp.locating.localization.drift import drift
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.methods import METHODS, localize
from interp.locating.localization.parts import parts_of
from interp.locating.localization.scores import OfParts, TooFewPairs
from interp.refusals import Refused
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

VOCABULARY, LENGTH = 16, 5


@dataclass(frozen=True)
class Prompts:
    """Sequences of 3 to 5 tokens, padded: data by its form alone."""

    inputs: torch.Tensor
    targets: torch.Tensor
    examples: pd.DataFrame
    mask: torch.Tensor

    def rows(self, rows: Any) -> Prompts:
        table = self.examples.iloc[rows].reset_index(drop=True)
        return Prompts(self.inputs[rows], self.targets[rows], table, self.mask[rows])


def a_network(seeds: Sequence[int], **config: Any) -> Transformer:
    """Untrained, and sure of its answers."""
    sizes = SIZES | {"d_model": 16, "d_mlp": 32} | config
    model = Transformer(TransformerConfig(VOCABULARY, LENGTH, **sizes), seeds=seeds)
    with torch.no_grad():
        model.embed.W_E.mul_(30 if model.unembed.W_U is None else 1)
        if model.unembed.W_U is not None:
            model.unembed.W_U.mul_(30)
    return model


def some_prompts(model: Transformer, count: int, *, padding: int) -> Prompts:
    """Sequences that differ in their first three tokens, two relations, and as target the first seed's answer."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, LENGTH + 1, (count,), generator=generator)
    inputs = torch.randint(1, VOCABULARY, (count, LENGTH), generator=generator)
    every = torch.cartesian_prod(*[torch.arange(1, VOCABULARY)] * 3)
    inputs[:, :3] = every[torch.randperm(len(every), generator=generator)[:count]]
    mask = torch.arange(LENGTH) < lengths[:, None]
    with torch.no_grad():
        answers = model(inputs)[0, torch.arange(count), lengths - 1].argmax(-1)
    table = pd.DataFrame(
        {
            "subject": [f"s{row}" for row in range(count)],
            "relation": np.where(np.arange(count) % 2, "likes", "owns"),
            "answer_pos": lengths.numpy() - 1,
            "subject_first": 0,
            "subject_last": 1,
        }
    )
    return Prompts(torch.where(mask, inputs, padding), answers, table, mask)


def asked_of(
    model: Transformer, *, count: int = 400, padding: int = 0, of: int = 30
) -> tuple[Prompts, Prompts]:
    """Facts in question and others, all known to every seed."""
    every = some_prompts(model, count, padding=padding)
    rows = torch.arange(count)
    with torch.no_grad():
        odds = model(every.inputs)[:, rows, every.examples["answer_pos"].to_list()].softmax(-1)
    sure = (odds[:, rows, every.targets] > 0.5).all(0).nonzero().flatten().numpy()
    return every.rows(sure[:of]), every.rows(sure[of:])


@pytest.fixture(scope="module")
def single() -> Transformer:
    """A population of one seed."""
    return a_network([0])


@pytest.mark.parametrize("name", [name for name in METHODS if name != "random"])
def test_which_token_fills_up_says_nothing(single: Transformer, name: str) -> None:
    found = [
        localize(single, *asked_of(single, padding=padding), name, components=PARTS) for padding in (0, 7)
    ]
    assert not bool((found[0].isnull()).all())
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


PARTS = ["blocks.0.attn", "blocks.0.mlp", "blocks.1.mlp"]


@pytest.mark.parametrize(
    "name", ["mean ablation", "shrinking", "direct logit attribution", "gradient norm ratio"]
)
def test_two_wordings_of_a_fact_are_one_piece_of_evidence(single: Transformer, name: str) -> None:
    """Here both wordings are the same: scores and pairs are those of one."""
    facts, reference = asked_of(single)
    twice = [prompts.rows(np.repeat(np.arange(len(prompts.targets)), 2)) for prompts in (facts, reference)]
    once, again = (localize(single, *both, name, components=PARTS) for both in ((facts, reference), twice))
    assert once.attrs["pairs"] == again.attrs["pairs"]
    np.testing.assert_allclose(once, again, atol=1e-5)


def test_both_of_a_pair_are_of_one_relation(single: Transformer) -> None:
    facts, reference = asked_of(single)
    inquiry = Inquiry.of(single, facts, reference)
    relations = inquiry.relations[inquiry.pairs[0]]
    assert len(relations) > 10
    assert torch.equal(relations[:, 0], relations[:, 1])
    assert len(relations.unique()) == 2


def test_facts_of_a_relation_that_no_other_fact_has_are_not_compared(single: Transformer) -> None:
    facts, reference = asked_of(single)
    alone = replace(facts, examples=facts.examples.assign(relation="hates"))
    with pytest.raises(TooFewPairs, match=r"of their relation and of a like margin; found \[0\]"):
        localize(single, alone, reference, "shrinking")


def test_the_same_facts_in_other_words_are_no_reference(single: Transformer) -> None:
    facts, reference = asked_of(single)
    table = facts.examples.assign(subject=reference.examples["subject"][: len(facts.targets)].to_numpy())
    table["relation"] = reference.examples["relation"][: len(facts.targets)].to_numpy()
    with pytest.raises(Refused, match="30 of those in question are in the reference too"):
        localize(single, replace(facts, examples=table), reference, "shrinking")


def test_positions_that_no_reference_fact_reaches_are_refused(single: Transformer) -> None:
    facts, reference = asked_of(single)
    short = np.flatnonzero((reference.examples["answer_pos"] < LENGTH - 1).to_numpy())
    with pytest.raises(Refused, match="reaches position 4"):
        localize(single, facts, reference.rows(short), "mean ablation")


def test_weights_before_are_those_of_the_same_seeds(bench: Bench) -> None:
    change = OfParts(weight_change(bench.model.member(0)))
    with pytest.raises(Refused, match="seeds"):
        change(bench.plantings["blocks.1.mlp"].model.member(1), bench.planted, bench.known)


def test_drift_of_a_population_with_tied_embeddings_is_that_of_its_members() -> None:
    """Their gradients lie in memory as those of the transposed table do."""
    model = a_network([0, 1], tied=True)
    inquiry = Inquiry.of(model, *asked_of(model, count=600, of=10))
    together = drift(inquiry, parts_of(model, ["embed", "blocks.0.mlp"])[:1])
    for place, seed in enumerate((0, 1)):
        alone = replace(inquiry, model=model.member(seed))
        found = drift(alone, parts_of(model, ["embed", "blocks.0.mlp"])[:1])
        torch.testing.assert_close(found, together[place], atol=0.05, rtol=0.01)
