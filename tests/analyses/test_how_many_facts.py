"""The counting behind `how_many_facts_fit`, against figures worked out otherwise."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import interp
import models
from analyses.facts.capacity import (
    BITS,
    OBJECTS,
    Shape,
    asked_facts,
    attention_only,
    counted,
    dealt_anew,
    learned,
    with_mlps,
)
from analyses.how_many_facts_fit import Config, bits_figure, shapes
from interp.refusals import Refused
from models.refusals import Refused as ModelsRefused


def parameters(shape: Shape) -> int:
    config = models.TransformerConfig(
        129, 3, d_model=shape.width, heads=shape.heads, d_head=shape.width // 2, d_mlp=shape.neurons
    )
    return sum(weights.numel() for weights in models.Transformer(config).parameters())


@pytest.mark.parametrize("width", [8, 12, 16, 64])
def test_networks_compared_have_as_many_parameters(width: int) -> None:
    with_them, without = parameters(with_mlps(width)), parameters(attention_only(width))
    assert abs(with_them / without - 1) < 0.01
    assert parameters(Shape(width, 0)) < 0.9 * without


def test_facts_dealt_anew_keep_their_relations_and_little_else() -> None:
    data = asked_facts(100)
    anew = dealt_anew(data)
    for relation in data.examples["relation"].unique():
        rows = torch.tensor((data.examples["relation"] == relation).to_numpy().copy())
        assert anew[rows].sort().values.tolist() == data.targets[rows].sort().values.tolist()
    assert (anew == data.targets).double().mean() < 0.12


def knowing(data: models.Dataset, right: int, *, sure: float) -> models.Trained:
    """A population of two whose logits put `sure` nats on the true object of the first facts, and on a wrong one of the
    others: what a network would be that knows so many."""
    answers = data.targets.clone()
    for place in range(right, len(data)):
        same = data.examples["relation"] == data.examples["relation"][place]
        others = data.targets[torch.tensor(same.to_numpy().copy())]
        answers[place] = others[others != data.targets[place]][0]
    logits = torch.full((2, len(data), 3, data.classes), -1e4)
    objects = sorted(set(data.targets.tolist()))
    logits[..., -1, objects] = 0.0
    logits[:, range(len(data)), -1, answers] = sure

    class Answers(models.HookedModel):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return logits

    model = Answers(None, seeds=(0, 1))
    model.weights = torch.nn.Parameter(torch.zeros(2, 500))
    share = right / len(data)
    import pandas as pd

    metrics = pd.DataFrame({"seed": [0, 1, 0, 1], "epoch": [0, 0, 1, 1], "known": [0.0, 0.0, share, share]})
    return models.Trained(model, metrics, ())


def test_what_is_known_is_counted_beyond_guessing() -> None:
    data = asked_facts(25)
    found = counted(Shape(4, 0), knowing(data, 50, sure=9.0), data, 0.1)
    chance = 1 / OBJECTS
    assert found.share.tolist() == [0.5, 0.5]
    assert found.known.tolist() == pytest.approx([100 * (0.5 - chance) / (1 - chance)] * 2)
    assert found.per_parameter.tolist() == pytest.approx([found.known[0] * math.log2(20) / 500] * 2)
    assert found.parameters == 500


def test_coded_bits_are_what_naming_every_object_costs_less() -> None:
    data = asked_facts(25)
    found = counted(Shape(4, 0), knowing(data, 100, sure=0.0), data, 0.1)
    objects = len(set(data.targets.tolist()))
    assert found.coded.tolist() == pytest.approx([100 * (BITS - math.log2(objects))] * 2)
    sure = counted(Shape(4, 0), knowing(data, 100, sure=40.0), data, 0.1)
    assert sure.coded.tolist() == pytest.approx([100 * BITS] * 2)


def test_the_best_of_the_rates_counts_and_one_that_diverges_does_not() -> None:
    data = asked_facts(20)
    training = {"seeds": 2, "epochs": 12}
    best = learned(Shape(16, 32), data, rates=(1e-5, 2e-2, 1e30), **training)
    assert best.rate == 2e-2
    assert best.untrained.mean() < 0.1 < best.share.mean()
    assert np.all(best.known == learned(Shape(16, 32), data, rates=(2e-2,), **training).known)
    with pytest.raises(ModelsRefused, match="diverged: give lower rates"):
        learned(Shape(16, 32), data, rates=(1e30,), **training)


WRONG = {
    "odd widths": {"widths": (8, 11)},
    "widths that fall": {"widths": (16, 8)},
    "one width": {"widths": (8,)},
    "no rates": {"rates": ()},
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_compare_nothing_are_refused(case: str) -> None:
    with pytest.raises((Refused, ModelsRefused), match=r"widths|rates"):
        dataclasses.replace(Config(), **WRONG[case])


def test_every_shape_is_trained_once() -> None:
    every = shapes(Config())
    assert len(set(every)) == len(every) == 8


@pytest.mark.parametrize(("epochs", "drawn"), [(99, False), (100, True)])
def test_published_figures_are_drawn_where_they_are_compared(epochs: int, drawn: bool) -> None:
    spots = [interp.Spot("d_model 8", "with MLPs", 0.2, (0.1, 0.3))]
    figure = bits_figure(spots, dataclasses.replace(Config(), epochs=epochs))
    assert ("published, 100 exposures" in figure.alt) is drawn
    assert ("published" in figure.caption) is drawn
