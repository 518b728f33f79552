"""What the question of where facts are shows: its figures, and what a reader must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import interp
from analyses.facts.measured import PASSED, component, tops
from analyses.facts.planted_trials import FLOOR, ORACLE
from analyses.facts.seen import above, cells, of_series

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def figures(
    decoding: interp.Decoding,
    lost: xr.DataArray,
    found: xr.DataArray,
    passed: Sequence[str],
    gone: xr.Dataset,
) -> dict[str, Any]:
    """What is readable, what is used, and where facts learned last are held, if a method passed that can say so."""
    drawn = {"readable": readable(decoding), "used": used(lost), "old_weights": old_weights(gone)}
    return drawn | {"held": held(found, passed)} if passed else drawn


def readable(decoding: interp.Decoding) -> Any:
    """The object, decoded from each output, beside the controls."""
    controls = ("untrained network", "shuffled labels")
    spots = [
        interp.Spot.over_seeds(component(str(hook)), name, decoding.under(str(hook), name))
        for name in ("trained", *controls)
        for hook in decoding.accuracy["hook"].to_numpy()
    ]
    return interp.interval_plot(
        spots,
        measure="accuracy of the probe",
        caption="How well the object is decoded, at the answer, from what each attention and MLP puts out; for "
        "facts that the probe was not fitted on. Intervals over seeds. "
        f"{above(spots, 'trained', controls)} {of_series([spot for spot in spots if spot.series == 'trained'])}",
    )


def used(lost: xr.DataArray) -> Any:
    """What is lost without each output, position by position."""
    shares = lost.mean("seed").round(2)
    return interp.heatmap(
        shares,
        measure="share of the facts lost",
        caption="How many facts are lost when an output at a position is replaced by another fact's (0 and 1: the "
        f"subject, 2: the relation, where the answer is due). Mean over seeds. {cells(shares)}",
    )


def old_weights(gone: xr.Dataset) -> Any:
    """What goes with each component's old weights."""
    spots = [
        interp.Spot.over_seeds(str(name), kind, gone[key].sel(component=name).to_numpy())
        for kind, key in (("learned last", "late"), ("older", "older"))
        for name in gone["component"].to_numpy()
    ]
    return interp.interval_plot(
        spots,
        measure="share of the facts lost",
        caption="Facts that go when a component gets back the weights it had before the last tenth was learned. "
        f"Intervals over seeds. {above(spots, 'learned last', ['older'])} {of_series(spots)}",
    )


def held(found: xr.DataArray, passed: Sequence[str]) -> Any:
    """The scores of the methods that passed, and luck's."""
    spots = [
        interp.Spot.over_seeds(str(name), method, found.sel(by=method, component=name).to_numpy())
        for method in (*passed, FLOOR)
        for name in found["component"].to_numpy()
        if not bool(found.sel(by=method, component=name).isnull().any())
    ]
    return interp.interval_plot(
        spots,
        measure="score (standardised difference), less its leaning",
        caption="Facts learned last against older facts of a like margin, by the methods that passed where the "
        "truth is known, less what they give components where facts were planted elsewhere; beside them luck. "
        f"Intervals over seeds. {of_series(spots)}",
    )


def compared(scores: xr.DataArray) -> str:
    """How many pairs of facts the scores rest on."""
    pairs = scores.attrs["pairs"]
    return f"Facts learned last are compared with older ones in {min(pairs)} to {max(pairs)} pairs a seed."


def notes(
    seeds: int,
    accuracy: pd.DataFrame,
    found: xr.DataArray,
    passed: Sequence[str],
    decoding: interp.Decoding,
) -> list[str]:
    """What a reader must know to weigh the verdicts, and where the methods disagree."""
    answers: Mapping[str, str] = {method: tops(found, method) for method in accuracy.index if method != FLOOR}
    return [
        f"A method passed with an AUROC of {PASSED} or more wherever facts were planted into an attention or an MLP. "
        f"Passed: {', '.join(passed) or 'none, so no method answers'}.",
        "A score says how surely facts learned last are told from older ones by what a component does to them, not how "
        "much of them it holds; and an MLP has twice the weights of an attention.",
        "What a method gives a component where facts were planted elsewhere, its leaning, is taken off its scores: "
        "facts learned late use some components more than older ones do, wherever they are held.",
        *(
            f"{row.Index}: AUROC {row.auroc:.2f}, top-1 {row.top1:.2f} where the truth is known "
            f"({row.components_seen} components seen); highest here: {answers[str(row.Index)]} of {seeds} seeds."
            for row in accuracy.itertuples()
            if row.passed
        ),
        "Highest by methods that did not pass: "
        + "; ".join(f"{name}: {where}" for name, where in answers.items() if name not in passed)
        + ".",
        "Old weights are put into a network whose other weights went on: what is lost may be what they were tied to.",
        f"The oracle, how far each component's weights moved while the last facts were learned: {tops(found, ORACLE)}. "
        "It knows the history; that weights moved does not say that facts are there.",
        "Accuracy was measured on facts planted into one component; these facts were learned by all weights together, "
        "and a method that finds the one need not tell shares of the other rightly.",
        f"{seeds} networks share one made-up world of arbitrary facts: verdicts hold for it.",
        f"Probes choose among {len(decoding.classes)} objects.",
    ]
