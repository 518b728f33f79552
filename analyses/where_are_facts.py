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
  disagree is said. Beside them stands what no method knows: each component's weights from before the last tenth was
  learned are put back, and the facts counted that go with them, beyond the older ones that go, too.

Readable is not used, and used is not held: what attention moves is used for every fact and need hold none of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import interp
import models
from analyses.facts.measured import (
    OUTPUTS,
    accuracies,
    component,
    gone_with_old_weights,
    halves,
    leanings,
    loses,
    rank_correlations,
)
from analyses.facts.planted_standings import FIRST
from analyses.facts.planted_trials import FLOOR, RELATIONS, World, examined, methods, planter, shared_out
from analyses.facts.shown import compared, figures, notes
from interp.refusals import Refused

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

QUESTION = "Where in a transformer are the facts it learned: in its attention or in its MLPs?"
COURSE = "3Blue1Brown, Deep Learning, chapter 7"


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
        """A smaller world, a shorter time to learn the last tenth; fewer seeds would decide next to nothing."""
        return Config(subjects=150, steps=200)


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
    late = made.facts.subset(made.new)
    scores = interp.localize(later, late, known, methods(made.base))
    found = scores - leaning
    passed = [name for name in accuracy.index if accuracy.loc[name, "passed"]]
    gone = gone_with_old_weights(later, made.base, late, known)

    evidence = [
        *readable(decoding),
        *used(lost),
        go_with(gone),
        *held(found, accuracy, passed),
        *agree(found, passed),
        *agree_with_truth(found, passed, gone),
    ]
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
            "old_weights": gone.to_dataframe().reset_index(),
            "decoding": decoding.to_dataframe(),
            "differences": interp.differences_table(evidence, error_rate=config.error_rate),
        },
        figures=figures(decoding, lost, found, passed, gone),
        notes=[*notes(config.seeds, accuracy, found, passed, decoding), compared(scores)],
        provenance=interp.gather(
            seeds=made.base.every_seed,
            data={made.facts.name: made.facts.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


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
            f"Swapping the output of {layer}.mlp for its output on another fact loses more facts than swapping that "
            f"of {layer}.attn (at the position of the answer).",
            COURSE,
            "share of the facts by which the accuracy falls",
            at_answer[f"{layer}.mlp"],
            interp.ExceedsControls(),
            {"attention": at_answer[f"{layer}.attn"]},
        )
        for layer in layers
        if {f"{layer}.mlp", f"{layer}.attn"} <= set(at_answer)
    ]


def go_with(gone: xr.Dataset) -> interp.Evidence:
    """Facts learned last that go with old weights: the MLPs' against the attentions'."""
    beyond, kinds = gone["late"] - gone["older"], of_kinds(gone)
    return interp.Evidence(
        "More of the facts learned last, beyond older ones, go with an MLP's old weights than with an attention's.",
        COURSE,
        "share of the facts learned last that are lost, less that of older facts; mean of the layers",
        beyond.sel(component=kinds["mlp"]).mean("component").to_numpy(),
        interp.ExceedsControls(),
        {"attentions": beyond.sel(component=kinds["attn"]).mean("component").to_numpy()},
    )


def of_kinds(found: xr.DataArray | xr.Dataset) -> dict[str, list[str]]:
    """The names of the MLPs, and of the attentions."""
    names = [str(name) for name in found["component"].to_numpy()]
    return {kind: [name for name in names if name.endswith(kind)] for kind in ("mlp", "attn")}


def held(found: xr.DataArray, accuracy: pd.DataFrame, passed: Sequence[str]) -> list[interp.Evidence]:
    """Facts learned last: the mean score of MLPs against that of attentions, by each method that passed."""
    auroc = {str(name): float(value) for name, value in accuracy["auroc"].items()}
    kinds = of_kinds(found)
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
            np.mean([of_two(found, *pair) for pair in pairs], axis=0),
            interp.ExceedsControls(),
            {"random scores": np.mean([of_two(found, name, FLOOR) for name in passed], axis=0)},
        )
    ]


def of_two(found: xr.DataArray, one: str, other: str) -> list[float]:
    """The rank correlation of two methods' scores, for each seed."""
    return rank_correlations(found.sel(by=one), found.sel(by=other).transpose("seed", "component").to_numpy())


def agree_with_truth(found: xr.DataArray, passed: Sequence[str], gone: xr.Dataset) -> list[interp.Evidence]:
    """Whether a method that passed ranks the components as the old weights do, more than luck ranks them."""
    truth = (gone["late"] - gone["older"]).transpose("seed", "component").to_numpy()
    luck = rank_correlations(found.sel(by=FLOOR), truth)
    return [
        interp.Evidence(
            f"Components that {method} scores higher are those whose old weights take more late facts away.",
            "this project",
            "Spearman's rank correlation, over the components the method sees",
            rank_correlations(found.sel(by=method), truth),
            interp.ExceedsControls(),
            {"random scores": luck},
        )
        for method in passed
    ]
