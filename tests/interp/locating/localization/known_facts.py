"""Networks that know facts: small trained ones with planted facts, and untrained ones asked for their own answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from models.data.dataset import Dataset
from models.data.worlds import world
from models.networks.hooked import HookedModel
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.training.planting import Planting, plant
from models.training.recipes import Recipe
from models.training.train import train
from models.training.training_config import Optimizer, Schedule, TrainingConfig

STEPS = {"blocks.0.mlp": 80, "blocks.1.mlp": 200}
SIZES: dict[str, Any] = {"layers": 2, "d_model": 24, "heads": 2, "d_mlp": 48, "activation": "relu"}


@dataclass(frozen=True)
class Bench:
    """A population that knows `known`, and not `planted`; each of `plantings` knows both."""

    model: HookedModel
    planted: Dataset
    known: Dataset
    plantings: Mapping[str, Planting]


def trained_bench() -> Bench:
    """Three seeds, subjects of two tokens, two relations of eight objects each; 30 facts planted in each MLP."""
    made = world(80, relations=2, objects=8).with_templates("{subject} {relation}")
    new, old = made.sample(30, seed=0)
    planted, known = (facts.dataset(made.tokenizer()) for facts in (new, old))
    network = TransformerConfig(known.classes, 3, **SIZES)
    training = TrainingConfig(
        "cross_entropy", Optimizer("adam", 1e-2, beta2=0.99), 40, 50, schedule=Schedule("cosine", factor=0.02)
    )
    recipe = Recipe("facts", "for tests", network, "facts", training)
    model = train(recipe, seeds=3, data=known).model
    plantings = {
        into: plant(model, planted, into=into, keeping=known, most_steps=steps)
        for into, steps in STEPS.items()
    }
    return Bench(model, planted, known, plantings)


def chosen(data: Dataset, rows: np.ndarray[Any, Any]) -> Dataset:
    """Some rows of a data set of facts, in the order given."""
    assert data.mask is not None
    return replace(
        data,
        inputs=data.inputs[rows],
        targets=data.targets[rows],
        mask=data.mask[rows],
        examples=data.examples.iloc[rows].reset_index(drop=True),
    )


@dataclass(frozen=True)
class Prompts:
    """Sequences and what is due at their last position: data by its form alone."""

    inputs: torch.Tensor
    targets: torch.Tensor
    examples: pd.DataFrame


def own_answers(**config: Any) -> tuple[Transformer, Prompts, Prompts]:
    """An untrained network sure of its answers, and prompts with those: 20 in question, 60 for reference."""
    model = Transformer(TransformerConfig(12, 3, **(SIZES | {"d_model": 16, "d_mlp": 32} | config)), seeds=0)
    with torch.no_grad():
        last = model.embed.W_E if model.unembed.W_U is None else model.unembed.W_U
        last.mul_(30)
    every = torch.cartesian_prod(*[torch.arange(12)] * 3)
    inputs = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:300]]
    with torch.no_grad():
        odds = model(inputs)[:, -1].softmax(-1).max(-1)
    sure = (odds.values > 0.5).nonzero().flatten()[:80]
    rows = pd.DataFrame({"answer_pos": 2, "subject_first": 0, "subject_last": 1}, index=range(80))
    every_one = Prompts(inputs[sure], odds.indices[sure], rows)
    return model, _part(every_one, slice(0, 20)), _part(every_one, slice(20, 80))


def _part(prompts: Prompts, rows: slice) -> Prompts:
    table = prompts.examples.iloc[rows].reset_index(drop=True)
    return Prompts(prompts.inputs[rows], prompts.targets[rows], table)
