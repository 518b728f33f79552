"""Morphology: drawn shapes whose answers can be counted, and real digits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from models.data.dataset import Dataset
from models.data.loading import load_data
from models.data.morphology import area, loops, measure_morphology, slant, thickness, with_morphology
from models.refusals import Refused

ROW, COLUMN = np.mgrid[:28, :28].astype(float)


def ring(row: float, column: float, *, outer: float, inner: float) -> NDArray[np.float64]:
    distance = np.hypot(ROW - row, COLUMN - column)
    return ((distance <= outer) & (distance >= inner)).astype(float)


def bar(width: int, *, length: int = 20) -> NDArray[np.float64]:
    image = np.zeros((28, 28))
    image[4 : 4 + length, 10 : 10 + width] = 1
    return image


def leaning_bar(degrees: float) -> NDArray[np.float64]:
    """A bar 3 wide whose centre moves tan(degrees) columns to the right per row upwards, edges unsharp."""
    centre = 13.5 + np.tan(np.radians(degrees)) * (13.5 - ROW)
    inside = np.clip(2 - np.abs(COLUMN - centre), 0, 1)
    return inside * ((ROW > 5) & (ROW < 22))


def test_loops_are_the_holes_one_sees() -> None:
    one = ring(14, 14, outer=8, inner=5)
    two = np.maximum(ring(8, 14, outer=6, inner=3), ring(19, 14, outer=6, inner=3))
    apart = np.maximum(ring(6, 6, outer=5, inner=2), ring(21, 21, outer=5, inner=2))
    opened = one * (COLUMN < 19)
    images = np.stack([one, two, apart, bar(3), opened, np.zeros((28, 28))])
    assert loops(images).tolist() == [1, 2, 2, 0, 0, 0]


def test_ink_that_touches_the_border_or_fills_the_image_has_no_loop() -> None:
    cup = np.zeros((28, 28))
    cup[:, :3] = cup[:, -3:] = cup[-3:] = 1  # open at the top, where paper goes on outside the image
    assert loops(np.stack([cup, np.ones((28, 28))])).tolist() == [0, 0]


@pytest.mark.parametrize("side", [28, 32])  # enlarged, and as it is
def test_strokes_that_touch_at_corners_only_close_a_loop(side: int) -> None:
    row, column = np.mgrid[:side, :side]
    diamond = (np.abs(row - 14) + np.abs(column - 14) == 6).astype(float)
    assert loops(diamond[None]).tolist() == [1]


@pytest.mark.parametrize("degrees", [-40, -15, 0, 10, 30, 45])
def test_a_sheared_bar_has_the_slant_of_its_shear(degrees: float) -> None:
    assert slant(leaning_bar(degrees)[None])[0] == pytest.approx(degrees, abs=0.2)


def test_a_slant_to_the_right_is_positive_and_does_not_depend_on_place_or_darkness() -> None:
    stroke = np.eye(28)[::-1]  # like a slash: up is right
    moved = np.zeros((28, 28))
    moved[:20, 8:] = stroke[8:, :20]
    assert slant(np.stack([stroke, stroke * 0.3, moved])).round(6).tolist() == [45, 45, 45]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6])
def test_a_bar_is_as_thick_as_it_is_wide(width: int) -> None:
    assert thickness(bar(width)[None])[0] == pytest.approx(width, abs=0.3)


def test_a_stroke_at_the_border_is_as_thick_as_elsewhere() -> None:
    inside = np.zeros((2, 28, 28))
    inside[0, 4:24, :4] = inside[1, 4:24, 12:16] = 1
    at_the_border, elsewhere = thickness(inside)
    assert at_the_border == pytest.approx(elsewhere, abs=0.05)


@pytest.mark.parametrize("width", [1.5, 2.0, 3.0, 4.0])
def test_thickness_of_a_ring_with_unsharp_edges_is_its_band(width: float) -> None:
    distance = np.hypot(ROW - 14.2, COLUMN - 13.9)
    drawn = np.clip(width / 2 + 0.5 - np.abs(distance - 8), 0, 1)
    assert thickness(drawn[None])[0] == pytest.approx(width, abs=0.2)


def straight_stroke(width: float, degrees: float) -> NDArray[np.float64]:
    """A stroke with unsharp edges, 18 pixels long, through the middle."""
    turn = np.radians(degrees)
    across = np.abs((COLUMN - 13.6) * np.cos(turn) + (ROW - 13.3) * np.sin(turn))
    along = np.abs((ROW - 13.3) * np.cos(turn) - (COLUMN - 13.6) * np.sin(turn))
    return np.clip(width / 2 + 0.5 - across, 0, 1) * np.clip(9.5 - along, 0, 1)


@pytest.mark.parametrize("width", [1.5, 2.0, 3.0, 4.0])
def test_strokes_in_all_directions_have_their_width_on_average(width: float) -> None:
    measured = thickness(np.stack([straight_stroke(width, degrees) for degrees in range(0, 180, 4)]))
    assert measured.mean() == pytest.approx(width, abs=0.15)
    assert np.abs(measured - width).max() < 0.7


def test_small_images_are_measured_in_their_own_pixels() -> None:
    small = np.zeros((1, 8, 8), dtype=np.float32)
    small[0, 1:7, 3:5] = 1
    assert area(small)[0] == 12
    assert thickness(small)[0] == pytest.approx(2, abs=0.25)
    small[0, 1:7, 1:7] = 1
    small[0, 3:5, 3:5] = 0
    assert loops(small)[0] == 1


def test_area_is_the_sum_of_ink() -> None:
    assert area(np.stack([bar(3), bar(3) * 0.5])).tolist() == [60, 30]


def test_a_blank_image_has_no_slant_and_no_thickness() -> None:
    blank = measure_morphology(np.zeros((1, 28, 28))).iloc[0]
    assert (blank["area"], blank["loops"]) == (0, 0)
    assert np.isnan(blank["slant"])
    assert np.isnan(blank["thickness"])
    assert np.isnan(slant(bar(10, length=1)[None])[0])


def test_an_image_is_measured_alike_alone_and_among_others() -> None:
    images = load_data("digits").images[:1_010].numpy()
    together = measure_morphology(images).iloc[1_005:].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, measure_morphology(images[1_005:]))


def test_the_columns_join_the_table_once() -> None:
    few = load_data("digits").subset(range(20))
    twice = with_morphology(with_morphology(few))
    assert list(twice.examples.columns) == ["number", "digit", "split", "area", "slant", "thickness", "loops"]
    assert twice.examples["area"].to_numpy() == pytest.approx(few.inputs.sum(1).numpy(), rel=1e-5)
    assert "area" not in few.examples
    with pytest.raises(Refused, match="no images"):
        with_morphology(Dataset.from_arrays(np.zeros((2, 3)), [0, 1], split=["network", "test"]))


@pytest.mark.real_data
def test_real_digits_have_the_loops_one_expects(mnist: Dataset) -> None:
    some = with_morphology(mnist.test.subset(range(3_000))).examples
    share = pd.crosstab(some["digit"], some["loops"], normalize="index")
    assert share.idxmax(axis=1).to_dict() == {0: 1, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 1, 7: 0, 8: 2, 9: 1}
    assert share.loc[1, 0] > 0.99
    assert share.loc[0, 1] > 0.8
    assert share.loc[8, 2] > 0.55
    assert some[["slant", "thickness"]].notna().all(axis=None)
    assert some["thickness"].between(0.5, 10).all()
