"""From trials to numbers: the leaderboard, who points where nothing is, ranks against editing, certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import interp
from analyses.facts.planted_trials import Examined
from models.training.tiers import Tier

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FIRST: Tier = "one component"
FEWEST_SEEDS = 6
FOLLOWED = ("drift", "mean ablation", "shrinking")


def leaderboard(trials: Sequence[Examined]) -> pd.DataFrame:
    """A row for each method, tier, component and seed; draws of the sham tier are averaged."""
    import pandas as pd

    rows = pd.concat([part for trial in trials for part in trial.standings()], ignore_index=True)
    keys = ["method", "tier", "component", "seed"]
    return rows.groupby(keys, sort=False)[["auroc", "top1"]].mean().reset_index()


def of_seed(
    board: pd.DataFrame, tier: str, method: str, *, like: str | None = None, figure: str = "auroc"
) -> pd.Series[Any]:
    """A method's AUROC (or top-1) for each seed, the mean over the places it can see (or those that `like` can).

    Of seeds certified at every such place, where those are six or more (fewer decide nothing); else of each over the
    places it has.
    """
    own = board[board["tier"] == tier].set_index(["component", "seed", "method"])
    rows = own[figure].unstack("method")
    if not {method, like or method} <= set(rows.columns):  # no planting of this tier was certified
        return rows.iloc[:0].mean(axis=1)
    seen = rows[rows[like or method].notna()][method].unstack("component")
    whole = seen.dropna()
    return (whole if len(whole) >= FEWEST_SEEDS else seen).mean(axis=1)


def summary(board: pd.DataFrame) -> pd.DataFrame:
    """A row for each tier of plantings and method: AUROC and top-1, the mean of places, with intervals over seeds
    (those of `of_seed`)."""
    import pandas as pd

    rows = []
    planted = board[board["tier"] != "sham"]
    for (tier, method), own in planted.dropna().groupby(["tier", "method"], sort=False):
        row: dict[str, Any] = {"tier": tier, "method": method, "places": own["component"].nunique()}
        for figure in ("auroc", "top1"):
            of_seeds = of_seed(board, str(tier), str(method), figure=figure).dropna().to_numpy()
            low, high = interp.measured(of_seeds).interval if len(of_seeds) > 1 else (None, None)
            row |= {
                "seeds": len(of_seeds),
                figure: of_seeds.mean(),
                f"{figure}_low": low,
                f"{figure}_high": high,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def pointing(trials: Sequence[Examined]) -> pd.DataFrame:
    """For each trial, method by pairs and seed: whether it points anywhere."""
    import pandas as pd

    rows = []
    for trial in trials:
        if trial.scores is None:
            continue
        for method, how in interp.METHODS.items():
            if isinstance(how, interp.Paired):
                pointed = interp.points_at(trial.scores.sel(by=method))
                seeds = trial.scores["seed"].to_numpy().tolist()
                rows += [(method, seeds[place], bool(pointed[place].any())) for place in range(len(seeds))]
    return pd.DataFrame(rows, columns=["method", "seed", "points"])


def rank_correlations(trials: Sequence[Examined], changed: Sequence[xr.DataArray | None]) -> pd.DataFrame:
    """Score against success of editing, for each trial, method and seed, over components all FOLLOWED methods see."""
    import numpy as np
    import pandas as pd
    from scipy.stats import spearmanr

    rows = []
    for trial, success in zip([trial for trial in trials if trial.tier == FIRST], changed, strict=False):
        if trial.scores is None or success is None:
            continue
        seen = ~trial.scores.sel(by=list(FOLLOWED)).isnull().any(("by", "seed")).to_numpy()
        for method in trial.scores["by"].to_numpy():
            scores = trial.scores.sel(by=method).transpose("seed", "component").to_numpy()
            for seed, own, done in zip(success["seed"].to_numpy(), scores, success.to_numpy(), strict=True):
                if (
                    not np.isnan(own[seen]).any()
                    and seen.sum() > 2
                    and np.ptp(own[seen]) > 0
                    and np.ptp(done[seen]) > 0
                ):
                    found = float(spearmanr(own[seen], done[seen]).statistic)
                    rows.append((str(method), trial.name, int(seed), found))
    return pd.DataFrame(rows, columns=["method", "component", "seed", "rank_correlation"])


def certified(trial: Examined) -> list[dict[str, Any]]:
    """What each planting of a trial came to, a row for each seed; last, what of the facts asked about is lost in the
    end with its old weights, where more was trained."""
    return [
        {
            "tier": trial.tier,
            "component": certificate.component,
            "seed": seed,
            "asked_to_hold": certificate.planted,
            "holds": round(certificate.planted * after),
            "known_before": round(certificate.planted * before),
            "known_with_old_weights": round(certificate.planted * restored),
            "others_known_before": kept_before,
            "others_kept": kept,
            "certified": seed not in trial.left_out,
            **lost_in_the_end(trial, certificate.component, place),
        }
        for certificate in trial.certificates
        for place, (seed, before, after, restored, kept_before, kept) in enumerate(
            zip(
                certificate.seeds,
                certificate.planted_before,
                certificate.planted_after,
                certificate.planted_restored,
                certificate.kept_before,
                certificate.kept_after,
                strict=True,
            )
        )
    ]


def lost_in_the_end(trial: Examined, component: str, place: int) -> dict[str, float | None]:
    """Shares of the facts asked about and of the others that go with a component's old weights; `place` of the seed."""
    if trial.lasting is None:
        return {"lost_in_the_end": None, "others_lost_in_the_end": None}
    column = trial.lasting.components.index(component)
    lost, others = (
        shares[place, column] for shares in (trial.lasting.planted_lost, trial.lasting.others_lost)
    )
    return {"lost_in_the_end": float(lost), "others_lost_in_the_end": float(others)}
