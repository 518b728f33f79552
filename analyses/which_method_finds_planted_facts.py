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
from analyses.planted_trials import (
    FLOOR,
    LEAK,
    ORACLE,
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
FIRST: Tier = "one component"
FEWEST_SEEDS = 6
MEASURE = "AUROC of the planted component, mean over those the method can see and the seed's planting was certified in"
FOLLOWED = ("drift", "mean ablation", "shrinking")
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
        """The first tier, a smaller world, fewer seeds."""
        return Config(seeds=6, subjects=150, tiers=(FIRST,), edits=False)


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
        figures=figures(board, config),
        notes=notes(config, trials, board),
        provenance=interp.gather(
            seeds=made.base.every_seed,
            data={made.facts.name: made.facts.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def leaderboard(trials: Sequence[Examined]) -> pd.DataFrame:
    """A row for each method, tier, component and seed; draws of the sham tier are averaged."""
    import pandas as pd

    rows = pd.concat([part for trial in trials for part in trial.standings()], ignore_index=True)
    keys = ["method", "tier", "component", "seed"]
    return rows.groupby(keys, sort=False)[["auroc", "top1"]].mean().reset_index()


def edits(tasks: list[Any], config: Config) -> list[xr.DataArray | None]:
    """How well each component can be edited, trial by trial of the first tier; nothing where it is not asked for."""
    return list(shared_out(edited, tasks, jobs=config.jobs)) if config.edits else []


def of_seed(board: pd.DataFrame, tier: str, method: str, *, like: str | None = None) -> pd.Series[Any]:
    """A method's AUROC for each seed, the mean over the places it can see (or those that `like` can).

    Of seeds certified at every such place, where those are six or more (fewer decide nothing); else of each over the
    places it has.
    """
    rows = board[board["tier"] == tier].pivot_table(
        index=["component", "seed"], columns="method", values="auroc", dropna=False
    )
    seen = rows[rows[like or method].notna()][method].unstack("component")
    whole = seen.dropna()
    return (whole if len(whole) >= FEWEST_SEEDS else seen).mean(axis=1)


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


def pointing(trials: Sequence[Examined]) -> pd.DataFrame:
    """For each trial, method by pairs and seed: whether it points anywhere."""
    import pandas as pd

    rows = []
    for trial in trials:
        if trial.scores is None:
            continue
        for method, how in interp.METHODS.items():
            if isinstance(how, interp.Paired):
                pointed = interp.points_at(
                    trial.scores.sel(by=method).to_numpy(), trial.scores.attrs["pairs"]
                )
                seeds = trial.scores["seed"].to_numpy().tolist()
                rows += [(method, seeds[place], bool(pointed[place].any())) for place in range(len(seeds))]
    return pd.DataFrame(rows, columns=["method", "seed", "points"])


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


def tables(
    trials: Sequence[Examined], board: pd.DataFrame, changed: Sequence[xr.DataArray | None]
) -> dict[str, pd.DataFrame]:
    """The leaderboard row by row, a table of methods and components per tier, certificates, and the rest."""
    import pandas as pd

    found = {"leaderboard": board.astype(object).where(board.notna(), None)}
    for tier in board["tier"].unique():
        own = board[board["tier"] == tier]
        wide = own.pivot_table(index="method", columns="component", values="auroc", sort=False, dropna=False)
        top1 = own.groupby("method")["top1"].mean()
        wide = wide.assign(seen=wide.notna().sum(axis=1), mean=wide.mean(axis=1), mean_top1=top1)
        wide = wide.sort_values("mean", ascending=False).reset_index()
        found[f"auroc_{tier.replace(' ', '_')}"] = wide.astype(object).where(wide.notna(), "cannot see")
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
    return found


def certified(trial: Examined) -> list[dict[str, Any]]:
    """What each planting of a trial came to, a row for each seed."""
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
        }
        for certificate in trial.certificates
        for seed, before, after, restored, kept_before, kept in zip(
            certificate.seeds,
            certificate.planted_before,
            certificate.planted_after,
            certificate.planted_restored,
            certificate.kept_before,
            certificate.kept_after,
            strict=True,
        )
    ]


def figures(board: pd.DataFrame, config: Config) -> dict[str, Any]:
    """AUROC of the methods followed through all tiers, and of all methods on each."""
    shown = [method for method in (*FOLLOWED, FLOOR, LEAK, ORACLE) if method in set(board["method"])]
    tiers = [tier for tier in config.tiers if tier != "sham"]
    spots = [
        interp.Spot(tier, method, over.estimate, over.interval)
        for method in shown
        for tier in tiers
        for over in [interp.measured(of_seed(board, tier, method).to_numpy())]
    ]
    first = [
        interp.Spot(method, "mean over components", over.estimate, over.interval)
        for method in sorted(
            set(board["method"]), key=lambda m: -float(of_seed(board, tiers[0], m).mean() or 0)
        )
        for values in [of_seed(board, tiers[0], method).to_numpy()]
        if len(values) > 1
        for over in [interp.measured(values)]
    ]
    return {
        "methods": interp.interval_plot(
            first,
            measure="AUROC of the planted component",
            caption=f"How well each method tells the planted component from the others ({tiers[0]}). Intervals over "
            "seeds.",
            lines={"luck": 0.5},
        ),
        "tiers": interp.interval_plot(
            spots,
            measure="AUROC of what was planted",
            caption="The methods named beforehand, the floor (random), the leak and the oracle, tier by tier.",
            lines={"luck": 0.5},
        ),
    } | {f"leaderboard_{tier.replace(' ', '_')}": grid(board, tier) for tier in tiers}


def grid(board: pd.DataFrame, tier: Tier) -> Any:
    """Methods down, planted components across: the mean AUROC over seeds; blank where a method cannot see."""
    import xarray

    own = board[board["tier"] == tier]
    wide = own.pivot_table(index="method", columns="component", values="auroc", sort=False, dropna=False)
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False).index]
    axes = {"method": list(wide.index), "planted": list(wide.columns)}
    return interp.heatmap(
        xarray.DataArray(wide.round(2).to_numpy(), coords=axes, dims=list(axes)),
        measure="AUROC, mean over seeds",
        caption=f"The leaderboard ({tier}): where facts were planted across, methods down, the best first. Blank: the "
        "method cannot see that component.",
    )


def sentence(method: str) -> str:
    """A method's name at the beginning of a sentence."""
    return method[0].upper() + method[1:]


def notes(config: Config, trials: Sequence[Examined], board: pd.DataFrame) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    said = [
        f"{config.seeds} networks share one world of {config.subjects} subjects: verdicts hold for it.",
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
    for trial in trials:
        if trial.left_out or trial.scores is None:
            seeds = f"without seeds {', '.join(map(str, trial.left_out))}: their planting was not certified"
            said.append(f"{trial.tier}, {trial.name}: {trial.why_not or seeds}.")
    if not config.edits:
        said.append("Whether scores say where editing works was not asked (edits=False).")
    left = [tier for tier in TIERS if tier not in config.tiers]
    if left:
        said.append(f"Tiers left out: {', '.join(left)}.")
    return said
