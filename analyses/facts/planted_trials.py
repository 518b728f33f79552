"""Networks with facts planted in them, and what every method says of them: the work behind the questions on facts."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

import interp
import models
from analyses.facts.kept import kept

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

RELATIONS, NEW_SHARE = 4, 10
LARGE, OBJECTS, FEWER_OBJECTS = 500, 50, 10
FLOOR, ORACLE, LEAK = "random", "weight change (oracle)", "weight norm (leak)"
EDIT_STEPS, EDITED, BESIDE = 25, 100, 400

Task = TypeVar("Task")
Found = TypeVar("Found")


@dataclass(frozen=True)
class World:
    """A made-up world of four arbitrary facts for each subject, and how many networks learn nine tenths of it.

    `planting_steps`: how long a planting takes at most.
    """

    subjects: int
    seeds: int
    planting_steps: int


@dataclass(frozen=True, eq=False)
class Examined:
    """What the methods say of one trial, and what was planted there; without scores, `why_not`."""

    tier: models.Tier
    right: tuple[str, ...]
    scores: xr.DataArray | None
    asked: int
    left_out: tuple[int, ...]
    certificates: tuple[models.Certificate, ...]
    lasting: models.Lasting | None
    why_not: str = ""

    @property
    def name(self) -> str:
        """What was planted where, in short."""
        return " + ".join(self.right) or "nothing"

    def standings(self) -> list[pd.DataFrame]:
        """Rows of the leaderboard; none where no planting was certified."""
        return [] if self.scores is None else [interp.standings(self.scores, self.right, tier=self.tier)]


@cache
def planter(world: World) -> models.Planter:
    """Networks that know nine tenths of the world, from the cache or trained now, and what is new to them."""
    objects = OBJECTS if world.subjects >= LARGE else FEWER_OBJECTS
    facts = models.world(world.subjects, relations=RELATIONS, objects=objects)
    facts = facts.with_templates("{subject} {relation}")
    data = facts.dataset(facts.tokenizer())
    new = np.sort(np.random.default_rng(0).permutation(len(data))[: len(data) // NEW_SHARE])
    known = data.subset(np.setdiff1d(np.arange(len(data)), new))
    trained = models.trained(recipe(world, data), seeds=world.seeds, data=known)
    return models.Planter(trained.model, data, new, most_steps=world.planting_steps)


def recipe(world: World, data: models.Dataset) -> models.Recipe:
    """The recipe `facts`; for small worlds half as wide, in smaller batches."""
    width = 64 if world.subjects >= LARGE else 32
    network = models.TransformerConfig(
        data.classes,
        data.inputs.shape[1],
        layers=2,
        d_model=width,
        heads=4,
        d_mlp=4 * width,
        activation="relu",
    )
    full = replace(models.recipe("facts"), network=network)
    return full if world.subjects >= LARGE else full.but(batch_size=100, epochs=60)


def methods(base: models.HookedModel) -> dict[str, interp.Method]:
    """All methods, and beside them floor, oracle and leak; the last two know the networks before planting."""
    return dict(interp.METHODS) | {
        ORACLE: interp.OfParts(interp.weight_change(base)),
        LEAK: interp.OfParts(interp.weight_norm(base)),
    }


def examined(task: tuple[World, models.Tier, tuple[str, ...]]) -> Examined:
    """One trial and every method's scores of it: planted and asked now, or found in the cache."""
    world, tier, into = task
    made = planter(world)
    trial = made.trial(tier, into)
    told = partial(
        Examined,
        tier,
        trial.right,
        asked=len(trial.facts),
        left_out=trial.left_out,
        certificates=trial.certificates,
        lasting=trial.lasting,
    )
    if trial.model is None:
        return told(scores=None, why_not="no seed's planting was certified")
    try:
        return told(scores=scored(trial, made.base))
    except interp.TooFewPairs as error:
        return told(scores=None, why_not=str(error))


def scored(trial: models.Trial, before: models.HookedModel) -> xr.DataArray:
    """What every method says of a trial, `[by, seed, component]`: asked now or found in the cache.

    `before`: the networks, of these seeds and others, before anything was planted.
    """
    model = trial.model
    assert model is not None
    base = members(before, model.every_seed) if trial.left_out else before
    chosen = methods(base) | {LEAK: interp.OfParts(interp.weight_norm(before))}
    asked = {
        "networks": [models.network_digest(one) for one in (model, before)],
        "facts": [trial.facts.digest, trial.reference.digest],
        "methods": list(chosen),
        "components": trial.components,
    }
    return kept(
        "scores",
        asked,
        lambda: interp.localize(model, trial.facts, trial.reference, chosen, components=trial.components),
    )


def members(model: models.HookedModel, seeds: Iterable[int]) -> models.HookedModel:
    """The population of these seeds alone."""
    return models.population([model.member(seed) for seed in seeds])


def edited(task: tuple[World, models.Tier, tuple[str, ...]]) -> xr.DataArray | None:
    """How well each component alone can be made to answer facts otherwise in a few steps, `[seed, component]`.

    A share of the facts from 0 to 1, each given the next object of its relation; None where no planting was certified.
    """
    import xarray

    world, tier, into = task
    trial = planter(world).trial(tier, into)
    if trial.model is None:
        return None
    facts, beside = otherwise(some(trial.facts, EDITED)), some(trial.reference, BESIDE)
    changed = [
        models.planted(
            trial.model, facts, into=name, keeping=beside, most_steps=EDIT_STEPS
        ).certificate.planted_after
        for name in trial.components
    ]
    coords = {"seed": list(trial.model.every_seed), "component": list(trial.components)}
    return xarray.DataArray(np.array(changed).T, coords=coords, dims=list(coords))


def some(facts: models.Dataset, most: int) -> models.Dataset:
    """Up to so many facts, drawn by a fixed lot: those that stand together are of one relation."""
    return facts.subset(np.sort(np.random.default_rng(0).permutation(len(facts))[:most]))


def otherwise(facts: models.Dataset) -> models.Dataset:
    """The same questions, each answered by the next object of its relation."""
    targets = facts.targets.clone()
    relations = facts.examples["relation"].to_numpy()
    for relation in np.unique(relations):
        rows = np.flatnonzero(relations == relation)
        objects, place = np.unique(targets[rows].numpy(), return_inverse=True)
        targets[rows] = facts.targets.new_tensor(objects[(place + 1) % len(objects)])
    return replace(facts, targets=targets)


def shared_out(work: Callable[[Task], Found], tasks: list[Task], *, jobs: int) -> Iterator[Found]:
    """The work on every task, in their order, by this many processes at once; progress on stderr."""
    from tqdm import tqdm

    bar = tqdm(total=len(tasks), desc="trials", disable=None, leave=False, delay=2)
    with bar, warnings.catch_warnings():
        if jobs == 1:
            for task in tasks:
                yield work(task)
                bar.update()
            return
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
            for found in pool.map(work, tasks):
                yield found
                bar.update()
