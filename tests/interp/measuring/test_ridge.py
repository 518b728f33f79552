"""Batched ridge probes against scikit-learn's RidgeClassifier, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from interp.measuring.labelled import check_finite
from interp.measuring.linear import LinearProbes, accuracy, predict, scores
from interp.measuring.ridge import fit_ridge
from interp.refusals import Refused


def problem(
    *, examples: int, features: int, classes: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(examples) % classes)
    centres = rng.normal(size=(classes, features))
    return torch.from_numpy(rng.normal(size=(examples, features)) + centres[labels] + 5), torch.from_numpy(
        labels
    )


def test_by_hand():
    # one feature -1 -1 1 1, targets ±1: weight = (x·t) / (x·x + penalty) = 4 / (4 + 4), bias 0
    features = torch.tensor([[-1.0], [-1.0], [1.0], [1.0]], dtype=torch.float64)
    probes = fit_ridge(features, torch.tensor([0, 0, 1, 1]), classes=2, penalty=4.0)
    assert probes.weights.flatten().tolist() == pytest.approx([-0.5, 0.5])
    assert probes.bias.tolist() == [0.0, 0.0]
    assert bool(probes.converged)


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(3, 6),
    per_class=st.integers(2, 12),
    features=st.integers(1, 40),
    penalty=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 2**16),
)
def test_it_equals_ridge_classifier_for_every_shape(classes, per_class, features, penalty, seed):
    X, y = problem(examples=classes * per_class, features=features, classes=classes, seed=seed)
    probes = fit_ridge(X, y, classes=classes, penalty=penalty)
    theirs = RidgeClassifier(alpha=penalty).fit(X.numpy(), y.numpy())
    assert probes.weights.numpy() == pytest.approx(theirs.coef_, abs=1e-8)
    assert probes.bias.numpy() == pytest.approx(theirs.intercept_, abs=1e-8)


def test_with_two_classes_the_second_row_is_scikit_learns_only_one():
    X, y = problem(examples=60, features=7, classes=2)
    probes = fit_ridge(X, y, classes=2)
    theirs = RidgeClassifier().fit(X.numpy(), y.numpy())
    assert probes.weights[1].numpy() == pytest.approx(np.ravel(theirs.coef_), abs=1e-10)
    assert torch.allclose(probes.weights[0], -probes.weights[1], atol=1e-12)
    assert (predict(probes, X).numpy() == theirs.predict(X.numpy())).all()


def test_standardising_equals_a_scaler_in_front():
    X, y = problem(examples=90, features=8, classes=3)
    X = X * torch.logspace(-3, 3, 8, dtype=torch.float64)
    X[:, 5] = 2.5  # constant: left alone
    probes = fit_ridge(X, y, classes=3, standardise=True)
    scaled = StandardScaler().fit_transform(X.numpy())
    theirs = RidgeClassifier().fit(scaled, y.numpy()).decision_function(scaled)
    assert scores(probes, X).numpy() == pytest.approx(theirs, abs=1e-8)


def test_every_member_of_a_batch_is_what_it_is_alone():
    pairs = [problem(examples=60, features=9, classes=4, seed=seed) for seed in range(3)]
    features = torch.stack([X for X, _ in pairs])
    labels = torch.stack([torch.stack([y for _, y in pairs]), torch.stack([y.roll(1) for _, y in pairs])])
    together = fit_ridge(features, labels, classes=4)
    assert together.weights.shape == (2, 3, 4, 9)
    for control in range(2):
        for seed in range(3):
            alone = fit_ridge(features[seed], labels[control, seed], classes=4)
            assert torch.allclose(together.weights[control, seed], alone.weights, atol=1e-12)
            assert torch.allclose(
                scores(together, features)[control, seed], scores(alone, features[seed]), atol=1e-10
            )


def test_one_label_vector_serves_all_seeds_and_several_share_one_set_of_activations():
    X, y = problem(examples=60, features=5, classes=3)
    seeds = torch.stack([X, X.flip(-1), X + 1])
    shared = fit_ridge(seeds, y, classes=3)
    assert shared.weights.shape == (3, 3, 5)
    assert torch.allclose(shared.weights[1], fit_ridge(X.flip(-1), y, classes=3).weights, atol=1e-12)
    several = fit_ridge(X, torch.stack([y, y.roll(1)])[:, None, None], classes=3)
    assert several.weights.shape == (2, 1, 1, 3, 5)
    assert accuracy(several, X, y).shape == (2, 1, 1)


def test_accuracy_by_hand():
    probes = fit_ridge(torch.tensor([[-1.0], [-1.0], [1.0], [1.0]]), torch.tensor([0, 0, 1, 1]), classes=2)
    figures = accuracy(probes, torch.tensor([[-3.0], [2.0], [0.5], [-0.1]]), torch.tensor([0, 1, 0, 0]))
    assert figures.item() == 0.75


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_raised_to_single(dtype):
    X, y = problem(examples=60, features=5, classes=3)
    probes = fit_ridge(X.to(dtype), y, classes=3)
    assert probes.weights.dtype == torch.float32
    assert accuracy(probes, X.to(dtype), y).item() == pytest.approx(
        accuracy(fit_ridge(X, y, classes=3), X, y).item(), abs=0.05
    )


def refused(match: str, **changes: object) -> None:
    X, y = problem(examples=30, features=4, classes=3)
    call = {"features": X, "labels": y, "classes": 3, "penalty": 1.0} | changes
    with pytest.raises(Refused, match=match):
        fit_ridge(call.pop("features"), call.pop("labels"), **call)


def test_nan_is_refused_with_its_number():
    X, _ = problem(examples=30, features=4, classes=3)
    X[2, 1], X[7, 0] = float("nan"), float("inf")
    refused("2 of 120 activations", features=X)


def test_unequal_lengths_are_refused_with_both():
    refused("30 examples of activations but 29 labels", labels=torch.arange(29) % 3)


def test_a_class_with_one_example_is_refused_by_name():
    labels = torch.arange(30) % 2
    labels[4] = 2
    refused(r"Class 2 has 1 example\(s\) in label vector 0", labels=labels)
    refused(
        r"Class 2 has 1 example\(s\) in label vector 1", labels=torch.stack([torch.arange(30) % 3, labels])
    )


def test_labels_outside_the_classes_are_refused_with_their_range():
    refused("Labels from 0 to 2 were given; with 2 classes", classes=2)
    refused("Labels from -1", labels=(torch.arange(30) % 3) - 1)


def test_labels_that_are_no_integers_are_refused():
    refused("dtype torch.float64", labels=torch.arange(30).double() % 3)


def test_activations_that_are_no_floats_are_refused():
    refused("dtype torch.int64", features=torch.arange(120).reshape(30, 4))


def test_batch_axes_that_do_not_fit_are_refused_with_both():
    X, y = problem(examples=30, features=4, classes=3)
    refused(r"\(2,\) do not fit labels with \(3,\)", features=X.expand(2, 30, 4), labels=y.expand(3, 30))


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan"), float("inf")])
def test_a_penalty_that_is_not_positive_is_refused(penalty):
    refused("must be positive", penalty=penalty)


def test_a_gram_matrix_beyond_single_precision_is_refused_with_a_way_out():
    X, y = problem(examples=30, features=4, classes=3)
    twins = torch.cat([X, X], -1).float() * 1e3
    refused(
        "1 of 1 Gram matrices cannot be factored in torch.float32", features=twins, labels=y, penalty=1e-12
    )


def test_no_examples_to_test_on_are_refused():
    X, y = problem(examples=30, features=4, classes=3)
    with pytest.raises(Refused, match="test split empty"):
        accuracy(fit_ridge(X, y, classes=3), X[:0], y[:0])


def test_activations_of_another_width_are_refused():
    X, y = problem(examples=30, features=4, classes=3)
    with pytest.raises(Refused, match="3 features were given to probes of 4"):
        predict(fit_ridge(X, y, classes=3), X[:, :3])


def test_of_equal_scores_the_first_class_wins_as_in_argmax():
    ties = torch.randint(0, 3, (4, 5, 50), generator=torch.Generator().manual_seed(0)).double()
    probes = LinearProbes(ties.mT, torch.zeros(4, 50, dtype=torch.float64), torch.ones(4, dtype=torch.bool))
    features = torch.eye(5, dtype=torch.float64)
    assert torch.equal(predict(probes, features), scores(probes, features).argmax(-1))


def test_activations_whose_sum_overflows_are_no_infinities():
    check_finite(torch.full((3,), 3e38))
    with pytest.raises(Refused, match="1 of 3"):
        check_finite(torch.tensor([3e38, 3e38, float("inf")]))
