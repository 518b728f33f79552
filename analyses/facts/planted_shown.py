"""What the question of planted facts shows: its tables, its figures, and what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import interp
from analyses.facts.planted_standings import (
    FOLLOWED,
    certified,
    of_seed,
    pointing,
    rank_correlations,
    summary,
)
from analyses.facts.planted_trials import FLOOR, LARGE, LEAK, ORACLE, Examined, World
from analyses.facts.seen import best_of_columns, beyond, extremes, of_series
from models.training.tiers import TIERS, Tier

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def tables(
    trials: Sequence[Examined], board: pd.DataFrame, changed: Sequence[xr.DataArray | None]
) -> dict[str, pd.DataFrame]:
    """The leaderboard row by row, a table of methods and components per tier, certificates, and the rest."""
    import pandas as pd

    found = {"leaderboard": board}
    for tier in board["tier"].unique():
        own = board[board["tier"] == tier]
        wide = own.pivot_table(index="method", columns="component", values="auroc", sort=False, dropna=False)
        top1 = own.groupby("method")["top1"].mean()
        wide = wide.assign(seen=wide.notna().sum(axis=1), mean=wide.mean(axis=1), mean_top1=top1)
        wide = wide.sort_values("mean", ascending=False).reset_index()
        found[f"auroc_{tier.replace(' ', '_')}"] = wide.astype(object).where(wide.notna(), "cannot see")
    found["summary"] = summary(board)
    found["certificates"] = pd.DataFrame([row for trial in trials for row in certified(trial)])
    found["pairs"] = pd.DataFrame(
        [
            {"tier": trial.tier, "component": trial.name, "seed": seed, "pairs": pairs}
            for trial in trials
            if trial.scores is not None
            for seed, pairs in zip(
                trial.scores["seed"].to_numpy().tolist(), trial.scores.attrs["pairs"], strict=True
            )
        ]
    )
    sham = pointing([trial for trial in trials if trial.tier == "sham"])
    if not sham.empty:
        found["sham_pointing"] = sham.groupby("method", sort=False)["points"].mean().reset_index()
    ranks = rank_correlations(trials, changed)
    if not ranks.empty:
        found["score_against_editing"] = ranks
    if edited_shares := [
        (trial.name, component, seed, float(success.sel(seed=seed, component=component)))
        for trial, success in zip(trials, changed, strict=False)
        if success is not None
        for component in success["component"].to_numpy().tolist()
        for seed in success["seed"].to_numpy().tolist()
    ]:
        columns = ["planted", "edited", "seed", "share_of_facts_changed"]
        found["editing"] = pd.DataFrame(edited_shares, columns=columns)
    return {name: table.astype(object).where(table.notna(), None) for name, table in found.items()}


def figures(board: pd.DataFrame) -> dict[str, Any]:
    """AUROC of the methods followed through all tiers, where there are several, and of all methods on each."""
    shown = [method for method in (*FOLLOWED, FLOOR, LEAK, ORACLE) if method in set(board["method"])]
    tiers = [tier for tier in board["tier"].unique() if tier != "sham"]
    spots = [
        interp.Spot.over_seeds(tier, method, values)
        for method in shown
        for tier in tiers
        for values in [of_seed(board, tier, method).dropna().to_numpy()]
        if len(values) > 1
    ]
    first = [
        interp.Spot.over_seeds(method, "mean over components", values)
        for method in sorted(
            dict.fromkeys(board["method"]), key=lambda m: -float(of_seed(board, tiers[0], m).mean() or 0)
        )
        for values in [of_seed(board, tiers[0], method).dropna().to_numpy()]
        if len(values) > 1
    ]
    drawn = {
        "methods": interp.interval_plot(
            first,
            measure="AUROC of the planted component",
            caption=f"How well each method tells the planted component from the others ({tiers[0]}). Intervals over "
            f"seeds. {extremes(first)} {beyond(first, 0.5, called='luck')}",
            lines={"luck": 0.5},
        )
    }
    if len(tiers) > 1:
        drawn["tiers"] = interp.interval_plot(
            spots,
            measure="AUROC of what was planted",
            caption="The methods named beforehand, the floor (random), the leak and the oracle, tier by tier. "
            f"Intervals over seeds. {of_series(spots)}",
            lines={"luck": 0.5},
        )
    return drawn | {f"leaderboard_{tier.replace(' ', '_')}": grid(board, tier) for tier in tiers}


def grid(board: pd.DataFrame, tier: Tier) -> Any:
    """Methods down, planted components across: the mean AUROC over seeds; blank where a method cannot see."""
    import xarray

    own = board[board["tier"] == tier]
    wide = own.pivot_table(index="method", columns="component", values="auroc", sort=False, dropna=False)
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False).index]
    axes = {"method": list(wide.index), "planted": list(wide.columns)}
    shown = xarray.DataArray(wide.round(2).to_numpy(), coords=axes, dims=list(axes))
    return interp.heatmap(
        shown,
        measure="AUROC, mean over seeds",
        caption=f"The leaderboard ({tier}): where facts were planted across, methods down, the best first. Blank: the "
        f"method cannot see that component. {best_of_columns(shown)}",
    )


def notes(world: World, tiers: Sequence[Tier], trials: Sequence[Examined], *, edits: bool) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    said = [
        f"{world.seeds} networks share one world of {world.subjects} subjects: verdicts hold for it.",
        "A method is judged on the components it can see: ablation and tracing have nothing to replace at the "
        "unembedding. The tables say 'cannot see' there.",
        "Facts in question are compared with facts of a like margin, in at most 200 pairs a seed.",
        "The leak is no method: planting makes weights longer, and whoever measures lengths finds it without "
        "looking at any fact. With two plantings it cannot know which facts are asked about: only there can a method "
        "be shown to do better. The oracle knows the weights before planting.",
        "Methods see different components, so their means are over different fields: key-value reading tells two MLPs "
        "apart. The column `seen` of the tables says how many.",
        "Editing counts the facts changed, not what else was lost; Hase et al. found that tracing does not tell where "
        "editing works.",
        f"Beyond the first tier claims are made for the methods named beforehand ({', '.join(FOLLOWED)}); the tables "
        "have all.",
    ]
    if world.subjects < LARGE:
        said.append(
            "How far drift goes was chosen on a world of this kind (150 subjects, d_model 32): these figures "
            "flatter it, those of the full size are of another."
        )
    for trial in trials:
        if trial.left_out or trial.scores is None:
            seeds = f"without seeds {', '.join(map(str, trial.left_out))}: their planting was not certified"
            said.append(f"{trial.tier}, {trial.name}: {trial.why_not or seeds}.")
    if not edits:
        said.append("Whether scores say where editing works was not asked (edits=False).")
    left = [tier for tier in TIERS if tier not in tiers]
    if left:
        said.append(f"Tiers left out: {', '.join(left)}.")
    return said
