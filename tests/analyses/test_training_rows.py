"""What a training is given: all rows but those test rows that only its log would be about."""

from __future__ import annotations

import models
from analyses.training_rows import LOGGED, for_training


def test_only_test_rows_are_left_out() -> None:
    data = models.load_data("digits")
    logged = for_training(data, logged=100)
    assert logged.split_counts() == {"network": 1_000, "probe": 397, "test": 100}
    assert logged.network.digest == data.network.digest
    assert logged.test.digest == data.test.subset(range(100)).digest
    assert for_training(data, logged=LOGGED).digest == data.digest  # it has 400


def test_networks_learn_the_same_whatever_is_logged() -> None:
    data, recipe = models.load_data("digits"), models.recipe("digits-mlp").but(epochs=1)
    models_of = [
        models.train(recipe, seeds=2, data=each).model for each in (data, for_training(data, logged=10))
    ]
    whole, few = (network.state_dict() for network in models_of)
    assert all(bool((whole[name] == few[name]).all()) for name in whole)
