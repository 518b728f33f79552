"""Which facts a network knows, and which it may not be asked: other words under the same numbers."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.data.dataset import Dataset
from models.data.facts import Facts
from models.data.order import which_came_first
from models.data.tokenizers import WordTokenizer
from models.networks.hooked import HookedModel, population
from models.networks.pretrained import load_pretrained
from models.networks.pretrained_model import PretrainedModel
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.saving import load_model, save_model
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused
from models.training.digests import recipe_digest
from models.training.knowing import known
from models.training.lasting import lasting
from models.training.planting import plant
from models.training.plantings import planted, rehearsed
from models.training.recipes import Recipe
from models.training.rehearsal import rehearse
from models.training.train import train
from models.training.training_config import Optimizer, TrainingConfig

TRIPLES = [(f"s{number}", "likes", f"o{number % 5}") for number in range(30)]
TEMPLATES = {"likes": ["{subject} likes", "what does {subject} like ?"]}
FACTS = Facts.of(TRIPLES, templates=TEMPLATES)


def spelt(*, backwards: bool = False) -> Dataset:
    """The facts, by a tokenizer of these words in alphabetical order, or of as many the other way round."""
    pad, *words = FACTS.tokenizer().vocabulary
    return FACTS.dataset(WordTokenizer((pad, *(reversed(words) if backwards else words)), ("<pad>",)))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return spelt()


@pytest.fixture(scope="module")
def model(data: Dataset) -> HookedModel:
    """Two networks that know some of the facts, more than chance and not all."""
    network = TransformerConfig(data.classes, 8, layers=2, d_model=16, heads=2, d_mlp=16)
    training = TrainingConfig("cross_entropy", Optimizer("adam", 5e-3), 20, 8)
    return train(Recipe("facts", "for tests", network, "facts", training), seeds=2, data=data).model


def one_by_one(model: HookedModel, data: Dataset) -> list[bool]:
    """What a whole pass over each prompt alone, without padding, answers."""
    right = []
    for row, target, place in zip(data.inputs, data.targets, data.examples["answer_pos"], strict=True):
        logits = model(row[None, : place + 1])
        right.append(bool(logits[0, -1].argmax() == target))
    return right


@torch.no_grad()
def test_known_is_what_each_prompt_alone_is_answered(model: HookedModel, data: Dataset) -> None:
    told = known(model, data)
    assert data.mask is not None
    assert not data.mask.all()
    assert told.tolist() == [one_by_one(model.member(seed), data) for seed in (0, 1)]
    assert 0 < told.double().mean() < 1
    assert known(model.member(1), data).tolist() == told[1].tolist()
    some = data.subset(told[0])
    assert known(model.member(0), some).all()


@torch.no_grad()
def test_more_prompts_than_are_run_at_once_are_known_alike(
    model: HookedModel, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = known(model, data)
    monkeypatch.setattr("models.training.exams.AT_ONCE", 7)
    assert torch.equal(known(model, data), whole)


@torch.no_grad()
def test_recurrent_networks_are_asked_too(data: Dataset) -> None:
    config = RecurrentConfig(8, data.classes, vocabulary=data.classes, d_model=8, answers="each")
    network = Recurrent(config, seeds=3)
    assert known(network, data).tolist() == one_by_one(network, data)


@pytest.mark.real_data
@torch.no_grad()
def test_pretrained_networks_are_asked_too(data_dir: Path, data: Dataset) -> None:
    network = load_pretrained(data_dir / "stories260K")
    asked = dataclasses.replace(data, tokenizer=None)
    guessed = network(asked.inputs)[torch.arange(len(asked)), asked.examples["answer_pos"].tolist()].argmax(
        -1
    )
    half = torch.arange(len(asked)) % 2 == 0
    asked = dataclasses.replace(asked, targets=torch.where(half, guessed, (guessed + 1) % 512), classes=512)
    assert torch.equal(known(network, asked), half)
    whole = PretrainedModel(network.config, network.network, network.bridge, None)
    assert "stop_at_layer" not in inspect.signature(whole.forward).parameters
    whole.causal = True
    assert torch.equal(known(whole, asked), half)


def test_facts_spelt_with_another_tokenizer_are_refused_wherever_they_meet(
    model: HookedModel, data: Dataset
) -> None:
    rows = np.arange(0, 60, 6)
    new, old = data.subset(rows), data.subset(np.setdiff1d(np.arange(60), rows))
    strange = spelt(backwards=True).subset(rows)
    unsaid = Transformer(model.config, seeds=(0, 1))
    calls: list[Any] = [
        lambda asked: plant(asked, strange, into="embed", keeping=old),
        lambda asked: planted(asked, strange, into="embed", keeping=old),
        lambda asked: lasting(asked, asked, ["embed"], facts=new, others=strange),
    ]
    for call in calls:
        with pytest.raises(Refused, match="are spelt with different tokenizers"):
            call(unsaid)
    alone: list[Any] = [
        lambda: known(model, strange),
        lambda: rehearse(model, strange),
        lambda: rehearsed(model, strange),
        lambda: plant(model, strange, into="embed", keeping=strange.subset([0])),
    ]
    for call in [*alone, *[lambda call=call: call(model) for call in calls]]:
        with pytest.raises(Refused, match="another tokenizer than what the network was trained on"):
            call()
    large = dataclasses.replace(data, classes=1_000, tokenizer=None)
    with pytest.raises(
        Refused, match=r"spelt with 1,000 tokens, and the network has 41: .* does not fit the weights"
    ):
        known(unsaid, large)


def test_the_same_numbers_in_other_words_are_another_run(model: HookedModel, data: Dataset) -> None:
    training = TrainingConfig("cross_entropy", Optimizer("adam", 5e-3), 20, 8)
    recipe = Recipe("facts", "for tests", model.config, "facts", training)
    other = dataclasses.replace(data, tokenizer=spelt(backwards=True).tokenizer)
    assert other.digest == data.digest
    assert recipe_digest(recipe, other) != recipe_digest(recipe, data)


def test_a_network_remembers_what_its_data_were_spelt_with(
    model: HookedModel, data: Dataset, tmp_path: Path
) -> None:
    assert data.tokenizer is not None
    save_model(model, tmp_path)
    again = population([load_model(tmp_path).member(seed) for seed in (0, 1)])
    assert {one.spelt_with for one in (model, model.member(1), again)} == {data.tokenizer.digest}
    other = again.member(0)
    other.spelt_with = "another"
    with pytest.raises(Refused, match="share a tokenizer"):
        population([other, again.member(1)])


def test_what_are_no_facts_or_no_network_is_refused(model: HookedModel, data: Dataset) -> None:
    with pytest.raises(Refused, match=r"data is a Dataset, as `Facts\.dataset` makes it; given Tensor"):
        known(model, data.inputs)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"such as `trained\.model`; given str"):
        known("model", data)  # type: ignore[arg-type]
    for wrong in (
        Dataset.from_arrays([[0.0], [1.0]], [0, 1], split=["network", "test"]),
        dataclasses.replace(data, examples=data.examples.drop(columns="answer_pos")),
    ):
        with pytest.raises(Refused, match="Facts are token sequences"):
            known(model, wrong)
    with pytest.raises(Refused, match=r"list of names, such as \['embed'\]"):
        lasting(model, model, "embed", facts=data, others=data)
    order = which_came_first(6, splits=(4, 2, 2))
    assert known(Transformer(TransformerConfig(10, 6, d_model=8, heads=2), seeds=0), order).shape == (8,)
