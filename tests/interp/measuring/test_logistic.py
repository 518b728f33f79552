"""Batched logistic probes against scikit-learn's LogisticRegression on real digits, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from interp.measuring.descent import Stopping
from interp.measuring.linear import accuracy, scores
from interp.measuring.logistic import fit_logistic

TIGHT = Stopping(tolerance=1e-7)


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images / 16), torch.from_numpy(labels)


def test_by_hand():
    # x = -1 -1 1 1 with classes 0 0 1 1, penalty 1: the score difference w solves w = 4 · sigmoid(-w)
    features = torch.tensor([[-1.0], [-1.0], [1.0], [1.0]], dtype=torch.float64)
    probes = fit_logistic(features, torch.tensor([0, 0, 1, 1]), classes=2, stopping=Stopping(1e-10))
    w = brentq(lambda w: w - 4 / (1 + np.exp(w)), 0, 4)
    assert (probes.weights[1] - probes.weights[0]).item() == pytest.approx(w, abs=1e-8)
    assert probes.bias.abs().max().item() < 1e-8


@pytest.mark.parametrize("penalty", [0.1, 1.0, 100.0])
def test_coefficients_agree_with_scikit_learn(digits, penalty):
    X, y = digits[0][:500], digits[1][:500]
    probes = fit_logistic(X, y, classes=10, penalty=penalty, stopping=TIGHT)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=20_000).fit(X.numpy(), y.numpy())
    assert bool(probes.converged)
    assert probes.weights.numpy() == pytest.approx(theirs.coef_, abs=1e-3)
    assert probes.bias.numpy() == pytest.approx(theirs.intercept_ - theirs.intercept_.mean(), abs=1e-3)


def test_two_classes_have_scikit_learns_penalty_too(digits):
    X, y = digits[0][:500], digits[1][:500] % 2
    probes = fit_logistic(X, y, classes=2, stopping=TIGHT)
    theirs = LogisticRegression(tol=1e-8, max_iter=20_000).fit(X.numpy(), y.numpy())
    assert (probes.weights[1] - probes.weights[0]).numpy() == pytest.approx(theirs.coef_[0], abs=1e-3)


def test_default_tolerance_is_within_a_point_of_accuracy(digits):
    X, y = digits[0].float(), digits[1]
    ours = accuracy(fit_logistic(X[:1000], y[:1000], classes=10), X[1000:], y[1000:]).item()
    theirs = LogisticRegression(max_iter=2000).fit(X[:1000].numpy(), y[:1000].numpy())
    assert abs(ours - theirs.score(X[1000:].numpy(), y[1000:].numpy())) < 0.01


def test_standardising_equals_a_scaler_in_front(digits):
    X, y = digits[0][:400] * torch.logspace(-2, 2, 64, dtype=torch.float64), digits[1][:400]
    probes = fit_logistic(X, y, classes=10, standardise=True, stopping=TIGHT)
    scaled = StandardScaler().fit_transform(X.numpy())
    theirs = LogisticRegression(tol=1e-8, max_iter=20_000).fit(scaled, y.numpy())
    gap = scores(probes, X).numpy() - theirs.decision_function(scaled)
    assert np.ptp(gap, axis=1).max() < 1e-2


def test_badly_scaled_features_converge_to_the_same_minimum(digits):
    X, y = digits[0][:400] * torch.logspace(-1, 1, 64, dtype=torch.float64), digits[1][:400]
    probes = fit_logistic(X, y, classes=10, stopping=Stopping(tolerance=1e-6))
    probabilities = scores(probes, X).softmax(-1) - torch.nn.functional.one_hot(y, 10)
    gradient = probabilities.mT @ X + probes.weights
    assert bool(probes.converged)
    assert gradient.abs().max().item() / 400 < 1e-5


def test_every_member_of_a_batch_is_what_it_is_alone_although_some_finish_first(digits):
    X, y = digits[0][:300], digits[1][:300]
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    features = torch.stack([X, X.flip(-1) * 3, torch.tanh(X * 2 - 1)])
    labels = torch.stack([y, y[order]])[:, None]
    together = fit_logistic(features, labels, classes=10, stopping=TIGHT)
    assert together.weights.shape == (2, 3, 10, 64)
    assert together.converged.shape == (2, 3)
    for control in range(2):
        for seed in range(3):
            alone = fit_logistic(features[seed], labels[control, 0], classes=10, stopping=TIGHT)
            assert torch.allclose(together.weights[control, seed], alone.weights, atol=1e-4)


def test_stopping_short_is_flagged_and_warned_about(digits):
    X, y = digits[0][:300], digits[1][:300]
    with pytest.warns(ConvergenceWarning, match="1 of 1 logistic fits did not reach"):
        probes = fit_logistic(X, y, classes=10, stopping=Stopping(iterations=3))
    assert not bool(probes.converged)


def test_a_tolerance_below_what_single_precision_resolves_is_reported_not_pretended(digits):
    X, y = digits[0][:100].float(), digits[1][:100]
    with pytest.warns(ConvergenceWarning):
        probes = fit_logistic(X, y, classes=10, stopping=Stopping(tolerance=1e-14, iterations=300))
    assert not bool(probes.converged)
    close = fit_logistic(X.double(), y, classes=10, stopping=TIGHT)
    assert torch.allclose(probes.weights.double(), close.weights, atol=1e-2)


def test_separable_classes_give_finite_weights():
    X = torch.cat([torch.full((5, 1), -1.0), torch.full((5, 1), 1.0)]) * 10
    probes = fit_logistic(X, torch.arange(10) // 5, classes=2)
    assert bool(torch.isfinite(probes.weights).all())
    assert accuracy(probes, X, torch.arange(10) // 5).item() == 1.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same(digits):
    X, y = digits[0][:300], digits[1][:300]
    here = fit_logistic(X, y, classes=10, stopping=TIGHT)
    there = fit_logistic(X.cuda(), y.cuda(), classes=10, stopping=TIGHT)
    assert there.weights.device.type == "cuda"
    assert torch.allclose(here.weights, there.weights.cpu(), atol=1e-4)
