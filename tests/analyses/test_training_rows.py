"""What a training is given: all rows but those test rows that only its log would be about."""

from __future__ import annotations

import models
from analyses.sequences.measured import datasets
from analyses.training_rows import for_training
from analyses.who_remembers_longest import Config


def test_only_test_rows_are_left_out() -> None:
    data = models.load_data("digits")
    logged = for_training(data)
    assert logged.split_counts() == {"network": 1_000, "probe": 397, "test": 125}
    assert logged.network.digest == data.network.digest
    assert logged.test.digest == data.test.subset(range(125)).digest


def test_where_training_rows_are_many_nothing_is_left_out() -> None:
    for data in datasets(Config(recall_length=16, adding_length=10)).values():
        assert for_training(data) is data
    assert for_training(models.copy_task(splits=(3, 1, 5))).split_counts()["test"] == 1


def test_networks_learn_the_same_whatever_is_logged() -> None:
    data, recipe = models.load_data("digits"), models.recipe("digits-mlp").but(epochs=1)
    runs = [models.train(recipe, seeds=2, data=each) for each in (data, for_training(data))]
    whole, few = (run.model.state_dict() for run in runs)
    assert all(bool((whole[name] == few[name]).all()) for name in whole)
