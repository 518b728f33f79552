"""What every probe must keep. A new probe joins by one line in PROBES."""

from __future__ import annotations

import numpy as np
import pytest
from planted import planted_feature
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from interp.measuring.probes import LogisticProbe, RidgeProbe

PROBES = [
    RidgeProbe(),
    RidgeProbe(standardise=True),
    LogisticProbe(),
    LogisticProbe(standardise=True),
]

every_probe = pytest.mark.parametrize("probe", PROBES, ids=repr)


@parametrize_with_checks(PROBES)
def test_it_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


@every_probe
def test_it_gives_the_same_twice(probe):
    data = planted_feature(classes=3)
    first, second = (clone(probe).fit(data.activations, data.labels) for _ in range(2))
    assert np.array_equal(first.coef_, second.coef_)
    assert np.array_equal(first.directions_, second.directions_)


@every_probe
def test_it_reads_no_global_random_state(probe):
    data = planted_feature()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    clone(probe).fit(data.activations, data.labels)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@every_probe
def test_it_refuses_nan(probe):
    data = planted_feature()
    data.activations[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        clone(probe).fit(data.activations, data.labels)


@every_probe
def test_it_refuses_unequal_lengths_with_both_figures(probe):
    data = planted_feature()
    with pytest.raises(ValueError, match=r"\[400, 399\]"):
        clone(probe).fit(data.activations, data.labels[:-1])


@every_probe
def test_it_refuses_a_class_with_a_single_example_by_name(probe):
    data = planted_feature()
    names = np.where(data.labels == 1, "one loop", "no loops")
    names[0] = "a cross"
    with pytest.raises(ValueError, match=r"Class a cross has 1 example\(s\) among 400"):
        clone(probe).fit(data.activations, names)


@every_probe
def test_it_is_at_chance_on_shuffled_labels(probe):
    data = planted_feature(examples=2000)
    shuffled = np.random.default_rng(1).permutation(data.labels)
    fitted = clone(probe).fit(data.activations[:1000], shuffled[:1000])
    assert abs(fitted.score(data.activations[1000:], shuffled[1000:]) - 0.5) < 0.06


@every_probe
def test_it_is_at_chance_where_nothing_is_planted(probe):
    data = planted_feature(examples=2000, strength=0.0)
    fitted = clone(probe).fit(data.activations[:1000], data.labels[:1000])
    assert abs(fitted.score(data.activations[1000:], data.labels[1000:]) - 0.5) < 0.06


@every_probe
def test_it_recovers_the_planted_direction_and_the_best_possible_accuracy(probe):
    data = planted_feature(examples=4000, strength=3.0)
    fitted = clone(probe).fit(data.activations[:2000], data.labels[:2000])
    assert fitted.directions_.shape == (1, 12)
    assert abs(fitted.directions_[0] @ data.direction) > 0.99
    assert fitted.score(data.activations[2000:], data.labels[2000:]) == pytest.approx(0.933, abs=0.02)


@every_probe
def test_directions_are_in_the_space_of_the_activations_whatever_their_scales(probe):
    data = planted_feature(examples=4000, strength=3.0)
    scales = np.geomspace(0.1, 10, 12)
    fitted = clone(probe).set_params(penalty=1e-6).fit(data.activations * scales, data.labels)
    reads_along = data.direction / scales
    assert abs(fitted.directions_[0] @ reads_along) / np.linalg.norm(reads_along) > 0.98


@every_probe
def test_directions_are_orthonormal_and_hold_all_that_the_probe_tells_classes_apart_by(probe):
    data = planted_feature(classes=4, features=20)
    fitted = clone(probe).fit(data.activations, data.labels)
    basis = fitted.directions_
    assert basis.shape == (3, 20)
    assert basis @ basis.T == pytest.approx(np.eye(3), abs=1e-10)
    removed = data.activations - data.activations @ basis.T @ basis
    assert np.ptp(fitted.decision_function(removed) - fitted.intercept_, axis=1).max() < 1e-10


@every_probe
def test_shifting_every_feature_changes_only_the_intercept(probe):
    data = planted_feature(classes=3)
    fitted = clone(probe).fit(data.activations, data.labels)
    shifted = clone(probe).fit(data.activations + 1000.0, data.labels)
    assert shifted.coef_ == pytest.approx(fitted.coef_, abs=1e-8)
    moved = shifted.decision_function(data.activations + 1000.0)
    assert moved == pytest.approx(fitted.decision_function(data.activations), abs=1e-6)


@every_probe
def test_single_precision_gives_the_same_decisions(probe):
    data = planted_feature(classes=3)
    double = clone(probe).fit(data.activations, data.labels)
    single = clone(probe).fit(data.activations.astype(np.float32), data.labels)
    assert single.directions_.dtype == np.float32
    assert np.mean(single.predict(data.activations) == double.predict(data.activations)) > 0.99
