"""Checkpoints: everything a population in training is, in one file, written whole or not at all.

Data order and schedule are pure functions of seed and step, so a checkpoint holds the weights, the optimizer's memory,
a few numbers for each seed and the step; a run that is killed and resumed ends with the same bits.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from models.files import write_file
from models.refusals import BadFile, Refused
from models.training.population import Population

FORMAT = "interp-lab checkpoint 1"


def save_checkpoint(population: Population, path: Path, *, digest: str) -> None:
    """Writes the population's state; `digest` names the recipe and data it belongs to."""
    record = {
        "format": FORMAT,
        "digest": digest,
        "seeds": json.dumps(population.seeds),
        "step": str(population.step),
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in _state(population).items()}
    write_file(path, safetensors.torch.save(tensors, metadata=record))


def load_checkpoint(population: Population, path: Path, *, digest: str) -> None:
    """Sets the population to the state in that file.

    Raises `BadFile` when the file is torn or foreign, `Refused` when it belongs to another recipe, data or seeds.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            record = file.metadata() or {}
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is truncated, altered or no checkpoint: {error}") from error
    _refuse_another(record, population, path, digest)
    for name, value in _state(population).items():
        value.detach().copy_(saved[name])
    population.step = int(record["step"])


def _refuse_another(record: dict[str, str], population: Population, path: Path, digest: str) -> None:
    if record.get("format") != FORMAT:
        raise BadFile(f"{path} is no checkpoint of this laboratory: its format is not {FORMAT!r}.")
    if record["digest"] != digest:
        raise Refused(
            f"{path} belongs to another recipe, data set, or version of the training code or of torch: start "
            f"anew in another folder."
        )
    if json.loads(record["seeds"]) != list(population.seeds):
        raise Refused(
            f"{path} holds seeds {record['seeds']}, not {list(population.seeds)}: resume with its own."
        )


def _state(population: Population) -> dict[str, Tensor]:
    state = {f"weights.{name}": value for name, value in population.model.state_dict().items()}
    for kind, memory in enumerate(population.updates.memory):
        state |= {f"optimizer.{kind}.{place}": value for place, value in enumerate(memory)}
    return state | {
        "loss_sum": population.loss_sum,
        "diverged_at": population.diverged_at,
        "diverged_rate": population.diverged_rate,
        "plateau.best": population.plateau.best,
        "plateau.waited": population.plateau.waited,
        "plateau.factor": population.plateau.factor,
    }
