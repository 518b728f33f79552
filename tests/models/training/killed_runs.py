"""A warm parent whose children train and are killed: run as a script with a folder and a number of kills.

Every child goes on from the last checkpoint; after the last kill one is left alone until it ends. Prints, as JSON, the
step of the checkpoint that each kill left behind (-1 where there was none yet).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import safetensors
import torch

from models.data.dataset import Dataset
from models.networks.mlp_config import MLPConfig
from models.seeds import generator
from models.training.recipes import Recipe
from models.training.train import train
from models.training.training_config import Optimizer, Schedule, TrainingConfig

RECIPES = {
    "adam": Recipe(
        "killed",
        "plateau schedule, one short batch an epoch",
        MLPConfig((8, 12, 3), activation="sigmoid", output="sigmoid", initialisation="normal"),
        "points",
        TrainingConfig("squared_error", Optimizer("adam", 0.02), 16, 40, Schedule("plateau", every=2)),
    ),
    "momentum": Recipe(
        "killed",
        "some seeds diverge",
        MLPConfig((8, 40, 40, 3), activation="identity"),
        "points",
        TrainingConfig("squared_error", Optimizer("sgd", 0.045), 16, 40, Schedule("cosine")),
    ),
}


def points() -> Dataset:
    randomness = generator(0, "points")
    inputs = torch.randn(130, 8, generator=randomness)
    targets = torch.randint(3, (130,), generator=randomness)
    return Dataset.from_arrays(
        inputs, targets, split=["network"] * 70 + ["probe"] * 30 + ["test"] * 30, name="points"
    )


def victim(name: str, folder: Path) -> int:
    child = os.fork()
    if child == 0:
        train(RECIPES[name], seeds=4, data=points(), folder=folder, resume=True, checkpoint_seconds=0.0)
        os._exit(0)
    return child


def step_left(folder: Path) -> int:
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return -1
    with safetensors.safe_open(path, framework="pt") as file:
        return int(file.metadata()["step"])


def wait_for_step(folder: Path, step: int) -> None:
    """Until the child has come so far, however busy the machine is; a child that stands still fails the test."""
    patience = time.monotonic() + 60
    while step_left(folder) < step and time.monotonic() < patience:
        time.sleep(0.0005)


def main(name: str, folder: Path, kills: int) -> None:
    torch.set_num_threads(1)
    moments = random.Random(0)
    left = []
    while len(left) < kills:
        child = victim(name, folder)
        wait_for_step(folder, step_left(folder) + moments.randint(0, 11))
        time.sleep(moments.uniform(0.0, 0.004))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        left.append(step_left(folder))
    _, status = os.waitpid(victim(name, folder), 0)
    print(json.dumps({"left": left, "exit": status}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
