"""Where in a transformer are the facts it learned, in its attention or in its MLPs?

Three questions, of networks that learned made-up facts by heart, with all their weights:

- readable: can the object be decoded, at the answer, from what each attention and each MLP puts out, for facts that the
  probe was not fitted on? Against untrained networks and shuffled labels.
- used: how many facts are lost when what one of them puts out, at one position, is replaced by what it puts out for
  another fact? MLP against attention, layer by layer.
- held: the last tenth of the facts was learned last. Methods that look for facts say which components hold them more
  than they hold older facts of a like margin. Each method is first tried where the truth is known, on the same networks
  with facts planted into one component; its accuracy there is quoted beside its answer, and only methods that passed
  answer. What a method gives a component where facts were planted elsewhere, its leaning, is taken off. Where methods
  disagree is said.

Readable is not used, and used is not held: what attention moves is used for every fact and need hold none of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models
from analyses.planted_trials import (
    FLOOR,
    ORACLE,
    RELATIONS,
    Examined,
    World,
    examined,
    methods,
    planter,
    shared_out,
)
from interp.refusals import Refused

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

QUESTION = "Where in a transformer are the facts it learned: in its attention or in its MLPs?"
COURSE = "3Blue1Brown, Deep Learning, chapter 7"
OUTPUTS = ("blocks.*.hook_attn_out", "blocks.*.hook_mlp_out")
FIRST: models.Tier = "one component"
PASSED = 0.9
MOST_ASKED = 400


@dataclass(frozen=True)
class Config:
    """`subjects`: four facts each. `steps`: how long all weights learn the last tenth. `planting_steps`:
    how long a planting takes at most. `jobs`: processes.

    `error_rate`: the share of wrong verdicts aimed at among the decided ones.
    """

    seeds: int = 8
    subjects: int = 1_000
    steps: int = 400
    planting_steps: int = 300
    jobs: int = 2
    error_rate: float = 0.05

    def __post_init__(self) -> None:
        if self.jobs < 1 or self.steps < 1 or self.seeds < 4:
            raise Refused(
                "jobs and steps are 1 or more, seeds 4 or more (a leak is sought among three others); given "
                f"{self.jobs}, {self.steps}, {self.seeds}."
            )

    @staticmethod
    def quick() -> Config:
        """A smaller world, fewer seeds, a shorter time to learn the last tenth."""
        return Config(seeds=6, subjects=150, steps=200)


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks, reads, ablates, tries the methods on planted facts, asks those that passed."""
    begun = time.monotonic()
    world = World(config.subjects, config.seeds, config.planting_steps)
    made = planter(world)
    known = made.facts.subset(made.known)
    untrained = type(made.base)(made.base.config, seeds=made.base.every_seed)
    decoding = interp.decode(made.base, halves(known), OUTPUTS, label="object", untrained=untrained)
    lost = loses(made.base, known)

    tasks = [(world, FIRST, into) for into in made.names(FIRST)]
    trials = list(shared_out(examined, tasks, jobs=config.jobs))
    accuracy, leaning = accuracies(trials), leanings(trials)
    later = models.rehearsed(made.base, made.facts, steps=config.steps)
    scores = interp.localize(later, made.facts.subset(made.new), known, methods(made.base))
    found = scores - leaning
    passed = [name for name in accuracy.index if accuracy.loc[name, "passed"]]

    evidence = [*readable(decoding), *used(lost), *held(found, accuracy, passed), *agree(found, passed)]
    return interp.Report(
        question=QUESTION,
        analysis="where_are_facts",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate),
        tables={
            "methods": accuracy.reset_index().astype(object).where(lambda rows: rows.notna(), None),
            "scores": found.to_dataframe(name="score")
            .reset_index()
            .astype(object)
            .where(lambda rows: rows.notna(), None),
            "leaning": leaning.to_dataframe(name="score_where_planted_elsewhere").reset_index().dropna(),
            "facts_lost": lost.to_dataframe(name="share_lost").reset_index(),
            "decoding": decoding.to_dataframe(),
            "differences": interp.differences_table(evidence, error_rate=config.error_rate),
        },
        figures=figures(decoding, lost, found, passed),
        notes=[*notes(config, accuracy, found, passed, decoding), compared(scores)],
        provenance=interp.gather(
            seeds=made.base.every_seed,
            data={made.facts.name: made.facts.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


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


def readable(decoding: interp.Decoding) -> list[interp.Evidence]:
    """The object, decoded from each output at the answer."""
    return [
        interp.Evidence(
            f"Training makes the object decodable from {component(str(hook))} at the answer.",
            COURSE,
            "accuracy of a linear probe on facts it was not fitted on",
            decoding.of(str(hook)),
            interp.ExceedsControls(),
            {
                "untrained": decoding.of(str(hook), network="untrained"),
                "shuffled labels": decoding.of(str(hook), labels="shuffled"),
                "a guess that knows the relation": [RELATIONS / len(decoding.classes)]
                * len(decoding.of(str(hook))),
            },
        )
        for hook in decoding.accuracy["hook"].to_numpy()
    ]


def used(lost: xr.DataArray) -> list[interp.Evidence]:
    """What each layer's MLP and attention put out at the answer, one against the other."""
    answer_pos = int(lost["pos"].to_numpy()[-1])
    at_answer = {
        str(name): lost.sel(component=name, pos=answer_pos).to_numpy()
        for name in lost["component"].to_numpy()
    }
    layers = sorted({name.rpartition(".")[0] for name in at_answer})
    return [
        interp.Evidence(
            f"More facts are lost when {layer}.mlp puts out another fact's at the answer than when {layer}.attn does.",
            COURSE,
            "share of the facts by which the accuracy falls",
            at_answer[f"{layer}.mlp"],
            interp.ExceedsControls(),
            {"attention": at_answer[f"{layer}.attn"]},
        )
        for layer in layers
        if {f"{layer}.mlp", f"{layer}.attn"} <= set(at_answer)
    ]


def held(found: xr.DataArray, accuracy: pd.DataFrame, passed: Sequence[str]) -> list[interp.Evidence]:
    """Facts learned last: the mean score of MLPs against that of attentions, by each method that passed."""
    auroc = {str(name): float(value) for name, value in accuracy["auroc"].items()}
    names = [str(name) for name in found["component"].to_numpy()]
    kinds = {kind: [name for name in names if name.endswith(kind)] for kind in ("mlp", "attn")}
    return [
        interp.Evidence(
            f"By {method} (AUROC {auroc[method]:.2f} where the truth is known), the MLPs set facts "
            "learned last apart from older ones more than the attentions do.",
            COURSE,
            "mean score of the MLPs, less its leaning, against that of the attentions",
            found.sel(by=method, component=kinds["mlp"]).mean("component").to_numpy(),
            interp.ExceedsControls(),
            {"attentions": found.sel(by=method, component=kinds["attn"]).mean("component").to_numpy()},
        )
        for method in passed
    ]


def agree(found: xr.DataArray, passed: Sequence[str]) -> list[interp.Evidence]:
    """Whether the methods that passed rank the components alike, seed by seed, more than luck ranks them."""
    if len(passed) < 2:
        return []
    pairs = [(one, other) for place, one in enumerate(passed) for other in passed[place + 1 :]]
    return [
        interp.Evidence(
            "The methods that passed rank the components alike.",
            "this project",
            "Spearman's rank correlation of two methods' scores over components both see, mean over pairs of methods",
            np.mean([rank_correlations(found, *pair) for pair in pairs], axis=0),
            interp.ExceedsControls(),
            {"random scores": np.mean([rank_correlations(found, name, FLOOR) for name in passed], axis=0)},
        )
    ]


def rank_correlations(found: xr.DataArray, one: str, other: str) -> list[float]:
    """Spearman's correlation of two methods for each seed, over the components that both see."""
    from scipy.stats import spearmanr

    both = np.stack([found.sel(by=name).transpose("seed", "component").to_numpy() for name in (one, other)])
    seen = ~np.isnan(both).any((0, 1))
    return [float(spearmanr(*both[:, place][:, seen]).statistic) for place in range(both.shape[1])]


def tops(found: xr.DataArray, method: str) -> str:
    """Where a method scores highest, and in how many seeds."""
    scores = found.sel(by=method).transpose("seed", "component")
    best = scores["component"].to_numpy()[scores.fillna(-np.inf).argmax("component").to_numpy()]
    names, counts = np.unique(best, return_counts=True)
    return ", ".join(f"{names[place]} in {counts[place]}" for place in np.argsort(-counts, kind="stable"))


def figures(
    decoding: interp.Decoding, lost: xr.DataArray, found: xr.DataArray, passed: Sequence[str]
) -> dict[str, Any]:
    """What is readable, what is used, and where facts learned last are held."""
    conditions = {
        "trained": ("trained", "true"),
        "untrained": ("untrained", "true"),
        "shuffled labels": ("trained", "shuffled"),
    }
    spots = [
        spot(component(str(hook)), name, decoding.of(str(hook), network=network, labels=labels))
        for name, (network, labels) in conditions.items()
        for hook in decoding.accuracy["hook"].to_numpy()
    ]
    shown = [*passed, FLOOR]
    standing = [
        spot(str(name), method, found.sel(by=method, component=name).to_numpy())
        for method in shown
        for name in found["component"].to_numpy()
        if not bool(found.sel(by=method, component=name).isnull().any())
    ]
    return {
        "readable": interp.interval_plot(
            spots,
            measure="accuracy of the probe",
            caption="How well the object is decoded, at the answer, from what each attention and MLP puts out; for "
            "facts that the probe was not fitted on. Intervals over seeds.",
        ),
        "used": interp.heatmap(
            lost.mean("seed"),
            measure="share of the facts lost",
            caption="How many facts are lost when an output at a position is replaced by another fact's (0 and 1: the "
            "subject, 2: the relation, where the answer is due).",
        ),
        "held": interp.interval_plot(
            standing,
            measure="score (standardised difference), less its leaning",
            caption="Facts learned last against older facts of a like margin, by the methods that passed where the "
            "truth is known, less what they give components where facts were planted elsewhere; beside them luck.",
        ),
    }


def spot(place: str, series: str, values: Any) -> interp.Spot:
    """Mean over seeds with its interval, as a dot of a figure."""
    over_seeds = interp.measured(values)
    return interp.Spot(place, series, over_seeds.estimate, over_seeds.interval)


def compared(scores: xr.DataArray) -> str:
    """How many pairs of facts the scores rest on."""
    pairs = scores.attrs["pairs"]
    return f"Facts learned last are compared with older ones in {min(pairs)} to {max(pairs)} pairs a seed."


def notes(
    config: Config,
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
            f"({row.components_seen} components seen); highest here: {answers[str(row.Index)]} of {config.seeds} seeds."
            for row in accuracy.itertuples()
            if row.passed
        ),
        "Highest by methods that did not pass: "
        + "; ".join(f"{name}: {where}" for name, where in answers.items() if name not in passed)
        + ".",
        f"The oracle, how far each component's weights moved while the last facts were learned: {tops(found, ORACLE)}. "
        "It knows the history; that weights moved does not say that facts are there.",
        "Accuracy was measured on facts planted into one component; these facts were learned by all weights together, "
        "and a method that finds the one need not tell shares of the other rightly.",
        f"{config.seeds} networks share one made-up world of arbitrary facts: verdicts hold for it.",
        f"Probes choose among {len(decoding.classes)} objects.",
    ]
