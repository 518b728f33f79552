"""Code lengths with known answers, and against the sum written out with scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planted import planted_feature
from sklearn.linear_model import LogisticRegression

from interp.measuring.code_length import online_code_length, selectivity
from interp.measuring.controls import shuffled_labels
from interp.refusals import Refused


def planted(strength: float, *, classes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    data = planted_feature(examples=1000, strength=strength, classes=classes)
    return torch.from_numpy(data.activations), torch.from_numpy(data.labels)


def test_labels_that_are_independent_of_the_activations_cost_about_the_uniform_code_or_more():
    features, labels = planted(0.0)
    code = online_code_length(features, labels, classes=2, penalty=10.0)
    assert code.uniform_bits == 1000
    assert 1000 <= code.bits.item() < 1100


def test_separable_labels_cost_far_less():
    code = online_code_length(*planted(20.0), classes=2)
    assert code.bits.item() < 60
    assert code.compression.item() == pytest.approx(1000 / code.bits.item())


def test_a_stronger_feature_is_a_shorter_code():
    bits = [
        online_code_length(*planted(strength), classes=2).bits.item() for strength in (0.5, 1.0, 2.0, 4.0)
    ]
    assert bits == sorted(bits, reverse=True)


def test_blocks_double_and_the_first_holds_every_class_twice():
    features, labels = planted(3.0, classes=10)
    code = online_code_length(features, labels, classes=10)
    assert code.block_ends[-4:] == (125, 250, 500, 1000)
    assert code.block_ends[0] >= 20


def test_the_sum_written_out_with_scikit_learn_is_the_same():
    features, labels = planted(1.5, classes=3)
    code = online_code_length(features, labels, classes=3, seed=4)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(4))
    X, y = features[order].numpy(), labels[order].numpy()
    bits = code.block_ends[0] * math.log2(3)
    for start, end in zip(code.block_ends, code.block_ends[1:], strict=False):
        probe = LogisticRegression(tol=1e-6, max_iter=5000).fit(X[:start], y[:start])
        bits -= np.log2(probe.predict_proba(X[start:end])[np.arange(end - start), y[start:end]]).sum()
    assert code.bits.item() == pytest.approx(bits, rel=2e-3)


def test_a_batch_of_seeds_and_controls_is_what_its_members_are_alone():
    features, labels = planted(2.0)
    both = torch.stack([features, features.flip(0)])
    several = torch.stack([labels, shuffled_labels(labels, seed=0)])[:, None]
    code = online_code_length(both, several, classes=2)
    assert code.bits.shape == (2, 2)
    alone = online_code_length(features, labels, classes=2)
    assert code.block_ends == alone.block_ends
    assert code.bits[0, 0].item() == pytest.approx(alone.bits.item(), rel=1e-3)
    assert code.bits[1].min() > 1.4 * code.bits[0, 0]


def test_too_few_examples_for_a_first_block_are_refused():
    features, labels = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 6
    with pytest.raises(Refused, match="12 examples are too few to code 6 classes"):
        online_code_length(features, labels, classes=6)


def test_unequal_lengths_are_refused():
    features, labels = planted(1.0)
    with pytest.raises(Refused, match="1000 examples of activations but 999 labels"):
        online_code_length(features, labels[:-1], classes=2)


def test_selectivity_is_the_difference():
    difference = selectivity(torch.tensor([0.9, 0.8]), torch.tensor([0.4, 0.8]))
    assert torch.allclose(difference, torch.tensor([0.5, 0.0]))


def test_accuracies_in_percent_are_refused():
    with pytest.raises(Refused, match="Accuracy 90 to 90"):
        selectivity(torch.tensor([90.0]), torch.tensor([0.4]))
