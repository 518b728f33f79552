"""What a seed costs in a population, beside a plain PyTorch loop of the same recipe (one process, one thread).

`3b1b` (784-16-16-10, batches of 10) on MNIST-shaped noise: the time of a step does not depend on what the images show.
The sides take turns; the figure is the processor time of the loop's step over that of the population's step and member.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F

from models.data.dataset import Dataset
from models.training.population import Population
from models.training.recipes import recipe
from models.training.train import one_thread

EXAMPLES, BATCH, RATE, STEPS, ROUNDS = 20_000, 10, 3.0, 150, 9


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    data = noise()
    with one_thread():
        return [
            (
                f"{members} seeds of 3b1b, each faster than a plain loop by",
                speed_up(data, members),
                f">= {bound} (goal {goal})",
            )
            for members, bound, goal in ((16, 5, 6), (64, 8, 9))
        ]


def noise() -> Dataset:
    """Images and labels of MNIST's shape that show nothing."""
    randomness = torch.Generator().manual_seed(0)
    inputs = torch.rand(EXAMPLES, 784, generator=randomness)
    targets = torch.randint(10, (EXAMPLES,), generator=randomness)
    split = ["network"] * (EXAMPLES - 2) + ["probe", "test"]
    return Dataset.from_arrays(inputs, targets, split=split, name="noise")


def speed_up(data: Dataset, members: int) -> float:
    """How many times less a step costs per network in a population of this size."""
    population = Population(recipe("3b1b"), data.network, range(members), torch.device("cpu"))
    loop = plain_loop(data.network)
    plain, together = [], []
    for turn in range(ROUNDS + 1):
        plain.append(seconds(lambda: next(loop)))
        together.append(seconds(population.advance))
        if not turn:
            plain.clear(), together.clear()
    return statistics.median(plain) * members / statistics.median(together)


def plain_loop(data: Dataset) -> Iterator[None]:
    """The recipe as a tutorial would write it; each `next` is a step."""
    network = nn.Sequential(
        nn.Linear(784, 16), nn.Sigmoid(), nn.Linear(16, 16), nn.Sigmoid(), nn.Linear(16, 10), nn.Sigmoid()
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    one_hot = F.one_hot(data.targets, 10).float()
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    while True:
        for batch in order.split(BATCH):
            loss = 0.5 * (network(data.inputs[batch]) - one_hot[batch]).square().sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def seconds(step: Callable[[], object]) -> float:
    """How long so many steps take."""
    began = time.process_time()
    for _ in range(STEPS):
        step()
    return time.process_time() - began


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:62} {measured:7.2f}   {bound}")
