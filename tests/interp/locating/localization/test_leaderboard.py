"""Standings say where methods rank what is known to hold the facts, and cannot-see is no score."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from scipy.stats import ttest_1samp

from interp.locating.localization.leaderboard import points_at, standings
from interp.refusals import Refused

PARTS = ["embed", "blocks.0.mlp", "blocks.1.mlp", "unembed"]


def scores(*rows: list[float]) -> xr.DataArray:
    """One method and a seed for each row."""
    coords = {"by": ["mine"], "seed": list(range(len(rows))), "component": PARTS}
    return xr.DataArray(np.array([rows], dtype=np.float64), coords=coords, dims=list(coords))


def test_a_row_for_each_method_and_seed_with_its_rank() -> None:
    found = standings(scores([0, 3, 1, 2], [0, 1, 3, 2]), ["blocks.0.mlp"], tier="first")
    assert list(found.columns) == ["method", "tier", "component", "seed", "auroc", "top1"]
    assert found["auroc"].tolist() == [1.0, 1 / 3]
    assert found["top1"].tolist() == [1.0, 0.0]
    assert set(found["component"]) == {"blocks.0.mlp"}


def test_two_right_places_are_both_to_be_found() -> None:
    (row,) = standings(scores([0, 3, 1, 2]), ["blocks.0.mlp", "unembed"], tier="split").itertuples()
    assert (row.component, row.auroc, row.top1) == ("blocks.0.mlp + unembed", 1.0, 1.0)
    (row,) = standings(scores([0, 3, 1, 2]), ["blocks.0.mlp", "embed"], tier="split").itertuples()
    assert (row.auroc, row.top1) == (0.5, 0.5)


def test_what_a_method_cannot_see_is_left_out_of_its_ranking() -> None:
    seen = standings(scores([0, 3, 1, math.nan]), ["blocks.0.mlp"], tier="first")
    assert seen["auroc"].tolist() == [1.0]
    blind = standings(scores([0, 3, 1, math.nan]), ["unembed"], tier="first")
    assert np.isnan(blind["auroc"]).all()
    alone = standings(scores([math.nan, 3, math.nan, math.nan]), ["blocks.0.mlp"], tier="first")
    assert np.isnan(alone["top1"]).all()


def test_where_nothing_was_planted_every_part_is_taken_in_turn() -> None:
    found = standings(scores([0, 3, 1, 2]), [], tier="sham")
    assert dict(zip(found["component"], found["auroc"], strict=True)) == {
        "embed": 0.0,
        "blocks.0.mlp": 1.0,
        "blocks.1.mlp": 1 / 3,
        "unembed": 2 / 3,
    }
    assert found["auroc"].mean() == 0.5


def test_pointing_is_a_t_test_over_pairs_corrected_for_the_parts() -> None:
    draw = np.random.default_rng(0).normal([0.0, 0.4, 0.2], 1.0, size=(40, 3))
    standardised = draw.mean(0) / draw.std(0, ddof=1)
    p = ttest_1samp(draw, 0.0, alternative="greater").pvalue
    for rate in (0.001, 0.01, 0.05, 0.2):
        assert points_at(standardised[None], [40], rate=rate).tolist() == [(3 * p < rate).tolist()]


def test_a_part_that_cannot_be_seen_is_never_pointed_at() -> None:
    assert points_at(np.array([[math.nan, 5.0]]), [40]).tolist() == [[False, True]]


def test_without_an_effect_pointing_keeps_its_rate() -> None:
    draws = np.random.default_rng(1).normal(size=(2_000, 30, 6))
    pointed = points_at(draws.mean(1) / draws.std(1, ddof=1), [30] * 2_000).any(-1)
    assert 0.03 < pointed.mean() < 0.07


def of_method(name: str, pairs: object = (40,)) -> xr.DataArray:
    """One seed's scores as `localize` gives them of this method."""
    return scores([0, 3, 1, math.nan]).assign_coords(by=[name]).assign_attrs(pairs=pairs).sel(by=name)


def test_labelled_scores_bring_their_pairs_and_stand_in_any_order() -> None:
    named = of_method("drift", (9, 12)).drop_vars("seed")
    both = xr.concat([named, -named], dim="seed", combine_attrs="override").transpose("component", ...)
    bare = points_at(both.transpose().to_numpy().reshape(2, 4), [9, 12])
    np.testing.assert_array_equal(points_at(both.transpose("component", "seed")), bare)
    assert points_at(of_method("drift", 40).isel(seed=0)).tolist() == [[False, True, True, False]]
    assert points_at(of_method("mine")).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("method", ["random", "gradient norm ratio"])
def test_methods_that_are_not_by_pairs_point_nowhere_but_are_refused(method: str) -> None:
    with pytest.raises(Refused, match=rf"'{method}' does not compare facts by pairs.*drift"):
        points_at(of_method(method))


def test_several_methods_and_other_numbers_of_pairs_are_refused() -> None:
    with pytest.raises(
        Refused, match=r"asked of one method; given are scores \{'by': 1, 'seed': 1, 'component': 4\}"
    ):
        points_at(scores([0, 3, 1, 2]))
    with pytest.raises(Refused, match="Scores of 1 seeds came with 2 numbers of pairs"):
        points_at(of_method("drift"), [40, 40])
    with pytest.raises(Refused, match="Scores of 1 seeds came with 0 numbers of pairs"):
        points_at(np.zeros((1, 3)))
