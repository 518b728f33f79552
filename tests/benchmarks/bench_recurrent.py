"""A recurrent network beside torch.nn's own module with the same weights (one thread), when nobody listens.

Sequences of 100 positions, as the adding problem has them: 2 numbers a position, 8 units, batches of 32; and a size
where arithmetic counts, 16 numbers, 64 units. A training step is forward, backward and Adam on the squared error at the
last position. The sides take turns within one loop; what is measured is processor time, medians. The last rows say what
a seed costs among eight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timing import interleaved
from torch import Tensor, nn

from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.recurrent_torch import to_torch
from models.training.train import one_thread

EXAMPLES, LENGTH, REPEATS, SEEDS = 32, 100, 200, 8
SIZES = ((2, 8), (16, 64))
CELLS = ("rnn", "lstm", "gru")


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    found = []
    with one_thread():
        for features, units in SIZES:
            for cell in CELLS:
                config = RecurrentConfig(units, 1, cell=cell, features=features)  # type: ignore[arg-type]
                ours, theirs, several = compared(config)
                size = f"{cell}, {units} units"
                found.append((f"training step / torch.nn's, {size}", ours / theirs, "<= 1.1"))
                found.append(
                    (f"a seed among {SEEDS} / torch.nn's, {size}", several / SEEDS / theirs, "for comparison")
                )
    return found


def compared(config: RecurrentConfig) -> list[float]:
    """Seconds of a training step: ours, torch's, and that of a population of eight."""
    model, inputs = Recurrent(config), batch(config.features)
    ours, theirs = interleaved([step(model, inputs), step(Tutorial(model), inputs)], REPEATS)
    own = torch.stack([inputs.roll(shift, dims=0) for shift in range(SEEDS)])
    (several,) = interleaved([step(Recurrent(config, seeds=range(SEEDS)), own)], REPEATS // 4)
    return [ours, theirs, several]


class Tutorial(nn.Module):
    """torch.nn's own layer and a linear map of its last state."""

    def __init__(self, model: Recurrent) -> None:
        super().__init__()
        self.layer = to_torch(model)
        with torch.random.fork_rng(devices=[]):
            self.linear = nn.Linear(model.config.units, model.config.outputs)

    def forward(self, inputs: Tensor) -> Any:
        return self.linear(self.layer(inputs)[0][:, -1])


def batch(features: int) -> Tensor:
    """Sequences of any numbers, the same each time."""
    return torch.rand(EXAMPLES, LENGTH, features, generator=torch.Generator().manual_seed(0))


def step(network: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """A training step towards the sum of the first feature."""
    optimizer, targets = torch.optim.Adam(network.parameters(), lr=1e-3), inputs[..., :1].sum(dim=-2)

    def train() -> None:
        loss = (network(inputs) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return train


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:60} {measured:7.3f}   {bound}")
