"""The run's log: `metrics.jsonl`, one line for each seed and epoch, cut back to the checkpoint when a run resumes.

Columns: `seed, epoch, step, rate, train_loss` (mean over the epoch's batches; at epoch 0, none), and what `Measures`
says: on the test split `test_loss` and, for classes, `test_accuracy`; of facts, at every tenth of the training, the
shares answered rightly of what was trained (`known`) and of what was held out (`held_out_paraphrase`: trained facts in
words not met for them; `held_out_fact`: questions never answered). A question with several answers counts once for
each, and a network names one. A seed that diverges gets one last line with `diverged: true`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from models.data.dataset import Dataset
from models.data.validation import NOT_ASKED
from models.files import read_file, write_file
from models.refusals import BadFile
from models.training.answering import Questions, answers
from models.training.losses import LOSSES, targets_for
from models.training.population import Population

Row = dict[str, Any]
CHUNK = 1_000
NO_MEASURES = ("seed", "epoch", "step", "rate", "diverged")


@dataclass(frozen=True)
class Measures:
    """What a run is measured by: the test split, or the kinds of questions about facts, each prompt once."""

    test: Dataset | None
    facts: Mapping[str, Dataset]

    @classmethod
    def of(cls, data: Dataset) -> Measures:
        """The measures of a data set. Raises `Refused` where nothing is held out, but for facts."""
        if "fact" not in data.examples:
            return cls(data.test, {})
        judged = data.examples["split"].ne("probe") & ~data.examples.duplicated(["fact", "template"])
        kinds = data.examples.loc[judged, "kind"]
        parts = {str(kind): data.subset(rows.index.to_numpy()) for kind, rows in kinds.groupby(kinds)}
        return cls(None, {"known" if kind == "trained" else kind: part for kind, part in parts.items()})

    def scores(self, population: Population) -> dict[str, list[float]]:
        """What is measured now, a number for each seed; nothing where it is not time."""
        if self.test is not None:
            return test_scores(population, self.test)
        epochs = population.recipe.training.epochs
        if population.epoch % max(1, epochs // 10) and population.epoch != epochs:
            return {}
        return {name: test_scores(population, part)["test_accuracy"] for name, part in self.facts.items()}


def epoch_rows(population: Population, measures: Measures) -> list[Row]:
    """A row for each seed that goes on, after an epoch (or before the first)."""
    scores = measures.scores(population)
    losses = (population.loss_sum / population.steps_per_epoch).tolist()
    rows = []
    for place, seed in enumerate(population.seeds):
        if population.diverged_at[place] < 0:
            train = {} if population.step == 0 else {"train_loss": losses[place]}
            rate = {"rate": float(population.rates()[place])}
            measured = {name: values[place] for name, values in scores.items()}
            rows.append(
                {"seed": seed, "epoch": population.epoch, "step": population.step} | rate | train | measured
            )
    return [{key: value for key, value in row.items() if not _nan(value)} for row in rows]


def divergence_rows(population: Population, known: set[int]) -> list[Row]:
    """A last row for each seed that has diverged and is not yet known to have."""
    return [
        {
            "seed": seed,
            "epoch": step // population.steps_per_epoch,
            "step": step,
            "rate": rate,
            "diverged": True,
        }
        for seed, step, rate in population.divergences
        if seed not in known
    ]


@torch.no_grad()
def test_scores(population: Population, test: Dataset) -> dict[str, list[float]]:
    """`test_loss` and, for classes, `test_accuracy` of every seed on these examples."""
    loss, outputs = population.recipe.training.loss, population.recipe.network.outputs
    targets = targets_for(loss, test.targets, outputs, population.model.dtype)
    total = torch.zeros(len(population.seeds), dtype=torch.float64)
    right = torch.zeros(len(population.seeds), dtype=torch.float64)
    model = population.model
    questions = Questions.of(test, device=model.device, dtype=model.dtype, causal=model.causal)
    for start in range(0, len(test), CHUNK):
        part = slice(start, start + CHUNK)
        answered = answers(model, questions.part(part)).cpu()
        total += LOSSES[loss](answered, targets[part]).double() * asked_in(test.targets[part])
        right += _right(answered, test.targets[part])
    asked = asked_in(test.targets)
    scores = {"test_loss": (total / asked).tolist()}
    return (
        scores if test.targets.is_floating_point() else scores | {"test_accuracy": (right / asked).tolist()}
    )


def _right(answered: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return torch.zeros(len(answered), dtype=torch.float64)
    return (answered.argmax(dim=-1) == targets).flatten(1).sum(dim=-1).double()


def asked_in(targets: Tensor) -> int:
    """How many predictions these targets ask for: one an example, or each that is not `NOT_ASKED`."""
    if targets.is_floating_point() or targets.ndim == 1:
        return len(targets)
    return int((targets != NOT_ASKED).sum())


def append_rows(path: Path, rows: Iterable[Row]) -> None:
    """Appends rows and hands them to the operating system."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def cut_back(path: Path, step: int) -> list[Row]:
    """Leaves the rows up to this step: those after it, and a torn last line, were never part of the resumed run."""
    whole = [line for line in _lines(path) if line.endswith("\n")]
    kept = [row for row in map(json.loads, whole) if row["step"] <= step]
    write_file(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
    return kept


def last_words(metrics: pd.DataFrame) -> str:
    """What the log says at its last epoch, the mean over seeds and the range."""
    if metrics.empty:
        return "no log"
    last = metrics[metrics["epoch"] == metrics["epoch"].max()]
    told = [name for name in last.columns if name not in NO_MEASURES and last[name].notna().any()]
    values = {name: last[name].dropna().astype(float) for name in told}
    return f"epoch {int(metrics['epoch'].max())}: " + ", ".join(
        f"{name} {value.mean():.3g}"
        + (f" ({value.min():.3g} to {value.max():.3g})" if len(value) > 1 else "")
        for name, value in values.items()
    )


def read_metrics(path: Path) -> pd.DataFrame:
    """The log as a table; raises `BadFile` when it is missing or torn."""
    try:
        return pd.DataFrame([json.loads(line) for line in _lines(path)])
    except ValueError as error:
        raise BadFile(f"{path} is truncated or altered: {error}") from error


def _lines(path: Path) -> list[str]:
    return read_file(path).decode(errors="replace").splitlines(keepends=True)


def _nan(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
