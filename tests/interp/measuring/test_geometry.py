"""Orthonormal bases, by hand and by what they span."""

from __future__ import annotations

import torch

from interp.measuring.geometry import class_directions, orthonormal_basis


def test_by_hand():
    basis = orthonormal_basis(torch.tensor([[0.0, -2.0, 0.0], [0.0, 0.0, 1.0]]))
    assert basis.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def test_the_same_space_is_spanned_in_every_member_of_a_batch():
    directions = torch.randn(2, 3, 4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = orthonormal_basis(directions)
    assert torch.allclose(basis @ basis.mT, torch.eye(4, dtype=torch.float64).expand(2, 3, 4, 4))
    assert torch.allclose(directions @ basis.mT @ basis, directions)


def test_rows_beyond_the_rank_are_zero_and_the_projector_is_right():
    row = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    basis = orthonormal_basis(torch.stack([row, 2 * row, -row]))
    assert torch.allclose(basis.mT @ basis, torch.outer(row, row) / 25)
    assert basis[1:].abs().max() == 0


def test_nothing_spans_nothing():
    assert orthonormal_basis(torch.zeros(2, 3)).abs().max() == 0


def test_what_all_classes_share_is_no_direction_between_classes():
    shared = torch.tensor([1.0, 1.0, 1.0, 1.0])
    apart = torch.tensor([1.0, -1.0, 0.0, 0.0])
    directions = class_directions(torch.stack([shared + apart, shared - apart]))
    assert directions.shape == (1, 4)
    assert torch.allclose(directions[0] @ shared, torch.tensor(0.0), atol=1e-6)
    assert torch.allclose(directions[0], apart / 2**0.5)


def test_more_classes_than_features_give_as_many_directions_as_features():
    weights = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    assert class_directions(weights).shape == (4, 4)
