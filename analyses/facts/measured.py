"""What is measured of the facts that networks know: what their loss costs, and how far methods may be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

import interp
import models
from analyses.facts.planted_standings import FIRST
from analyses.facts.planted_trials import FLOOR, Examined

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

OUTPUTS = ("blocks.*.hook_attn_out", "blocks.*.hook_mlp_out")
PASSED = 0.9
MOST_ASKED = 400


def halves(known: models.Dataset) -> models.Dataset:
    """The facts in two halves, one to fit probes on and one to judge them by, each object in both."""
    order = np.argsort(known.targets.numpy(), kind="stable")
    split = np.empty(len(known), dtype=object)
    split[order] = np.resize(["probe", "test"], len(known))
    return replace(known, examples=known.examples.assign(split=split))


def loses(model: models.HookedModel, known: models.Dataset) -> xr.DataArray:
    """The share of facts lost, `[component, pos, seed]`, when an output is replaced by that of another fact.

    Each seed is asked facts of its own.
    """
    import torch

    asked = known.subset(np.arange(0, len(known), max(1, len(known) // MOST_ASKED)))
    shares = torch.from_numpy(interp.disjoint_shares(len(model.every_seed), len(asked)))
    effects = interp.ablation(
        model,
        asked,
        lambda logits: (logits.argmax(-1) == asked.targets.expand(logits.shape[:-1])).double(),
        hooks=OUTPUTS,
        along=("pos",),
        by="resample",
        at=-1,
    )
    change = -effects.change.transpose("edit", "seed", "example")
    mean = (change * shares.numpy()).sum("example") / shares.sum(-1).numpy()
    index = {
        "component": [component(name) for name in change["hook"].to_numpy()],
        "pos": change["pos"].to_numpy(),
    }
    labelled = mean.drop_vars([name for name in mean.coords if name != "seed"])
    labelled = labelled.assign_coords({name: ("edit", values) for name, values in index.items()})
    return labelled.set_index(edit=["component", "pos"]).unstack("edit").transpose("component", "pos", "seed")


def component(hook: str) -> str:
    """`blocks.0.hook_mlp_out` as `blocks.0.mlp`."""
    return hook.replace("hook_", "").removesuffix("_out")


def accuracies(trials: Sequence[Examined]) -> pd.DataFrame:
    """For each method: its accuracy where facts were planted, by the scores that answer, and whether it passed.

    Those are scores less the leaning in the other trials. A method passes that finds each attention and each MLP.
    """
    import pandas as pd

    rows = pd.concat(
        [
            interp.standings(
                trial.scores - leanings([o for o in trials if o is not trial]), trial.right, tier=FIRST
            )
            for trial in trials
            if trial.scores is not None
        ],
        ignore_index=True,
    )
    rows = rows[~rows["method"].str.contains("leak|oracle")]
    places = rows.pivot_table(index="method", columns="component", values="auroc", sort=False, dropna=False)
    inner = places[[name for name in places.columns if name.endswith(("attn", "mlp"))]]
    table = pd.DataFrame(
        {
            "auroc": places.mean(axis=1),
            "top1": rows.groupby("method")["top1"].mean(),
            "components_seen": places.notna().sum(axis=1),
            "lowest_of_attentions_and_mlps": inner.min(axis=1, skipna=False),
        }
    )
    table["passed"] = (table["lowest_of_attentions_and_mlps"] >= PASSED) & (table.index != FLOOR)
    return table.sort_values("auroc", ascending=False)


def leanings(trials: Sequence[Examined]) -> xr.DataArray:
    """Each method's mean score of a component, `[by, component]`, where facts were planted into another.

    Facts learned late lean on some components more than older ones do, wherever they are held. Methods that do not
    compare pairs have none.
    """
    import xarray

    elsewhere = [
        trial.scores.mean("seed").where(~trial.scores["component"].isin(trial.right))
        for trial in trials
        if trial.scores is not None
    ]
    leaning = xarray.concat(elsewhere, dim="trial").mean("trial")
    by_pairs = [isinstance(interp.METHODS.get(str(name)), interp.Paired) for name in leaning["by"].to_numpy()]
    return leaning.where(xarray.DataArray(by_pairs, dims="by"), 0.0)


def gone_with_old_weights(
    model: models.HookedModel, before: models.HookedModel, late: models.Dataset, older: models.Dataset
) -> xr.Dataset:
    """Shares of `late` and of `older` facts, `[seed, component]`, lost with a component's weights of before."""
    import xarray

    lost = models.lasting(model, before, model.components(), facts=late, others=older)
    axes = ["seed", "component"]
    return xarray.Dataset(
        {"late": (axes, lost.planted_lost), "older": (axes, lost.others_lost)},
        coords={"seed": list(model.every_seed), "component": list(lost.components)},
    )


def rank_correlations(scores: xr.DataArray, other: Float[np.ndarray, "seed component"]) -> list[float]:
    """Spearman's correlation for each seed, over the components that both see (NaN: not)."""
    from scipy.stats import spearmanr

    both = np.stack([scores.transpose("seed", "component").to_numpy(), other])
    seen = ~np.isnan(both).any((0, 1))
    return [float(spearmanr(*both[:, place][:, seen]).statistic) for place in range(both.shape[1])]


def tops(found: xr.DataArray, method: str) -> str:
    """Where a method scores highest, and in how many seeds."""
    scores = found.sel(by=method).transpose("seed", "component")
    best = scores["component"].to_numpy()[scores.fillna(-np.inf).argmax("component").to_numpy()]
    names, counts = np.unique(best, return_counts=True)
    return ", ".join(f"{names[place]} in {counts[place]}" for place in np.argsort(-counts, kind="stable"))
