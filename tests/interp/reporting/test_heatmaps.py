"""Grids of numbers as shades, and the same in words."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from interp.refusals import Refused
from interp.reporting.heatmaps import heatmap


def grid(values: object) -> xr.DataArray:
    array = np.asarray(values, dtype=float)
    return xr.DataArray(
        array,
        dims=["layer", "pos"],
        coords={"layer": range(array.shape[0]), "pos": range(10, 10 + array.shape[1])},
    )


def test_the_words_name_the_largest_and_the_smallest_cells() -> None:
    figure = heatmap(
        grid([[0.0, 1.5, np.nan], [-2.0, 0.25, 0.5]]), measure="logit difference", caption="Patching"
    )
    assert "2 layer by 3 pos" in figure.alt
    assert "Largest: layer 0, pos 11: 1.5" in figure.alt
    assert "Smallest: layer 1, pos 10: " in figure.alt
    assert figure.svg.count("0.25") >= 1
    assert "logit difference" in figure.svg


def test_the_same_numbers_give_the_same_bytes_and_large_grids_leave_numbers_out() -> None:
    values = np.random.default_rng(0).normal(size=(12, 40))
    first, second = (heatmap(grid(values), measure="effect", caption="A grid").svg for _ in range(2))
    assert first == second
    assert first.count("<text") < 70


def test_names_of_columns_are_broken_or_slanted_where_long_rows_leave_them_no_room() -> None:
    names = [f"blocks.{place // 2}.{'mlp' if place % 2 else 'attn'}" for place in range(6)]
    labels = {"method": ["m", "gradient x activation"], "planted": names}
    values = xr.DataArray(np.eye(2, 6), dims=[*labels], coords=labels)
    few = heatmap(values[:, :3], measure="effect", caption="Few").svg
    assert (">blocks.0.attn<" in few, "rotate(-35" in few) == (True, False)
    more = heatmap(values, measure="effect", caption="More").svg
    assert (">blocks.0.<" in more, "rotate(-35" in more) == (True, False)
    many = xr.concat([values] * 3, dim="planted")
    many = many.assign_coords(planted=[f"{name}.{part}" for part in range(3) for name in names])
    assert "rotate(-35" in heatmap(many, measure="effect", caption="Many").svg


def test_brightness_rises_with_the_number() -> None:
    import matplotlib

    red, green, blue = matplotlib.colormaps["cividis"](np.linspace(0, 1, 50))[:, :3].T
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) > 0).all()


@pytest.mark.parametrize("values", [np.full((2, 2), np.nan), [[np.inf, 1.0]], np.zeros((0, 3))])
def test_what_has_no_shade_is_refused(values: object) -> None:
    with pytest.raises(Refused):
        heatmap(grid(values), measure="effect", caption="None")


def test_other_than_two_dimensions_are_refused() -> None:
    with pytest.raises(Refused, match=r"shows two dimensions; given \{'pos': 3\}"):
        heatmap(grid(np.ones((2, 3)))[0], measure="effect", caption="A row")
    assert heatmap(grid(np.ones((2, 3))), measure="effect", caption="All alike").alt
