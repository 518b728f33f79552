"""Training: a recipe and seeds in, a population of trained networks out.

All seeds train as one batched network, each with its own initialisation and order of the data; a member comes out as it
would alone. With a folder, the run writes `recipe.json`, `metrics.jsonl`, checkpoints and at the end a folder for each
seed, and can be killed at any moment and resumed to the same bits.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from models.data.dataset import Dataset
from models.data.loading import load_data
from models.data.tokenizers import Tokenizer
from models.files import FORMAT, read_record, write_file
from models.networks.hooked import HookedModel, population
from models.networks.saving import save_model
from models.refusals import Refused
from models.seeds import seed_tuple
from models.training.checkpoints import load_checkpoint, save_checkpoint
from models.training.digests import recipe_digest
from models.training.metrics import Measures, append_rows, cut_back, divergence_rows, epoch_rows, last_words
from models.training.population import Divergence, Population
from models.training.recipes import Recipe


class Diverged(RuntimeError):
    """Every seed's loss stopped being finite: the message names each with step and rate."""

    def __init__(self, divergences: Sequence[Divergence]) -> None:
        where = "; ".join(f"seed {d.seed} at step {d.step}, rate {d.rate:g}" for d in divergences)
        super().__init__(f"Every seed diverged (its loss is no longer finite): {where}. Try a lower rate.")


@dataclass(frozen=True)
class Trained:
    """The networks of a recipe's seeds (`model`, a population), their log, and which of them diverged.

    `model` holds the seeds that did not diverge; `metrics` has a row for each seed and epoch.
    """

    model: HookedModel
    metrics: pd.DataFrame
    divergences: tuple[Divergence, ...]

    def __repr__(self) -> str:
        gone = ", ".join(str(divergence.seed) for divergence in self.divergences)
        return f"Trained: {self.model!r}\n  {last_words(self.metrics)}" + (
            f"; diverged: {gone}" if gone else ""
        )


def train(
    recipe: Recipe,
    *,
    seeds: int | Sequence[int],
    data: Dataset | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: str = "auto",
    checkpoint_seconds: float = 10.0,
) -> Trained:
    """Trains the recipe's network for every seed (a count, or the seeds themselves) as one population.

    `data` replaces the data set that the recipe names. `resume` goes on from the folder's checkpoint, written every
    `checkpoint_seconds`, and starts where there is none yet. `device`: auto, cpu or cuda. Raises `Diverged` when no
    seed is left, `Refused` when the folder holds another run, `BadFile` when its checkpoint is torn.
    """
    data = load_data(recipe.data) if data is None else data
    with one_thread():
        members = Population(recipe, data.network, seed_tuple(seeds), chosen_device(device))
        members.model.spelt_with = None if data.tokenizer is None else data.tokenizer.digest
        log = RunLog(members, data, None if folder is None else Path(folder), checkpoint_seconds)
        log.begin(resume)
        _run(members, log)
        return log.end()


def _run(members: Population, log: RunLog) -> None:
    hidden = bool(os.environ.get("TQDM_DISABLE")) or None  # None: hidden where stderr is no terminal
    progress = tqdm(
        total=members.steps, initial=members.step, unit="step", delay=2, disable=hidden, leave=False
    )
    with progress:
        while members.step < members.steps:
            members.advance()
            progress.update()
            if members.step % members.steps_per_epoch == 0:
                log.epoch()
            if len(members.divergences) == len(members.seeds):
                log.epoch()
                raise Diverged(members.divergences)
            log.checkpoint()


class RunLog:
    """What a run writes down: rows in memory, and in a folder where there is one."""

    def __init__(
        self, members: Population, data: Dataset, folder: Path | None, checkpoint_seconds: float
    ) -> None:
        self.members, self.measures, self.folder = members, Measures.of(data), folder
        self.tokenizer = data.tokenizer
        self.digest = recipe_digest(members.recipe, data) if folder else ""
        self.checkpoint_seconds = checkpoint_seconds
        self.rows: list[dict[str, object]] = []
        self._written = time.monotonic()

    def begin(self, resume: bool) -> None:
        """Starts the folder, or goes on from its checkpoint."""
        if self.folder is None:
            if resume:
                raise Refused("There is no folder to resume from: give one.")
            return self._log(epoch_rows(self.members, self.measures))
        begun = (self.folder / "recipe.json").exists()
        if begun and not resume:
            raise Refused(
                f"{self.folder} holds a run already: resume it (--resume), or choose another folder."
            )
        if begun and read_record(self.folder / "recipe.json").get("digest") != self.digest:
            raise Refused(
                f"{self.folder} holds a run of another recipe, data set, or version of the training code or of torch "
                f"(other epochs, rate or batch size are another recipe): it cannot go on from there. Repeat the "
                f"command as it was, or choose another folder."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if begun and self._checkpoint_file.exists():
            load_checkpoint(self.members, self._checkpoint_file, digest=self.digest)
            self.rows = cut_back(self._metrics_file, self.members.step)
            return None
        write_recipe(self.folder, self.members.recipe, self.digest, tokenizer=self.tokenizer)
        self._metrics_file.unlink(missing_ok=True)
        return self._log(epoch_rows(self.members, self.measures))

    def epoch(self) -> None:
        """Logs the epoch that has ended."""
        known = {int(str(row["seed"])) for row in self.rows if row.get("diverged") is True}
        self._log(divergence_rows(self.members, known) + epoch_rows(self.members, self.measures))

    def checkpoint(self) -> None:
        """Writes a checkpoint when the last one is old enough, and at the end."""
        old = time.monotonic() - self._written >= self.checkpoint_seconds
        if self.folder is not None and (old or self.members.step == self.members.steps):
            save_checkpoint(self.members, self._checkpoint_file, digest=self.digest)
            self._written = time.monotonic()

    def end(self) -> Trained:
        """The trained networks; in the folder, a folder for each seed."""
        diverged = {d.seed for d in self.members.divergences}
        going = [self.members.model.member(seed) for seed in self.members.seeds if seed not in diverged]
        if self.folder is not None:
            for member in going:
                save_model(member, seed_folder(self.folder, member.every_seed[0]))
        return Trained(population(going), pd.DataFrame(self.rows), tuple(self.members.divergences))

    def _log(self, rows: list[dict[str, object]]) -> None:
        self.rows += rows
        if self.folder is not None:
            append_rows(self._metrics_file, rows)

    @property
    def _metrics_file(self) -> Path:
        assert self.folder is not None
        return self.folder / "metrics.jsonl"

    @property
    def _checkpoint_file(self) -> Path:
        assert self.folder is not None
        return self.folder / "checkpoint.safetensors"


def seed_folder(run: Path, seed: int) -> Path:
    """Where a run keeps this seed's network."""
    return run / f"seed-{seed}"


def write_recipe(folder: Path, recipe: Recipe, digest: str, *, tokenizer: Tokenizer | None = None) -> None:
    """Writes the run's `recipe.json`, and `tokenizer.json` where the data are spelt with one."""
    record = {"format": FORMAT, "digest": digest, "recipe": asdict(recipe)}
    if tokenizer is not None:
        tokenizer.save(folder / "tokenizer.json")
        record["tokenizer"] = tokenizer.digest
    write_file(folder / "recipe.json", (json.dumps(record, indent=2) + "\n").encode())


def chosen_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; `cuda` without one is refused."""
    if name not in ("auto", "cpu", "cuda"):
        raise Refused(f"The device is auto, cpu or cuda; given {name!r}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise Refused("There is no GPU that torch can use here: choose --device auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside the block: small networks run faster so, and always to the same bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
