"""The evidence of the two questions about digits, from numbers written by hand: what is held against what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import interp
import models
from analyses import does_it_learn_digits as learning
from analyses import where_are_digits as where

HOOK = "layers.0.hook_post"
DEEPER = "layers.1.hook_post"
NETWORKS, LABELS = ["trained", "untrained", "raw_input"], ["true", "shuffled", "random_per_type"]


@pytest.fixture
def decoding() -> interp.Decoding:
    """Accuracy n.l of network n under labels l, at the second hook a thousandth more for each seed."""
    table = [[0.90, 0.10, 0.60], [0.70, 0.11, 0.50], [0.80, 0.12, 0.55]]
    scores = np.array(table)[None, :, :, None] + np.array([0.0, 0.001])[:, None, None, None] * np.ones(2)
    coords = {"hook": [HOOK, DEEPER], "network": NETWORKS, "labels": LABELS, "seed": [3, 5]}
    return interp.Decoding("digit", tuple(range(10)), xr.DataArray(scores, coords, list(coords)), {})


def figures(evidence: interp.Evidence) -> dict[str, float]:
    """The mean of the value, under the empty name, and of each control."""
    return {"": np.mean(evidence.values)} | {name: np.mean(c) for name, c in evidence.controls.items()}


def test_a_deeper_layer_is_held_against_the_one_before(decoding: interp.Decoding) -> None:
    (deeper,) = where.deeper(decoding, [HOOK, DEEPER])
    assert figures(deeper) == pytest.approx({"": 0.901, "the layer before": 0.900})


def test_what_is_used_is_what_the_network_loses() -> None:
    left = {"nothing": 0.9, "decoded_directions": 0.3, "random_directions": 0.85, "random_same_norm": 0.8}
    coords = {"hook": [HOOK], "removed": list(left), "seed": [3, 5]}
    accuracy = np.array(list(left.values()))[None, :, None] * np.ones(2)
    (used,) = where.used(xr.DataArray(accuracy, coords, list(coords)), [HOOK])
    assert figures(used) == pytest.approx({"": 0.6, "random directions": 0.05, "random same norm": 0.1})


def test_only_the_training_labels_are_shuffled_and_each_digit_stays_as_frequent() -> None:
    data = models.load_data("digits")
    shuffled = learning.with_shuffled_training_labels(data)
    assert torch.equal(shuffled.test.targets, data.test.targets)
    assert torch.equal(shuffled.network.targets.bincount(), data.network.targets.bincount())
    assert float((shuffled.network.targets == data.network.targets).double().mean()) < 0.2


def test_what_was_learned_is_the_last_epoch_against_the_first_and_against_shuffled_labels() -> None:
    def run(first: float, last: float, best: float) -> models.Trained:
        rows = [
            {"seed": seed, "epoch": epoch, "test_accuracy": accuracy}
            for seed in (0, 1)
            for epoch, accuracy in enumerate((first, best, last))
        ]
        network = models.MLP(models.MLPConfig((64, 10)), seeds=[0, 1])
        return models.Trained(network, pd.DataFrame(rows), ())

    data = models.load_data("digits")
    runs = learning.Runs(
        run(0.1, 0.90, 0.95),
        run(0.11, 0.12, 0.2),
        run(0.1, 0.93, 0.97),
        run(0.1, 0.13, 0.3),
        run(0.1, 0.2, 0.2),
    )
    commonest = float((data.test.targets == data.network.targets.bincount().argmax()).double().mean())
    (learned,) = learning.learned(runs, data)
    assert list(figures(learned).values()) == pytest.approx([0.90, 0.10, 0.12, commonest])
    assert list(figures(learning.rates(runs)[0]).values()) == pytest.approx([0.13, 0.93])
    best, little = learning.published(runs)
    assert (figures(best)[""], figures(little)[""]) == pytest.approx((0.97, 0.2))
