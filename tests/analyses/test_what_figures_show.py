"""Sentences under the figures of facts follow from the figures' numbers."""

from __future__ import annotations

import numpy as np
import xarray as xr

import interp
from analyses.facts.seen import above, best_of_columns, beyond, cells, ends, extremes, of_series

SPOTS = [
    interp.Spot("blocks.0.attn", "trained", 0.91, (0.90, 0.92)),
    interp.Spot("blocks.0.mlp", "trained", 0.30, (0.20, 0.40)),
    interp.Spot("embed", "trained", 0.908, (0.90, 0.92)),
    interp.Spot("blocks.0.attn", "untrained", 0.10, (0.05, 0.15)),
    interp.Spot("blocks.0.mlp", "untrained", 0.35, (0.30, 0.38)),
]
GRID = xr.DataArray(
    [[0.5, np.nan], [0.25, 1.0]],
    coords={"method": ["drift", "clipping"], "planted": ["embed", "head"]},
    dims=["method", "planted"],
)


def test_the_highest_and_the_lowest_are_named_and_what_reads_alike_together() -> None:
    assert extremes(SPOTS[:3]) == "Highest: blocks.0.attn and embed (0.91); lowest: blocks.0.mlp (0.30)."
    assert extremes(SPOTS[:3], decimals=3).startswith("Highest: blocks.0.attn (0.910);")
    assert extremes(SPOTS[:1]) == "blocks.0.attn: 0.91."
    assert of_series(SPOTS[3:]) == "Untrained, highest: blocks.0.mlp (0.35); lowest: blocks.0.attn (0.10)."


def test_means_are_compared_where_both_are() -> None:
    assert (
        above(SPOTS, "trained", ["untrained"]) == "The mean of trained is above untrained at 1 of 2 places."
    )


def test_intervals_are_held_against_a_line() -> None:
    assert beyond(SPOTS, 0.29, called="luck") == (
        "The whole interval lies above luck (0.29) for 3 of 5, below it for 1."
    )


def test_tables_name_their_ends_and_the_best_of_each_column() -> None:
    assert cells(GRID) == "Highest: clipping, planted head (1.00); lowest: clipping, planted embed (0.25)."
    assert best_of_columns(GRID) == "Highest in each column: embed: drift (0.50); head: clipping (1.00)."


def test_curves_are_told_by_their_ends() -> None:
    metric = {"with MLPs": np.array([[1.0, 9.0], [3.0, 11.0]])}
    said = ends(metric, [10, 2000], measure="facts known", step="parameter")
    assert said == "Mean facts known: with MLPs 2 at 10 parameters, 10 at 2,000 parameters."
