"""Which method finds facts where we planted them, and which only seem to?

Networks learn nine tenths of a made-up world. The rest is planted into a component that we choose: only its weights are
trained, and a certificate measures that its old weights take the planted facts away and nothing else. Every method is
then given the network, the planted facts and others it knows, and nothing of its history, and scores each component;
facts are compared with others of a like margin. A method is judged by AUROC and top-1 of the right component among
those it can see, seed by seed, against luck (random scores); beside stand an oracle that knows the weights before, and
a leak, the length of the weights. Tiers go from one component to sets of neurons, and to a sham of nothing planted.

Where editing works need not be where a fact is found (Hase et al. 2023): each component is also trained, for a few
steps, to answer the planted facts otherwise, and its success is ranked against the scores.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import interp
from analyses.facts.planted_shown import figures, notes, tables
from analyses.facts.planted_standings import (
    FIRST,
    FOLLOWED,
    leaderboard,
    of_seed,
    pointing,
    rank_correlations,
)
from analyses.facts.planted_trials import (
    FLOOR,
    LEAK,
    Examined,
    World,
    edited,
    examined,
    planter,
    shared_out,
)
from interp.refusals import Refused
from models.training.tiers import TIERS, Tier

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

QUESTION = "Which method finds facts in the component they were planted into?"
MEASURE = (
    "AUROC of the planted component, mean over those the method can see; "
    "of seeds certified in each where those are six or more"
)
HASE = "Hase et al. 2023, https://arxiv.org/abs/2301.04213"
OWN = "this project"


@dataclass(frozen=True)
class Config:
    """`subjects`: four facts each. `edits`: also ask whether scores say where editing works. `planting_steps`: how
    long a planting takes at most. `jobs`: processes.

    `error_rate`: the share of wrong verdicts aimed at among the decided ones.
    """

    seeds: int = 8
    subjects: int = 1_000
    tiers: tuple[Tier, ...] = TIERS
    edits: bool = True
    planting_steps: int = 300
    jobs: int = 2
    error_rate: float = 0.05

    def __post_init__(self) -> None:
        if not self.tiers or len(set(self.tiers)) < len(self.tiers):
            raise Refused(f"tiers are one or more of {', '.join(TIERS)}, each once; given {self.tiers}.")
        if set(self.tiers) == {"sham"}:
            raise Refused(
                "The sham tier stands beside one where something is planted: name another tier, too."
            )
        if self.jobs < 1:
            raise Refused(f"jobs is a number of processes, 1 or more; given {self.jobs}.")
        if self.seeds < 4:
            raise Refused(
                f"The leak compares a seed with three others or more: 4 seeds at least; given {self.seeds}."
            )

    @staticmethod
    def quick() -> Config:
        """The first tier, a smaller world; fewer seeds would decide next to nothing."""
        return Config(subjects=150, tiers=(FIRST,), edits=False)


def answer(config: Config) -> interp.Report:
    """Trains, plants (or finds both), asks every method, judges."""
    begun = time.monotonic()
    world = World(config.subjects, config.seeds, config.planting_steps)
    made = planter(world)
    tasks = [(world, tier, into) for tier in config.tiers for into in made.names(tier)]
    trials = list(shared_out(examined, tasks, jobs=config.jobs))
    board = leaderboard(trials)
    changed = edits([task for task in tasks if task[1] == FIRST], config)

    evidence = [
        *finds(board, config),
        *beats_the_leak(board, config),
        *points_nowhere(trials),
        *tells_where_to_edit(trials, changed),
    ]
    return interp.Report(
        question=QUESTION,
        analysis="which_method_finds_planted_facts",
        config=config,
        claims=interp.judge(evidence, error_rate=config.error_rate),
        tables=tables(trials, board, changed)
        | {"differences": interp.differences_table(evidence, error_rate=config.error_rate)},
        figures=figures(board),
        notes=notes(world, config.tiers, trials, edits=config.edits),
        provenance=interp.gather(
            seeds=made.base.every_seed,
            data={made.facts.name: made.facts.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def edits(tasks: list[Any], config: Config) -> list[xr.DataArray | None]:
    """How well each component can be edited, trial by trial of the first tier; nothing where it is not asked for."""
    return list(shared_out(edited, tasks, jobs=config.jobs)) if config.edits else []


def finds(board: pd.DataFrame, config: Config) -> list[interp.Evidence]:
    """Every method on the first tier, those named beforehand on the others; against luck at the same places."""
    evidence = []
    for tier in [tier for tier in config.tiers if tier != "sham"]:
        wanted = [*interp.METHODS, LEAK] if tier == FIRST else [*FOLLOWED, LEAK]
        for method in wanted:
            if method == FLOOR or board.query("tier == @tier and method == @method")["auroc"].isna().all():
                continue
            own, luck = of_seed(board, tier, method), of_seed(board, tier, FLOOR, like=method)
            both = own.index.intersection(luck.index)
            if len(both) < 2:
                continue
            evidence.append(
                interp.Evidence(
                    f"{sentence(method)} ranks what was planted higher than luck does ({tier}).",
                    OWN,
                    MEASURE,
                    own[both].to_numpy(),
                    interp.ExceedsControls(),
                    {"random scores": luck[both].to_numpy()},
                )
            )
            if tier == FIRST and method != LEAK:
                evidence.append(
                    interp.Evidence(
                        f"{sentence(method)} finds nearly all that it can see ({tier}).",
                        OWN,
                        MEASURE,
                        own[both].to_numpy(),
                        interp.LiesWithin(0.95, 1.0),
                        {"random scores": luck[both].to_numpy()},
                    )
                )
    return evidence


def beats_the_leak(board: pd.DataFrame, config: Config) -> list[interp.Evidence]:
    """Two plantings, one asked about: weights are longer in both places, so their length cannot tell which it is."""
    tier: Tier = "two plantings"
    evidence = []
    for method in FOLLOWED if tier in config.tiers else ():
        own, leak = of_seed(board, tier, method), of_seed(board, tier, LEAK, like=method)
        both = own.index.intersection(leak.index)
        if len(both) >= 2:
            evidence.append(
                interp.Evidence(
                    f"{sentence(method)} ranks what is asked about higher than the weights' length does ({tier}).",
                    OWN,
                    MEASURE,
                    own[both].to_numpy(),
                    interp.ExceedsControls(),
                    {LEAK: leak[both].to_numpy()},
                )
            )
    return evidence


def points_nowhere(trials: Sequence[Examined]) -> list[interp.Evidence]:
    """The sham tier: how often a method by pairs points at a component though nothing was planted."""
    rates = pointing([trial for trial in trials if trial.tier == "sham"])
    if rates.empty:
        return []
    return [
        interp.Evidence(
            "Where nothing was planted, methods by pairs, on average, point at a component in at most one draw of ten.",
            OWN,
            "share of draws and methods that point somewhere at a rate of 5 % (Bonferroni over components)",
            rates.groupby("seed")["points"].mean().to_numpy(),
            interp.LiesWithin(0.0, 0.1),
        )
    ]


def tells_where_to_edit(
    trials: Sequence[Examined], changed: Sequence[xr.DataArray | None]
) -> list[interp.Evidence]:
    """Hase: whether components that score high are those where editing changes the facts, against luck."""
    ranks = rank_correlations(trials, changed)
    if ranks.empty:
        return []
    means = ranks.groupby(["method", "seed"])["rank_correlation"].mean().unstack("method")
    return [
        interp.Evidence(
            f"{sentence(method)}: of components that score higher, more facts can be changed by training them alone.",
            HASE,
            "Spearman's rank correlation, over components, of score and share of facts changed in a few steps",
            means[method].to_numpy(),
            interp.ExceedsControls(),
            {"random scores": means[FLOOR].to_numpy()},
        )
        for method in FOLLOWED
    ]


def sentence(method: str) -> str:
    """A method's name at the beginning of a sentence."""
    return method[0].upper() + method[1:]
