"""Trained networks on disk: runs, and the cache of them, a folder a seed.

A run is a folder with `recipe.json`, `metrics.jsonl` and `seed-N/` for every seed. The cache holds one such folder for
each digest of recipe, data, training code and torch version; seeds that are there are loaded, the missing ones train
together beside it (resumed if that was cut short) and move in when they are done. A seed that diverged has a folder
with its log alone, so that what comes out does not depend on what was trained before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from models.data.dataset import Dataset
from models.data.fetch import cache_folder
from models.data.loading import load_data
from models.data.tokenizer_files import load_tokenizer
from models.data.tokenizers import Tokenizer
from models.files import read_record
from models.networks.hooked import population
from models.networks.saving import load_model
from models.refusals import BadFile, Refused
from models.seeds import seed_tuple
from models.training.digests import recipe_digest
from models.training.metrics import append_rows, read_metrics
from models.training.population import Divergence
from models.training.recipes import Recipe
from models.training.train import Diverged, Trained, seed_folder, train, write_recipe


def trained(
    recipe: Recipe, *, seeds: int | Sequence[int], data: Dataset | None = None, device: str = "auto"
) -> Trained:
    """The recipe's networks for these seeds: from the cache as far as they are there, the others trained now.

    Waits while another process trains the same recipe. Raises `Diverged` when every one of these seeds diverges.
    """
    data = load_data(recipe.data) if data is None else data
    chosen = seed_tuple(seeds)
    digest = recipe_digest(recipe, data)
    run = cache_folder() / "trained" / f"{recipe.name}-{digest[:16]}"
    run.mkdir(parents=True, exist_ok=True)
    with FileLock(run / "lock"):
        missing = [seed for seed in chosen if not (seed_folder(run, seed) / "metrics.jsonl").exists()]
        if missing:
            write_recipe(run, recipe, digest)
            _train_into(run, recipe, missing, data, device)
        return _collect(run, chosen)


def _train_into(run: Path, recipe: Recipe, seeds: Sequence[int], data: Dataset, device: str) -> None:
    """Trains these seeds beside the others and moves them in; the caller holds the lock."""
    name = hashlib.sha256(json.dumps(list(seeds)).encode()).hexdigest()[:12]
    beside = run / f"training-{name}"
    with suppress(Diverged):  # every one of these did; whether any network is left is seen with the others
        train(recipe, seeds=seeds, data=data, folder=beside, resume=True, device=device)
    metrics = read_metrics(beside / "metrics.jsonl")
    for seed in seeds:
        place = seed_folder(beside, seed)
        place.mkdir(exist_ok=True)
        rows = metrics[metrics["seed"] == seed].to_dict("records")
        (place / "metrics.jsonl").unlink(missing_ok=True)
        append_rows(place / "metrics.jsonl", [_known(row) for row in rows])
        place.rename(seed_folder(run, seed))
    for finished_or_cut_short in run.glob("training-*"):  # of other seeds than are missing now: never resumed
        shutil.rmtree(finished_or_cut_short)


def _known(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """A row of the log without what the table fills in where a row has no such column."""
    return {str(name): value for name, value in row.items() if value == value}


def _collect(run: Path, seeds: Sequence[int]) -> Trained:
    metrics = pd.concat(
        [read_metrics(seed_folder(run, seed) / "metrics.jsonl") for seed in seeds], ignore_index=True
    )
    return _trained(run, seeds, metrics)


def _trained(run: Path, seeds: Sequence[int], metrics: pd.DataFrame) -> Trained:
    divergences = _divergences(metrics)
    gone = {d.seed for d in divergences}
    if gone.issuperset(seeds):
        raise Diverged(divergences)
    members = [load_model(seed_folder(run, seed)) for seed in seeds if seed not in gone]
    return Trained(population(members), metrics, divergences)


def _divergences(metrics: pd.DataFrame) -> tuple[Divergence, ...]:
    if "diverged" not in metrics:
        return ()
    rows = metrics.loc[metrics["diverged"].eq(True), ["seed", "step", "rate"]].to_numpy()
    return tuple(Divergence(int(seed), int(step), float(rate)) for seed, step, rate in rows)


def load_run(folder: str | os.PathLike[str]) -> tuple[Recipe, Trained]:
    """A run that `train` or `interp train` wrote: its recipe, and its networks as one population.

    Raises `BadFile` when the folder is no run, or one that has not ended (also when it was cut off between the writing
    of one seed's network and the next).
    """
    run = Path(folder)
    if not run.is_dir():
        raise BadFile(f"There is no run {run}: give a folder that `interp train` wrote.")
    recipe = read_recipe(run)
    if not any(run.glob("seed-*")):
        raise BadFile(f"{run} holds no trained network: its training has not ended. Go on with --resume.")
    metrics = read_metrics(run / "metrics.jsonl")
    seeds = sorted(int(seed) for seed in metrics["seed"].unique())
    gone = {d.seed for d in _divergences(metrics)}
    missing = [s for s in seeds if s not in gone and not (seed_folder(run, s) / "config.json").exists()]
    if missing:
        raise BadFile(
            f"{run} holds no network of seeds {missing}: its training was cut off. Go on with --resume."
        )
    return recipe, _trained(run, seeds, metrics)


def run_data(folder: str | os.PathLike[str], recipe: Recipe, name: str | None = None) -> Dataset:
    """The data set of this name, for a run's network to read; without a name what the run was trained on.

    Raises `Refused` for data spelt with another tokenizer than the run's: the same numbers are other words there.
    """
    data = load_data(name or recipe.data)
    spelt = read_record(Path(folder) / "recipe.json").get("tokenizer")
    if data.tokenizer is not None and data.tokenizer.digest != spelt:
        raise Refused(
            f"The data {data.name!r} are spelt with another tokenizer than {recipe.data!r}, which the run {folder} was "
            "trained on, so the network would read other words: take a run trained on them."
        )
    return data


def run_tokenizer(folder: str | os.PathLike[str], recipe: Recipe) -> Tokenizer:
    """The tokenizer that the run's data were spelt with, from its `tokenizer.json`.

    Raises `Refused` for a run on data that are no tokens, and for a tokenizer that has not as many tokens as the
    network; `BadFile` when the file is missing, torn, or not the one that the run was trained with.
    """
    run = Path(folder)
    record = read_record(run / "recipe.json")
    if recipe.network.reads == "token pairs":
        raise Refused(
            f"{run} was trained on pairs, {recipe.data!r}: its networks write a target for a source and go on with no "
            "text. Use models.translate."
        )
    if recipe.network.reads != "tokens" or "tokenizer" not in record:
        raise Refused(
            f"{run} was trained on {recipe.data!r}, which is not spelt with a tokenizer: it has no text."
        )
    tokenizer = load_tokenizer(run / "tokenizer.json")
    if len(tokenizer) != recipe.network.outputs:
        raise Refused(
            f"The tokenizer in {run} does not fit the weights: it has {len(tokenizer)} tokens, they have "
            f"{recipe.network.outputs}. Put the tokenizer.json back that the run was trained with."
        )
    if tokenizer.digest != record["tokenizer"]:
        raise BadFile(
            f"{run / 'tokenizer.json'} is not the tokenizer that the run was trained with: it has as many tokens, but "
            "not the same. Put the old one back."
        )
    return tokenizer


def read_recipe(run: Path) -> Recipe:
    """The recipe of a run; raises `BadFile` when it cannot be read or is of another version."""
    try:
        return TypeAdapter(Recipe).validate_python(read_record(run / "recipe.json")["recipe"])
    except (KeyError, ValidationError, Refused) as error:
        raise BadFile(f"{run / 'recipe.json'} is no recipe of this version: {error}") from error
