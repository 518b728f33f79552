"""The question about images: networks of one size, what is held against what, from numbers written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp
import models
from analyses import do_images_need_convolutions as asked
from analyses.images import judging as judging
from analyses.images.judging import CENTRED, SAME, SHIFTED, SHUFFLED
from analyses.images.networks import CNN, DENSE, VIT, networks, parameters

ACCURACY = {  # network: in the middle, shifted; then both with shuffled pixels
    CNN: (0.95, 0.50, 0.80, 0.21),
    DENSE: (0.85, 0.30, 0.84, 0.22),
    VIT: (0.80, 0.20, 0.79, 0.20),
}
CASES = ((SAME, CENTRED), (SAME, SHIFTED), (SHUFFLED, CENTRED), (SHUFFLED, SHIFTED))


@pytest.fixture
def accuracy() -> dict[tuple[str, str, str], Any]:
    """The table above for eight seeds, each a thousandth better than the one before."""
    return {
        (name, *case): value + np.arange(8) / 1_000
        for name, values in ACCURACY.items()
        for case, value in zip(CASES, values, strict=True)
    }


def figures(evidence: interp.Evidence) -> dict[str, float]:
    """The value and the controls of the first seed."""
    return {"": evidence.values[0]} | {name: control[0] for name, control in evidence.controls.items()}


@pytest.mark.parametrize("side", [12, 16, 36])
def test_the_three_networks_are_of_one_size_and_read_the_same_images(side: int) -> None:
    kinds = networks((side, side), 10)
    counts = [parameters(network) for network in kinds.values()]
    assert max(counts) / min(counts) < 1.03
    assert {network.inputs for network in kinds.values()} == {side * side}
    assert kinds[CNN].parameter_count == counts[0]
    assert kinds[DENSE].parameter_count == counts[1]


def test_networks_of_unequal_size_are_no_comparison() -> None:
    kinds = {
        "small": models.MLPConfig((9, 10)),
        "large": models.MLPConfig((10, 10)),
    }  # 100 and 110 parameters
    (claim,) = interp.judge(asked.equal(kinds))
    assert (claim.estimate, claim.verdict) == (1.1, "refuted")


def test_convolutions_are_held_against_both_others_in_the_middle_and_shifted(accuracy: Any) -> None:
    found = [figures(evidence) for evidence in asked.better(accuracy)]
    assert found == [
        {"": 0.95, DENSE: 0.85},
        {"": 0.95, VIT: 0.80},
        {"": 0.50, DENSE: 0.30},
        {"": 0.50, VIT: 0.20},
    ]


def test_what_is_gained_is_held_against_shuffled_pixels(accuracy: Any) -> None:
    gained, left, shifted, _ = asked.because_of_neighbours(accuracy)
    assert figures(gained) == pytest.approx({"": 0.10, "pixels shuffled": -0.04})
    assert figures(left) == pytest.approx({"": -0.04, "pixels as they are": 0.10})
    assert figures(shifted) == pytest.approx({"": 0.20, "pixels shuffled": -0.01})
    accuracy[CNN, SHUFFLED, CENTRED] = accuracy[CNN, SAME, CENTRED]
    _, still_ahead, *_ = asked.because_of_neighbours(accuracy)
    verdicts = [interp.judge([evidence])[0].verdict for evidence in (left, still_ahead)]
    assert verdicts == ["supported", "refuted"]


def test_each_seed_is_judged_on_its_own_share_the_same_for_every_network() -> None:
    rows = np.random.default_rng(0).random((4, 40)) < 0.5
    right = {(CNN, SAME, CENTRED): rows, (DENSE, SAME, CENTRED): ~rows}
    found = judging.on_own_shares(right)
    assert found[CNN, SAME, CENTRED].shape == (4,)
    np.testing.assert_allclose(found[CNN, SAME, CENTRED] + found[DENSE, SAME, CENTRED], 1)
    shares = interp.disjoint_shares(4, 40)
    assert found[CNN, SAME, CENTRED][2] == pytest.approx(rows[2, shares[2]].mean())


def test_accuracy_by_distance_counts_the_larger_of_both_directions() -> None:
    digits = models.load_data("digits")
    shifted = models.shifted(digits, 2).test
    moved = shifted.examples[["shift_down", "shift_right"]].abs().max(axis=1).to_numpy()
    middle, elsewhere = np.ones((2, 400), dtype=bool), np.stack([moved == 1, moved == 2])
    right = {
        (name, order, place): middle if place == CENTRED else elsewhere
        for name in ACCURACY
        for order, place in CASES
    }
    distances, curves = asked.by_distance(shifted, right)
    assert distances.tolist() == [0, 1, 2]
    assert curves[CNN].tolist() == [[1, 1, 0], [1, 0, 1]]
    assert len(curves) == 4


def test_only_training_images_are_left_out_and_both_sets_hold_the_same_ones() -> None:
    images = judging.in_a_frame(models.load_data("digits"), 2, training=300)
    assert images.centred.split_counts() == {"network": 300, "probe": 397, "test": 400}
    assert images.centred.image_shape == images.shifted.image_shape == (12, 12)
    assert images.centred.examples["number"].equals(images.shifted.examples["number"])
    assert set(images.shifted.examples["shift_down"]) == {-2, -1, 0, 1, 2}


def test_the_rate_is_the_best_on_the_probe_split() -> None:
    data = judging.in_a_frame(models.load_data("digits"), 2, training=100).centred
    network = models.MLPConfig((144, 8, 10))
    outcome = judging.best_of_rates(network, data, rates=(1e-5, 1e-2), epochs=1, seeds=2)
    assert outcome.rate == 1e-2
    assert outcome.by_rate[1e-2] > outcome.by_rate[1e-5]


def test_a_seed_that_diverged_somewhere_is_left_out_everywhere() -> None:
    def outcome(*seeds: int) -> judging.Outcome:
        network = models.MLP(models.MLPConfig((4, 3)), seeds=seeds)
        return judging.Outcome(models.Trained(network, pd.DataFrame(), ()), 0.1, {0.1: 0.5})

    outcomes = {(CNN, SAME): outcome(3, 4, 5), (DENSE, SAME): outcome(3, 5)}
    assert judging.common_seeds(outcomes) == (3, 5)
