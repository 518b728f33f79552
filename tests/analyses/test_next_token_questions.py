"""The measuring behind `how_is_the_next_token_chosen`, against figures worked out otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import models
from analyses.how_is_the_next_token_chosen import Config, answer
from analyses.tokens.last_vectors import (
    gradient,
    gradient_differences,
    read_off,
    surprisals,
    taken_over,
    unembedding,
)
from analyses.tokens.layer_lenses import Lenses
from analyses.tokens.readers import Readers, asked_once, begun, cut, names
from analyses.tokens.temperatures import DRAWN, GRID, drawn, likeliest, spread_of, steps
from interp.refusals import Refused

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def data() -> models.Dataset:
    return names("places", rows=2_000)


@pytest.fixture(scope="module")
def model(data: models.Dataset) -> models.Transformer:
    config = models.TransformerConfig(data.classes, 16, layers=2, d_model=16, heads=2, d_mlp=16)
    return models.Transformer(config, seeds=SEEDS)


@pytest.fixture(scope="module")
def readers(model: models.Transformer, data: models.Dataset) -> Readers:
    return Readers(model, model, data, len(SEEDS))


def test_names_are_short_and_kept_apart(data: models.Dataset) -> None:
    assert data.inputs.shape[1] == 16
    texts = [set(part.examples["text"]) for part in (data.network, data.test)]
    assert not texts[0] & texts[1]
    assert max(len(text) for text in data.examples["text"]) <= 15
    counts = data.split_counts()
    assert counts["test"] == pytest.approx(counts["network"] / 2, abs=2)


def test_one_token_is_asked_of_each_name_that_is_trained_on(data: models.Dataset) -> None:
    once = asked_once(data)
    assert ((once.network.targets >= 0).sum(dim=1) == 1).all()
    kept = once.network.targets >= 0
    assert torch.equal(once.network.targets[kept], data.network.targets[kept])
    assert torch.equal(once.test.targets, data.test.targets)
    assert len(set(kept.nonzero()[:, 1].tolist())) > 8  # not one place for all


def test_what_lenses_read_has_no_padding(data: models.Dataset) -> None:
    short = begun(data.test)
    assert short.inputs.shape[1] == 8
    assert short.mask is not None
    assert bool(short.mask.all())
    assert torch.equal(cut(data, 3).inputs, data.inputs[:, :3])


def test_the_unembedding_is_the_network_s_own(model: models.Transformer) -> None:
    W, b = unembedding(model, 16)
    gain, shift = model.ln_final.w, model.ln_final.b
    assert torch.allclose(W, gain[:, :, None] * model.unembed.W_U, atol=1e-5)
    assert torch.allclose(b, torch.einsum("sd,sdt->st", shift, model.unembed.W_U), atol=1e-5)


def test_the_last_vector_gives_the_logits_and_no_other_does(readers: Readers, data: models.Dataset) -> None:
    here, before = read_off(readers.model, begun(data.test).inputs)
    assert float(here.max()) < 1e-5
    assert float(before[..., 1:].min()) > 1e-2


def test_with_another_text_s_last_vector_a_text_goes_on_as_that_one(
    model: models.Transformer, data: models.Dataset
) -> None:
    tokens = begun(data.test).inputs
    assert float(taken_over(model, tokens, last=True).min()) == 1.0
    said = model(tokens)[..., -1, :].argmax(-1)
    unmoved = (said == said.roll(1, dims=-1)).float()
    assert torch.equal(taken_over(model, tokens, last=False)[..., 0], unmoved)


def test_the_gradient_of_a_text_is_that_of_its_beginnings(
    model: models.Transformer, data: models.Dataset
) -> None:
    whole, last = gradient_differences(model, data.network.subset(range(4)))
    assert max(whole) < 1e-12
    assert min(last) > 0.1


def test_a_gradient_is_the_one_torch_gives(model: models.Transformer, data: models.Dataset) -> None:
    member, part = model.member(0), data.network.subset(range(3))
    loss = F.cross_entropy(member(part.inputs)[part.targets >= 0], part.targets[part.targets >= 0])
    wanted = torch.autograd.grad(loss, member.unembed.W_U)[0]
    names = [name for name, _ in member.named_parameters()]
    sizes = [weights.numel() for weights in member.parameters()]
    found = gradient(member, part.inputs, part.targets).split(sizes)[names.index("unembed.W_U")]
    assert torch.allclose(found, wanted.flatten(), atol=1e-6)


def test_surprisals_are_the_loss(model: models.Transformer, data: models.Dataset) -> None:
    found = surprisals(model, data.test)
    logits, asked = model(data.test.inputs)[1].detach(), data.test.targets >= 0
    wanted = F.cross_entropy(logits[asked], data.test.targets[asked])
    assert float(found[1].sum() / asked.sum()) == pytest.approx(float(wanted), rel=1e-5)
    hot = surprisals(model, data.test, temperature=1e6)[1][asked]
    assert torch.allclose(hot, torch.tensor(float(np.log(data.classes))), atol=1e-4)


def test_units_average_what_is_asked_of_their_own_texts(readers: Readers) -> None:
    asked = torch.ones(6, 2, dtype=torch.bool)
    asked[:, 1] = False
    values = torch.stack([torch.full((6, 2), 3.0), torch.full((6, 2), 5.0)])
    values[..., 1] = 100.0
    assert readers.per_unit(values, asked).tolist() == [3.0, 5.0]


def test_hotter_is_flatter_at_every_position(model: models.Transformer, data: models.Dataset) -> None:
    spread = [spread_of(model, data.test.inputs, t) for t in GRID]
    assert bool(steps([one[0] for one in spread], 1).all())
    assert bool(steps([one[1] for one in spread], -1).all())
    assert not bool(steps([one[0] for one in spread], -1).any())
    entropy, top = spread_of(model, data.test.inputs, 1e6)
    assert entropy.min().item() == pytest.approx(np.log(data.classes), abs=1e-4)
    assert top.max().item() == pytest.approx(1 / data.classes, abs=1e-4)


def test_cold_texts_take_the_likeliest_token_and_all_begin_alike(readers: Readers) -> None:
    cold, hot = drawn(readers, 1e-5), drawn(readers, 5.0)
    assert cold["likeliest"].tolist() == pytest.approx([1.0, 1.0], abs=0.02)
    assert cold["beginnings"].tolist() == pytest.approx([1 / DRAWN] * 2, abs=2 / DRAWN)
    assert (hot["beginnings"] > 0.9).all()
    assert (hot["likeliest"] < 0.3).all()
    greedy = models.generate(readers.model, torch.zeros(1, 1, dtype=torch.int64), count=5)
    assert bool(likeliest(readers.model, greedy).all())


def test_lenses_end_in_the_output_and_the_guess_that_reads_nothing_is_off(readers: Readers) -> None:
    lenses = Lenses(readers, steps=2)
    assert lenses.layers == 2
    assert np.allclose(lenses.of("logit lens", 2), 0.0, atol=1e-6)
    assert (lenses.without_reading() > 0).all()
    asked = begun(readers.data.test).targets >= 0
    surprisal = readers.per_unit(surprisals(readers.model, begun(readers.data.test)), asked)
    assert lenses.of("tuned lens", 2, "surprisal") == pytest.approx(surprisal, rel=1e-5)


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"rows": 3}], ids=lambda wrong: " and ".join(wrong))
def test_settings_that_ask_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Refused, match="seeds"):
        Config(**wrong)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_of_stories260k_is_asked_all_but_training(data_dir: Path) -> None:
    report = answer(Config(data="stories260K", seeds=2, rows=20, steps=2))
    assert {claim.unit for claim in report.claims} == {"text draw"}
    exact = [claim for claim in report.claims if claim.rule.startswith("Supported when every ")]
    assert {claim.verdict for claim in exact} == {"supported"}
    assert not any("Trained" in claim.statement for claim in report.claims)
    assert any(note.startswith("Left out") for note in report.notes)
