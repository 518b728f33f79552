"""Margins, who is compared with whom, what is left to fit on; and what cannot be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from known_facts import Bench, Prompts, own_answers
from torch import nn

from interp.locating.localization.asking import Asked, margins
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.methods import METHODS
from interp.locating.localization.parts import parts_of
from interp.measuring.matching import pooled_deviation
from interp.refusals import Refused
from models.data.worlds import world
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

mean_ablation = METHODS["mean ablation"]


def two_wordings() -> Any:
    facts = world(60, relations=2, objects=6).with_templates(
        "{subject} {relation}", "{relation} of {subject}"
    )
    return facts.dataset(facts.tokenizer())


def rows_of(part: Asked, data: Any) -> list[int]:
    """Which rows of the data these are."""
    place = {tuple(row): number for number, row in enumerate(data.inputs.tolist())}
    return [place[tuple(row)] for row in part.inputs.tolist()]


def test_a_margin_is_the_log_odds_of_the_answer() -> None:
    logits = torch.randn(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 6, 3, 3, 1])
    chance = logits.softmax(-1)[:, torch.arange(5), targets]
    torch.testing.assert_close(margins(logits, targets), (chance / (1 - chance)).log())


def test_a_sure_answer_has_a_large_margin_and_no_infinite_one() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]])
    assert float(margins(logits, torch.tensor([0]))) == pytest.approx(200 - np.log(2))


def test_answers_are_read_where_they_are_due(bench: Bench) -> None:
    places = torch.arange(len(bench.known)) % 3
    data = replace(bench.known, examples=bench.known.examples.assign(answer_pos=places.numpy()))
    asked = Asked.of(bench.model, data)
    with torch.no_grad():
        every = bench.model(data.inputs)
        found = asked.logits(bench.model)
    torch.testing.assert_close(found, every[:, torch.arange(len(places)), places], atol=1e-5, rtol=1e-5)


def test_facts_in_question_come_first_and_reference_is_split_in_two(bench: Bench) -> None:
    inquiry = Inquiry.of(bench.model, bench.planted, bench.known)
    peers = inquiry.asked.rows(torch.arange(inquiry.facts, len(inquiry.asked)))
    assert sorted(rows_of(inquiry.asked.rows(torch.arange(30)), bench.planted)) == list(range(30))
    compared, fitted = rows_of(peers, bench.known), rows_of(inquiry.others, bench.known)
    assert sorted(compared + fitted) == list(range(len(bench.known)))
    assert len(compared) == len(fitted) == len(bench.known) // 2


def test_both_halves_have_of_every_relation_however_the_rows_are_sorted(bench: Bench) -> None:
    table = bench.known.examples
    assert bool(table["relation"].is_monotonic_increasing)
    inquiry = Inquiry.of(bench.model, bench.planted, bench.known, most=8)
    peers = inquiry.asked.rows(torch.arange(8, len(inquiry.asked)))
    for half, limit in ((peers, 24), (inquiry.others, 40)):
        assert len(half) == limit
        share = (table["relation"].iloc[rows_of(half, bench.known)] == "home").mean()
        assert 0.25 <= share <= 0.75
    asked = bench.planted.examples["relation"].iloc[
        rows_of(inquiry.asked.rows(torch.arange(8)), bench.planted)
    ]
    assert asked.nunique() == 2


def test_all_wordings_of_a_fact_are_on_one_side() -> None:
    data = two_wordings()
    few, rest = data.inputs[:8], data.inputs[8:]
    model = Transformer(
        TransformerConfig(data.classes, data.inputs.shape[1], layers=1, d_model=8, heads=1, d_mlp=8)
    )
    facts = Prompts(few, data.targets[:8], data.examples.iloc[:8])
    known = Prompts(rest, data.targets[8:], data.examples.iloc[8:].reset_index(drop=True))
    inquiry = Inquiry.of(model, facts, known)
    questions = known.examples["subject"] + known.examples["relation"]
    peers = inquiry.asked.rows(torch.arange(8, len(inquiry.asked)))
    sides = [set(questions.iloc[rows_of(half, known)]) for half in (peers, inquiry.others)]
    assert not sides[0] & sides[1]
    assert len(peers) == 2 * len(sides[0])


def test_pairs_are_known_facts_of_like_margin_in_each_seed(bench: Bench) -> None:
    inquiry = Inquiry.of(bench.plantings["blocks.1.mlp"].model, bench.planted, bench.known)
    assert len(inquiry.pairs) == 3
    assert len({tuple(map(tuple, pairs.tolist())) for pairs in inquiry.pairs}) == 3
    for margin, pairs in zip(inquiry.untouched, inquiry.pairs, strict=True):
        left, right = margin[pairs].unbind(-1)
        assert bool((pairs[:, 0] < inquiry.facts).all())
        assert bool((pairs[:, 1] >= inquiry.facts).all())
        assert float(margin[pairs].min()) > 0
        known = [
            half[half > 0].double() for half in margin.split([inquiry.facts, len(margin) - inquiry.facts])
        ]
        assert float((left - right).abs().max()) <= 0.2 * pooled_deviation(*known)


def test_dropout_is_off_while_margins_are_measured(bench: Bench) -> None:
    """A method takes the network as it answers, also where its user left it in training mode."""
    noisy = bench.plantings["blocks.1.mlp"].model.member(0)
    drop = nn.Dropout(0.5)
    noisy.add_module("drop", drop)
    noisy.hook_dict["blocks.1.hook_resid_post"].register_forward_hook(lambda _m, _i, output: drop(output))
    expected = mean_ablation(noisy.eval(), bench.planted, bench.known)
    found = mean_ablation(noisy.train(), bench.planted, bench.known)
    assert found.identical(expected)
    assert drop.training


def test_unknown_parts_are_refused_with_the_nearest(bench: Bench) -> None:
    for given, nearest in (("blocks.1.mpl", "blocks.1.mlp"), ("unembd", "unembed")):
        with pytest.raises(ValueError, match=f"Nearest: .*{nearest}"):
            parts_of(bench.model, ["embed", given])
    for given in ("blocks.0.attn[9]", "blocks.0.mlp[0:999]", "embed[0]", "blocks.0.ln1", "blocks.0", ""):
        with pytest.raises(ValueError, match=r"parts|There is no|Nearest|Allowed"):
            parts_of(bench.model, ["embed", given])
    with pytest.raises(Refused, match="both ends"):
        parts_of(bench.model, ["embed", "blocks.0.mlp[:4]"])


def test_one_part_and_the_same_part_twice_are_refused(bench: Bench) -> None:
    for given in ([], ["embed"], ["embed", "embed"]):
        with pytest.raises(Refused, match="two or more parts, each named once"):
            parts_of(bench.model, given)


def test_a_network_that_does_not_name_its_parts_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="does not name its parts"):
        mean_ablation(nn.Linear(2, 2), bench.planted, bench.known)
    with pytest.raises(Refused):
        mean_ablation(MLP(MLPConfig((4, 3, 2))), bench.planted, bench.known)


def test_too_few_pairs_are_refused_with_how_many_are_known(bench: Bench) -> None:
    few = Prompts(bench.planted.inputs[:9], bench.planted.targets[:9], bench.planted.examples.iloc[:9])
    model = bench.plantings["blocks.1.mlp"].model
    with pytest.raises(
        Refused, match=r"10 or more .* among 9 facts and 65 others, of which \[\d+, \d+, \d+\]"
    ):
        mean_ablation(model, few, bench.known)
    with pytest.raises(Refused, match="4 or more; given 3"):
        mean_ablation(model, bench.planted, replace_rows(bench.known, 3))


def replace_rows(data: Any, count: int) -> Prompts:
    return Prompts(data.inputs[:count], data.targets[:count], data.examples.iloc[:count])


def test_data_that_are_no_facts_are_refused(bench: Bench) -> None:
    known = bench.known
    for table in (known.examples.drop(columns="subject_last"), pd.DataFrame(index=range(len(known)))):
        with pytest.raises(Refused, match="subject_last"):
            mean_ablation(bench.model, bench.planted, Prompts(known.inputs, known.targets, table))
    with pytest.raises(Refused, match="any example"):
        mean_ablation(bench.model, replace_rows(known, 0), known)
    for place in (-1, 3):
        wrong = Prompts(known.inputs, known.targets, known.examples.assign(answer_pos=place))
        with pytest.raises(Refused, match="positions from 0 to 2"):
            mean_ablation(bench.model, bench.planted, wrong)
    shorter = Prompts(known.inputs[:, :2], known.targets, known.examples.assign(answer_pos=1))
    with pytest.raises(Refused, match="one length"):
        mean_ablation(bench.model, bench.planted, shorter)


def test_the_same_prompt_on_both_sides_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="20 prompts are both in question and reference"):
        mean_ablation(bench.model, replace_rows(bench.known, 20), bench.known)


def test_padding_that_a_network_would_see_is_refused() -> None:
    model, facts, reference = own_answers(causal=False)
    padded = Padded(
        facts.inputs, facts.targets, facts.examples, torch.ones_like(facts.inputs, dtype=torch.bool)
    )
    expected = mean_ablation(model, facts, reference)
    assert mean_ablation(model, padded, reference).identical(expected)
    padded.mask[0, 2] = False
    with pytest.raises(Refused, match="sees the padding"):
        mean_ablation(model, padded, reference)


class Padded(Prompts):
    def __init__(
        self, inputs: torch.Tensor, targets: torch.Tensor, examples: pd.DataFrame, mask: torch.Tensor
    ):
        super().__init__(inputs, targets, examples)
        object.__setattr__(self, "mask", mask)

    mask: torch.Tensor
