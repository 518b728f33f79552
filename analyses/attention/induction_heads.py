"""Do two layers make induction heads, and one none (T5)?

An induction head looks behind the earlier occurrence of the current token and says what stood there. It needs to know
what stood before each place, which another head must have moved there: so it takes two layers (Elhage et al. 2021,
https://transformer-circuits.pub/2021/framework/; Olsson et al. 2022, https://arxiv.org/abs/2209.11895).

Heads are chosen by the rows of the `probe` split, and every figure is from `test`. The head that matches prefixes best
is "the" induction head, though several may share the work; the one of layer 0 that looks at the token before best is
"the" previous-token head. Ablation puts the mean over the probe rows in place of what a head gathered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models
from analyses.attention.induction_rows import right_by_position
from analyses.attention.subjects import Found, OneLayer, Subject

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from torch import Tensor

    from analyses.attention.subjects import Numbers

ELHAGE = "Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/"
OLSSON = "Olsson et al. 2022, https://arxiv.org/abs/2209.11895"
MATCHING = "prefix-matching score of the best head, chosen on other rows"


def deeper(subject: Subject, one: OneLayer) -> Found:
    """Accuracy and heads of two layers beside those of one, and what the heads are good for."""
    judged = {name: subject.per_unit(values) for name, values in accuracies(subject, one).items()}
    matching = {name: subject.per_unit(values) for name, values in matchings(subject, one).items()}
    evidence = [
        _two_layers(judged),
        _one_layer(judged),
        interp.Evidence(
            "Two layers make a head that looks for what followed the current token before; one layer does not as much.",
            OLSSON,
            MATCHING,
            matching["two layers"],
            interp.ExceedsControls(),
            {name: values for name, values in matching.items() if name != "two layers"},
        ),
        says_it(subject),
        used(subject),
        composed(subject),
    ]
    tables = {"depth": by_unit({**_named(judged, "accuracy"), **_named(matching, "matching")})}
    return Found(evidence, tables=tables, figures=figures(subject, judged, matching))


def in_stories(subject: Subject) -> Found:
    """Heads of a network that nobody trained on such rows."""
    matching = {name: subject.per_unit(values) for name, values in own_matchings(subject).items()}
    network = matching.pop("network")
    evidence = [
        interp.Evidence(
            "In rows of random word pieces stories260K has a head that looks for what followed the current one before.",
            OLSSON,
            MATCHING,
            network,
            interp.ExceedsControls(),
            matching,
        ),
        says_it(subject),
    ]
    return Found(evidence, figures={"heads": heads_figure(subject)})


def accuracies(subject: Subject, one: OneLayer) -> dict[str, xr.DataArray]:
    """The share of a row's questions answered rightly, `[(seed), example]`, by networks and by position alone."""
    import xarray as xr

    data, test = subject.rows, subject.rows.test
    networks = {
        "two layers": subject.model,
        "one layer": one.narrow,
        "one layer, twice the heads": one.wide,
        "untrained": subject.untrained,
    }
    position = right_by_position(test, learned_from=data.network).numpy()
    return {name: right(model, test) for name, model in networks.items()} | {
        "position alone": xr.DataArray(position, dims="example")
    }


def right(model: Any, data: models.Dataset) -> xr.DataArray:
    """The share of each row's questions that a network answers rightly, `[(seed), example]`."""
    import torch
    import xarray as xr

    with torch.no_grad():
        values = share_right(model(data.inputs), data).numpy(force=True)
    return xr.DataArray(values, dims=("seed", "example")[2 - values.ndim :])


def share_right(logits: Tensor, data: models.Dataset) -> Tensor:
    """`[*seed, example]` from `[*seed, example, pos, token]`."""
    targets = data.targets.to(logits.device)
    asked = targets >= 0
    return ((logits.argmax(-1) == targets) & asked).sum(-1) / asked.sum(-1)


def matchings(subject: Subject, one: OneLayer) -> dict[str, xr.DataArray]:
    """Prefix matching of the best head of each network, and of what is left of it by position alone."""
    own = own_matchings(subject)
    return (
        {"two layers": own.pop("network")}
        | {
            "one layer": best_matching(one.narrow, subject.rows),
            "one layer, twice the heads": best_matching(one.wide, subject.rows),
        }
        | own
    )


def own_matchings(subject: Subject) -> dict[str, xr.DataArray]:
    """Prefix matching of the network's best head, and its controls."""
    best = chosen(subject.model, subject.rows, "prefix_matching")
    scores = interp.head_scores(subject.model, subject.rows.test.inputs)
    own = picked(scores["prefix_matching"], best)
    return {
        "network": own,
        "untrained": best_matching(subject.untrained, subject.rows),
        "its mean pattern (position alone)": picked(scores["by_position"], best),
        "other heads": others(scores["prefix_matching"], own),
    }


def best_matching(model: Any, rows: models.Dataset) -> xr.DataArray:
    """The prefix matching on test rows of the head that matches best on probe rows."""
    best = chosen(model, rows, "prefix_matching")
    return picked(interp.head_scores(model, rows.test.inputs)["prefix_matching"], best)


def chosen(model: Any, rows: models.Dataset, score: str, *, layer: int | None = None) -> xr.DataArray:
    """Which head has the highest score on the probe rows: its place among all, one for each seed."""
    scores = interp.head_scores(model, rows.probe.inputs)[score].mean("example")
    if layer is not None:
        scores = scores.where(scores["layer"] == layer, -np.inf)
    return placed(scores).argmax("place")


def placed(values: xr.DataArray) -> xr.DataArray:
    """Layers and heads as one axis, `place`."""
    return (
        values.stack(place=("layer", "head"))
        .reset_index("place")
        .drop_vars(("layer", "head"), errors="ignore")
    )


def picked(values: xr.DataArray, place: xr.DataArray) -> xr.DataArray:
    """The values of one head for each seed."""
    return placed(values).isel(place=place)


def others(values: xr.DataArray, own: xr.DataArray) -> xr.DataArray:
    """The mean over all heads but the one whose values are `own`: what a head picked at random would have."""
    everywhere = placed(values)
    count = everywhere.sizes["place"]
    return (everywhere.sum("place") - own) / (count - 1)


def _two_layers(judged: Mapping[str, Numbers]) -> interp.Evidence:
    return interp.Evidence(
        "Two layers say what followed the current token before more often than one layer does.",
        ELHAGE,
        "share of repeated tokens whose next token is said",
        judged["two layers"],
        interp.ExceedsControls(),
        {name: values for name, values in judged.items() if name != "two layers"},
    )


def _one_layer(judged: Mapping[str, Numbers]) -> interp.Evidence:
    return interp.Evidence(
        "One layer does not learn it: at most half of these tokens are said, with as many heads altogether.",
        ELHAGE,
        "share of repeated tokens whose next token is said, one layer with twice the heads",
        judged["one layer, twice the heads"],
        interp.LiesWithin(0.0, 0.5),
        {name: judged[name] for name in ("one layer", "position alone", "untrained")},
    )


def says_it(subject: Subject) -> interp.Evidence:
    """Copying of the induction head."""
    best = chosen(subject.model, subject.rows, "prefix_matching")
    scores = interp.copying(subject.model, subject.rows.test.inputs)
    untrained = interp.copying(subject.untrained, subject.rows.test.inputs)
    own = picked(scores, best)
    units = len(subject.shares)
    return interp.Evidence(
        "The head that looks for what followed before says what it looks at, more than other heads do.",
        OLSSON,
        "copying score: share of the vocabulary that the head raises less than the token it looks at",
        subject.per_unit(own),
        interp.ExceedsControls(),
        {
            "same head, untrained": subject.per_unit(picked(untrained, best)),
            "other heads": subject.per_unit(others(scores, own)),
            "luck": [0.5] * units,
        },
    )


def used(subject: Subject) -> interp.Evidence:
    """Ablation of the induction head."""
    test = subject.rows.test
    lost = accuracy_lost(subject.model, test, reference=subject.rows.probe)
    own = picked(lost, chosen(subject.model, subject.rows, "prefix_matching"))
    return interp.Evidence(
        "Without the head that looks for what followed before, networks lose more than without another head.",
        OLSSON,
        "accuracy lost when the head gives its mean",
        subject.per_unit(own),
        interp.ExceedsControls(),
        {"other heads": subject.per_unit(others(lost, own)), "nothing lost": [0.0] * len(subject.shares)},
    )


def composed(subject: Subject) -> interp.Evidence:
    """Ablation of the previous-token head, read off the induction head."""
    best = chosen(subject.model, subject.rows, "prefix_matching")
    before = chosen(subject.model, subject.rows, "previous_token", layer=0)
    lost = matching_lost(subject.model, subject.rows.test, reference=subject.rows.probe)
    of_best = picked(lost, best)
    own = of_best.isel(without=before)
    rest = (of_best.sum("without") - own) / (of_best.sizes["without"] - 1)
    return interp.Evidence(
        "What it looks for is moved by a head that looks at the token before: without that head of layer 0 it matches "
        "worse than without another.",
        ELHAGE,
        "prefix matching that the best head loses when a head of layer 0 gives its mean",
        subject.per_unit(own),
        interp.ExceedsControls(),
        {"another head of layer 0": subject.per_unit(rest)},
    )


def accuracy_lost(model: Any, data: models.Dataset, *, reference: models.Dataset) -> xr.DataArray:
    """How much accuracy each head's absence costs, `[layer, head, (seed), example]`."""
    found = interp.ablation(
        model,
        data.inputs,
        lambda logits: share_right(logits, data),
        hooks="blocks.*.attn.hook_z",
        along=("head",),
        by="mean",
        reference=reference.inputs,
    )
    lost = -found.change
    lost = lost.drop_vars([name for name in lost.coords if name not in ("layer", "head", "seed")])
    return lost.set_index(edit=("layer", "head")).unstack("edit")


def matching_lost(model: Any, data: models.Dataset, *, reference: models.Dataset) -> xr.DataArray:
    """How much prefix matching each head loses without each of layer 0, `[without, (seed), layer, head, example]`."""
    import xarray as xr

    hook = "blocks.0.attn.hook_z"
    mean = interp.capture(model, reference.inputs, hook)
    whole = interp.head_scores(model, data.inputs)["prefix_matching"]
    lost = []
    for head in range(mean[hook].sizes["head"]):
        with interp.edited(model, interp.mean(hook, mean, head=head)):
            lost.append(whole - interp.head_scores(model, data.inputs)["prefix_matching"])
    return xr.concat(lost, dim="without")


def _named(values: Mapping[str, Numbers], kind: str) -> dict[str, Numbers]:
    return {f"{kind}: {name}": one for name, one in values.items()}


def by_unit(values: Mapping[str, Numbers]) -> pd.DataFrame:
    """A row for each unit and measure."""
    import pandas as pd

    rows = [(name, unit, value) for name, one in values.items() for unit, value in enumerate(one)]
    table = pd.DataFrame(rows, columns=["measure", "unit", "value"])
    table.attrs["caption"] = "Accuracy and prefix matching, for each seed on its own test rows"
    return table


def figures(
    subject: Subject, judged: Mapping[str, Numbers], matching: Mapping[str, Numbers]
) -> dict[str, Any]:
    """What two layers and one reach, and what every head does."""
    places = {"accuracy": judged, "prefix matching of the best head": matching}
    spots = (
        [
            interp.Spot.over_seeds(place, name, one)
            for place, values in places.items()
            for name, one in values.items()
            if name in ("two layers", "one layer", "one layer, twice the heads", "untrained")
        ]
        if len(subject.shares) > 1
        else []
    )
    position = {"position alone": float(judged["position alone"].mean())}
    drawn = (
        {}
        if not spots
        else {
            "depth": interp.interval_plot(
                spots,
                measure="share, or weight",
                caption="Accuracy where a token has been seen before, and the weight that the best head gives to what "
                "followed it. Intervals over seeds; the line is the accuracy of the best fixed distance.",
                lines=position,
            )
        }
    )
    return drawn | {"heads": heads_figure(subject)}


def heads_figure(subject: Subject) -> Any:
    """Prefix matching of every head, the best head of each layer first; mean over rows and networks."""
    import xarray as xr

    scores = interp.head_scores(subject.model, subject.rows.test.inputs)
    names = {"prefix_matching": "prefix matching", "previous_token": "token before"}
    grids = []
    for name, words in names.items():
        ranked = scores[name].mean("example")
        ranked = ranked.copy(data=-np.sort(-ranked.values, axis=ranked.dims.index("head")))
        ranked = ranked.mean("seed") if "seed" in ranked.dims else ranked
        grids.append(
            ranked.assign_coords(layer=[f"layer {layer}: {words}" for layer in ranked["layer"].values])
        )
    both = xr.concat(grids, dim="layer").transpose("layer", "head")
    both = both.assign_coords(head=[f"{place + 1}." for place in range(both.sizes["head"])])
    return interp.heatmap(
        both.round(2).rename(layer="score", head="heads_of_a_layer_by_their_score"),
        measure="mean weight",
        caption="What the heads look at: what followed the current token before, and the token before. In each network "
        "the heads of a layer are put in order of the score.",
    )
