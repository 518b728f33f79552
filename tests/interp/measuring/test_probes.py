"""The estimators against scikit-learn's own, attribute by attribute."""

from __future__ import annotations

import numpy as np
import pytest
from planted import planted_feature
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from interp.measuring.probes import LogisticProbe, RidgeProbe

by_classes = pytest.mark.parametrize("classes", [2, 3])


@by_classes
def test_the_logistic_probe_has_scikit_learns_coefficients_and_probabilities(classes):
    data = planted_feature(classes=classes)
    ours = LogisticProbe(penalty=0.5, tolerance=1e-8).fit(data.activations, data.labels)
    theirs = LogisticRegression(C=2.0, tol=1e-8, max_iter=5000).fit(data.activations, data.labels)
    assert ours.coef_ == pytest.approx(theirs.coef_, abs=1e-4)
    assert np.ptp(ours.intercept_ - theirs.intercept_) < 1e-4
    assert ours.predict_proba(data.activations) == pytest.approx(
        theirs.predict_proba(data.activations), abs=1e-4
    )
    assert ours.converged_


@by_classes
def test_the_ridge_probe_has_scikit_learns_coefficients_and_scores(classes):
    data = planted_feature(classes=classes)
    ours = RidgeProbe(penalty=3.0).fit(data.activations, data.labels)
    theirs = RidgeClassifier(alpha=3.0).fit(data.activations, data.labels)
    assert ours.coef_.ravel() == pytest.approx(theirs.coef_.ravel(), abs=1e-8)
    assert ours.decision_function(data.activations) == pytest.approx(
        theirs.decision_function(data.activations), abs=1e-8
    )


@pytest.mark.parametrize("probe", [RidgeProbe(), LogisticProbe()], ids=repr)
def test_activations_that_vary_in_one_feature_only_have_one_direction(probe):
    data = planted_feature(classes=4)
    flat = np.ones_like(data.activations)
    flat[:, 3] = data.activations @ data.direction
    probe.fit(flat, data.labels)
    assert probe.directions_ == pytest.approx(np.eye(12)[[3]])
