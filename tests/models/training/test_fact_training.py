"""Training on facts: what is measured, and what does not fit is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from models.data.dataset import Dataset
from models.data.loading import load_data
from models.data.tokenizer_files import load_tokenizer
from models.data.worlds import world
from models.networks.mlp_config import MLPConfig
from models.refusals import Refused
from models.training.recipes import Recipe, recipe
from models.training.train import train

SMALL = world(30, relations=2, objects=6)


def data_of(*, paraphrases: int = 0, questions: int = 0) -> Dataset:
    return SMALL.dataset(SMALL.tokenizer(), held_out_paraphrases=paraphrases, held_out_facts=questions)


def small(data: Dataset, *, epochs: int = 20) -> Recipe:
    fitted = recipe("facts").on("small", inputs=data.inputs.shape[1], outputs=data.classes)
    network = dataclasses.replace(fitted.network, d_model=32, d_mlp=64)
    return dataclasses.replace(fitted, network=network).but(epochs=epochs, batch_size=30)


def test_known_is_the_share_of_trained_prompts_that_are_answered_rightly() -> None:
    data = data_of()
    trained = train(small(data, epochs=6), seeds=2, data=data)
    logits = torch.stack(
        [
            trained.model(row[None, : int(mask.sum())])[:, 0, -1]
            for row, mask in zip(data.inputs, data.mask, strict=True)
        ],
        dim=1,
    )
    known = (logits.argmax(-1) == data.targets).double().mean(-1)
    last = trained.metrics.query("epoch == 6")
    assert last["known"].tolist() == pytest.approx(known.tolist())
    assert 0.1 < known.mean() < 1
    assert not any(name.startswith(("test", "held_out")) for name in trained.metrics)


def test_what_is_held_out_is_measured_apart() -> None:
    data = data_of(paraphrases=1, questions=4)
    metrics = train(small(data, epochs=40), seeds=2, data=data).metrics
    last = metrics.query("epoch == 40")[["known", "held_out_paraphrase", "held_out_fact"]].mean()
    assert last["known"] > 0.98
    assert 0.4 < last["held_out_paraphrase"] < last["known"]
    assert last["held_out_fact"] < 0.4


def test_facts_are_asked_at_every_tenth_of_the_training() -> None:
    data = data_of()
    metrics = train(small(data), seeds=1, data=data).metrics
    assert metrics.dropna(subset="known")["epoch"].tolist() == list(range(0, 21, 2))
    assert metrics["train_loss"].notna().sum() == 20


def test_a_fact_met_often_counts_once() -> None:
    often = SMALL.with_frequencies([40] + [1] * 59)
    data = often.dataset(SMALL.tokenizer())
    once = data_of()
    trained = train(small(data, epochs=1), seeds=1, data=data)
    at = torch.tensor(once.examples["answer_pos"].tolist())
    right = trained.model(once.inputs)[0, range(len(once)), at].argmax(-1) == once.targets
    assert trained.metrics["known"].iloc[-1] == pytest.approx(float(right.double().mean()))


def test_4000_facts_are_the_recipe() -> None:
    made = recipe("facts")
    data = load_data(made.data)
    assert (made.network.inputs, made.network.outputs) == (data.inputs.shape[1], data.classes)
    assert len(data.network) == 4_000


def test_the_run_keeps_the_tokenizer(tmp_path: Path) -> None:
    data = data_of()
    train(small(data, epochs=0), seeds=1, data=data, folder=tmp_path / "run")
    assert load_tokenizer(tmp_path / "run" / "tokenizer.json") == data.tokenizer


def test_nothing_held_out_is_refused_where_there_are_no_facts() -> None:
    digits = load_data("digits")
    data = dataclasses.replace(digits, examples=digits.examples.assign(split="network"))
    with pytest.raises(Refused, match="no example in the split 'test'"):
        train(recipe("digits-mlp"), seeds=1, data=data)


MISFITS = {
    "longer than the context": ({"inputs": 2}, "at most 2 tokens .its context.*up to 6: recipe.on"),
    "tokens it does not have": ({"outputs": 20}, r"has 20 tokens, the data are spelt with \d+: recipe.on"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_sequences_that_do_not_fit_are_refused_before_training(case: str) -> None:
    changed, explained = MISFITS[case]
    data = data_of()
    fitted = small(data)
    sizes = {"inputs": fitted.network.inputs, "outputs": fitted.network.outputs} | changed
    with pytest.raises(Refused, match=explained):
        train(fitted.on("small", **sizes), seeds=1, data=data)


def test_networks_of_numbers_and_of_tokens_are_told_apart() -> None:
    with pytest.raises(
        Refused, match="'digits-mlp' reads numbers, and the data 'arbitrary world' are tokens"
    ):
        train(recipe("digits-mlp"), seeds=1, data=data_of())
    with pytest.raises(Refused, match="'facts' reads tokens, and the data 'digits' are numbers"):
        train(recipe("facts"), seeds=1, data=load_data("digits"))
    assert (MLPConfig((3, 2)).inputs, MLPConfig((3, 2)).reads) == (3, "numbers")
