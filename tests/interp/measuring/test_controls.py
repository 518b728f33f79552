"""Controls keep what they must keep, and cut what they must cut."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from interp.measuring.controls import (
    directions_of_variance,
    random_directions,
    random_label_per_type,
    shuffled_labels,
    types_from_inputs,
    variance_along,
)
from interp.refusals import Refused


def test_shuffling_keeps_how_often_each_class_occurs_and_moves_the_rest():
    labels = torch.arange(1000) % 10
    shuffled = shuffled_labels(labels, seed=0)
    assert shuffled.bincount().tolist() == labels.bincount().tolist()
    assert 0.05 < (shuffled == labels).float().mean() < 0.15
    assert torch.equal(shuffled, shuffled_labels(labels, seed=0))
    assert not torch.equal(shuffled, shuffled_labels(labels, seed=1))


def test_rows_are_shuffled_each_on_its_own_and_never_into_each_other():
    labels = torch.stack([torch.zeros(50, dtype=torch.int64), torch.arange(50), torch.arange(50)])
    shuffled = shuffled_labels(labels, seed=0)
    assert shuffled[0].tolist() == [0] * 50
    assert sorted(shuffled[1].tolist()) == list(range(50))
    assert not torch.equal(shuffled[1], shuffled[2])


def test_several_seeds_become_the_leading_axis():
    labels = torch.arange(20)
    shuffled = shuffled_labels(labels, seed=[3, 4])
    assert shuffled.shape == (2, 20)
    assert torch.equal(shuffled[1], shuffled_labels(labels, seed=4))


def test_no_repeat_at_all_is_refused():
    with pytest.raises(Refused, match="No seed"):
        shuffled_labels(torch.arange(4), seed=[])


def test_each_type_has_one_label_the_same_in_every_split():
    fit_types, test_types = torch.arange(40).repeat(3), torch.tensor([7, 7, 39, 0])
    fit_labels = random_label_per_type(fit_types, 10, count=40, seed=5)
    test_labels = random_label_per_type(test_types, 10, count=40, seed=5)
    assert torch.equal(fit_labels[:40], fit_labels[40:80])
    assert torch.equal(test_labels, fit_labels[test_types])


def test_labels_are_spread_evenly_over_types():
    labels = random_label_per_type(torch.arange(43), 10, count=43, seed=0)
    assert sorted(labels.bincount().tolist()) == [4] * 7 + [5] * 3


def test_fewer_types_than_classes_and_unknown_types_are_refused():
    with pytest.raises(Refused, match="5 types cannot carry 10 classes"):
        random_label_per_type(torch.arange(5), 10, count=5, seed=0)
    with pytest.raises(Refused, match="Types from 0 to 20"):
        random_label_per_type(torch.arange(21), 10, count=20, seed=0)


def test_a_type_is_the_nearest_prototype_in_both_splits():
    images = torch.from_numpy(load_digits().images[:600])
    fit_types, test_types = types_from_inputs(images[:500], images[500:], count=30, seed=0)
    assert fit_types.shape == (500,)
    assert fit_types.unique().tolist() == list(range(30))
    flat = images.flatten(1)
    prototypes = torch.stack([flat[:500][fit_types == kind].mean(0) for kind in range(30)])
    assert torch.equal(torch.cdist(flat[500:], prototypes).argmin(1), test_types)
    assert torch.equal(types_from_inputs(images[:500], images[500:], count=30, seed=0)[0], fit_types)


def test_more_types_than_inputs_are_refused():
    with pytest.raises(Refused, match="12 types were asked for; between 2 and the 10"):
        types_from_inputs(torch.rand(10, 3), torch.rand(4, 3), count=12, seed=0)


def test_a_type_met_once_is_given_up_and_the_largest_parted() -> None:
    fit = torch.tensor([0.0, 0.1, 3.0, 3.1, 3.2, 3.3, 10.0, 10.1, 100.0])[:, None]
    test = torch.tensor([0.3, 9.0, 90.0])[:, None]
    fitted, tested = types_from_inputs(fit, test, count=4, seed=0)
    assert torch.bincount(fitted).tolist().count(0) == 0
    assert len(fitted.unique()) == 4
    assert torch.bincount(fitted).min() >= 2
    assert fitted[-1] == fitted[-2] == tested[1] == tested[2]
    with pytest.raises(Refused, match="3 inputs do not fall into 3 types"):
        types_from_inputs(torch.tensor([[0.0], [1.0], [9.0]]), test, count=3, seed=0)


def test_random_directions_are_orthogonal_and_of_the_norm_asked_for():
    directions = random_directions(3, 8, seed=[0, 1, 2], norm=2.5)
    assert directions.shape == (3, 3, 8)
    assert torch.allclose(
        directions @ directions.mT, 6.25 * torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    )
    assert not torch.allclose(directions[0], directions[1])


def test_random_directions_point_everywhere():
    mean = random_directions(1, 3, seed=list(range(2000)))[:, 0].mean(0)
    assert mean.abs().max() < 0.05


def test_more_orthogonal_directions_than_dimensions_are_refused():
    with pytest.raises(Refused, match="9 orthogonal directions in 8 dimensions"):
        random_directions(9, 8, seed=0)


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    random_directions(2, 4, seed=0)
    shuffled_labels(torch.arange(5), seed=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_directions_are_turned_until_activations_vary_along_them_as_much_as_asked() -> None:
    mix = torch.randn(12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance = (mix @ torch.diag(torch.arange(1.0, 13.0, dtype=torch.float64)) @ mix.T).expand(3, -1, -1)
    total = covariance[0].trace()
    asked = torch.tensor([0.1, 0.4, 0.7], dtype=torch.float64) * total
    turned = directions_of_variance(random_directions(4, 12, seed=[0, 1, 2]), covariance, asked)
    torch.testing.assert_close(variance_along(turned, covariance), asked, rtol=1e-4, atol=0)
    torch.testing.assert_close(turned @ turned.mT, torch.eye(4, dtype=torch.float64).expand(3, -1, -1))


def test_more_variance_than_the_largest_components_hold_is_approached() -> None:
    covariance = torch.diag(torch.tensor([5.0, 3.0, 1.0, 1.0], dtype=torch.float64))[None]
    turned = directions_of_variance(
        random_directions(2, 4, seed=[0]), covariance, torch.tensor([100.0], dtype=torch.float64)
    )
    assert float(variance_along(turned, covariance)) == pytest.approx(8.0, rel=0.01)
