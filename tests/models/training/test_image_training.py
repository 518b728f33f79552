"""Training convolutional networks and vision transformers: populations, recipes, and images that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.data.dataset import Dataset
from models.data.loading import load_data
from models.data.transformed import framed
from models.networks.cnn_config import CNNConfig, Convolution
from models.networks.vit_config import ViTConfig
from models.refusals import Refused
from models.training.recipes import Recipe, recipe
from models.training.train import train
from models.training.training_config import Optimizer, TrainingConfig

NETWORKS = {
    "cnn": CNNConfig((8, 8), (Convolution(3, 3, pool=2), Convolution(5, 3)), dense=(7,)),
    "vit": ViTConfig((8, 8), 4, layers=1, d_model=8, heads=2, d_mlp=12),
}


@pytest.fixture(scope="module")
def few() -> Dataset:
    """The bundled digits, 100 of them for training."""
    data = load_data("digits")
    return data.subset([*range(100), *range(1_000, 1_797)])


def small(family: str, *, epochs: int = 2, dtype: Any = "float32") -> Recipe:
    training = TrainingConfig("cross_entropy", Optimizer("adam", 3e-3), 20, epochs, dtype=dtype)
    return Recipe("small", "for tests", NETWORKS[family], "digits", training)


@pytest.mark.parametrize("family", NETWORKS)
def test_a_member_trains_to_the_same_bits_whoever_trains_beside_it(family: str, few: Dataset) -> None:
    beside_one = train(small(family), seeds=[3, 7], data=few).model.member(7)
    beside_four = train(small(family), seeds=[0, 1, 7, 2, 3], data=few).model.member(7)
    for one, other in zip(beside_one.parameters(), beside_four.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("family", NETWORKS)
def test_a_member_trains_as_it_would_alone(family: str, few: Dataset) -> None:
    settings = small(family, dtype="float64")
    alone = train(settings, seeds=[7], data=few).model.member(7)
    beside = train(settings, seeds=[0, 7], data=few).model.member(7)
    for one, other in zip(alone.parameters(), beside.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "epochs", "accuracy"), [("lenet", 12, 0.88), ("vit", 5, 0.6)])
def test_the_recipes_of_images_learn_the_bundled_digits_too(name: str, epochs: int, accuracy: float) -> None:
    chosen = recipe(name).on("digits", inputs=64, outputs=10)
    learned = train(chosen.but(epochs=epochs), seeds=1).metrics
    assert learned["test_accuracy"].iloc[-1] > accuracy


@pytest.mark.parametrize("family", NETWORKS)
def test_images_of_another_shape_and_no_images_are_refused(family: str) -> None:
    digits = load_data("digits")
    with pytest.raises(
        Refused, match="takes images of 8x8 pixels, the data 'digits-framed' are images of 10x10"
    ):
        train(small(family), seeds=1, data=framed(digits, 1))
    rows = Dataset.from_arrays(
        digits.inputs, digits.targets, split=list(digits.examples["split"]), name="rows"
    )
    with pytest.raises(Refused, match="the data 'rows' are no images"):
        train(small(family), seeds=1, data=rows)
