"""The leaderboard's tables and figures hold where plantings failed, seeds were left out and methods cannot see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import interp
import models
from analyses.facts.planted_shown import figures, notes, tables
from analyses.facts.planted_standings import leaderboard, of_seed
from analyses.facts.planted_trials import FLOOR, LEAK, ORACLE, Examined, World
from analyses.which_method_finds_planted_facts import QUESTION, Config, finds, points_nowhere

COMPONENTS = ("embed", "blocks.0.attn", "blocks.0.mlp", "unembed")
METHODS = ("drift", "mean ablation", "shrinking", FLOOR, LEAK, ORACLE)


def certificate(component: str) -> models.Certificate:
    shares = (0.9,) * 7
    return models.Certificate(
        component, tuple(range(7)), 20, 100, (0.0,) * 7, shares, (0.0,) * 7, shares, shares, shares, (), 5
    )


def examined(tier: models.Tier, right: tuple[str, ...], seeds: int = 7, *, later: bool = False) -> Examined:
    """Scores that put the right component first by drift, at random by all else; ablation cannot see the last."""
    draw = np.random.default_rng(0).standard_normal((len(METHODS), seeds, len(COMPONENTS)))
    draw[0, :, [COMPONENTS.index(name) for name in right]] = 9.0
    draw[1, :, -1] = np.nan
    axes = {"by": [*METHODS], "seed": [*range(seeds)], "component": [*COMPONENTS]}
    scores = xr.DataArray(draw, coords=axes, dims=[*axes], attrs={"pairs": [20] * seeds})
    lost = models.Lasting(COMPONENTS, *np.random.default_rng(1).random((2, 7, len(COMPONENTS))))
    return Examined(
        tier,
        right,
        scores if seeds else None,
        20,
        tuple(range(seeds, 7)),
        tuple(map(certificate, right)),
        lost if later else None,
        "" if seeds else "no seed's planting was certified",
    )


TRIALS = [
    *(examined("one component", (name,)) for name in COMPONENTS),
    examined("few facts", ("embed",), seeds=1),
    examined("heads", ("embed",), seeds=0),
    examined("split", ("embed", "unembed"), later=True),
    examined("rehearsed", ("unembed",), seeds=5, later=True),
]


def test_a_report_comes_of_plantings_of_which_some_failed(tmp_path: Path) -> None:
    config, board = (
        Config(tiers=("one component", "few facts", "heads", "split", "rehearsed")),
        leaderboard(TRIALS),
    )
    success = xr.DataArray(
        np.full((7, 4), 0.5),
        coords={"seed": [*range(7)], "component": [*COMPONENTS]},
        dims=["seed", "component"],
    )
    report = interp.Report(
        question=QUESTION,
        analysis="which_method_finds_planted_facts",
        config=config,
        claims=interp.judge([*finds(board, config), *points_nowhere(TRIALS)], error_rate=0.05),
        tables=tables(TRIALS, board, [success, None, success, success]),
        figures=figures(board),
        notes=notes(World(1_000, 7, 300), config.tiers, TRIALS, edits=True),
        provenance=interp.gather(seeds=range(7), data={"world": "0"}, run_time_seconds=1.0),
    )
    interp.write(report, tmp_path / "report")
    assert (
        (tmp_path / "report" / "tables" / "leaderboard.csv")
        .read_text()
        .startswith("method,tier,component,seed,")
    )
    summary = report.tables["summary"].set_index(["tier", "method"])
    assert summary.loc[("one component", "drift"), ["auroc", "auroc_low", "top1"]].tolist() == [1, 1, 1]
    assert summary.loc[("few facts", "drift"), "auroc_low"] is None
    assert "heads, embed: no seed's planting was certified." in report.notes
    lost = report.tables["certificates"].set_index("tier")["lost_in_the_end"]
    assert lost["one component"].isna().all()
    assert lost["rehearsed"].notna().all()


def test_a_small_world_is_said_to_be_the_one_that_drift_was_chosen_on() -> None:
    for subjects, said in ((150, True), (1_000, False)):
        told = notes(World(subjects, 7, 300), ("one component",), TRIALS, edits=True)
        assert any("flatter" in note for note in told) == said


@pytest.mark.parametrize("tier", ["heads", "sham"])
def test_a_tier_without_plantings_has_no_figures(tier: str) -> None:
    assert of_seed(leaderboard(TRIALS), tier, "drift").empty


def test_tiers_are_drawn_where_there_are_several() -> None:
    one, all_tiers = (set(figures(leaderboard(trials))) for trials in (TRIALS[:4], TRIALS))
    assert one == {"methods", "leaderboard_one_component"}
    assert "tiers" in all_tiers


def test_quick_settings_have_seeds_enough_for_a_few_tests_to_agree() -> None:
    from analyses.where_are_facts import Config as Where
    from interp.reporting.power import Comparison, fewest_at_once

    for seeds in (Where.quick().seeds, Config.quick().seeds):
        test = Comparison(seeds, 1)
        fewest = fewest_at_once(test.smallest_p, [test] * 14, error_rate=0.05)
        assert fewest is not None
        assert fewest <= 3


def test_methods_of_one_standing_are_drawn_in_the_order_of_the_leaderboard() -> None:
    drift = leaderboard(TRIALS[:4]).query("method == 'drift'")
    names = [f"twin {place}" for place in (7, 2, 9, 4, 1)]
    board = pd.concat([drift.assign(method=name) for name in names], ignore_index=True)
    places = [figures(board)["methods"].alt.index(name) for name in names]
    assert places == sorted(places)
