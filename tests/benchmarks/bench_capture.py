"""What naming and keeping every activation costs, beside the plain network.

One process, one thread, medians: 784-256-256-10, 10,000 examples in batches of 256. The two sides of a
ratio take turns within one loop, so that what else the machine does falls on both; what is measured is processor time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from timing import interleaved
from torch import Tensor, nn

from interp.reading.capture import capture
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.training.train import one_thread

SIZES = (784, 256, 256, 10)
BOTH_POINTS = "layers.*.hook_{pre,post}"


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    with one_thread():
        unused, captured, torch_layers = overheads()
        return [
            ("hook points nobody uses / the network without them", unused, "<= 1.05"),
            ("the same / torch.nn.Sequential, whose weights lie transposed", torch_layers, "for comparison"),
            ("capture of both points of each hidden layer / without them", captured, "<= 1.25"),
            ("fixed cost of a capture call, ms", fixed_cost(), "<= 0.5"),
        ]


def overheads(repeats: int = 15) -> tuple[float, float, float]:
    """Unused hook points and a capture, over the plain forward pass; unused hook points over torch's layers."""
    model = MLP(MLPConfig(sizes=SIZES, activation="relu"))
    inputs = torch.randn(10_000, SIZES[0], generator=torch.Generator().manual_seed(0))
    plain, layers = partial(without_hooks, model), torch_layers(model)
    seconds = interleaved(
        [
            lambda: over_batches(plain, inputs),
            lambda: over_batches(model, inputs),
            lambda: capture(model, inputs, BOTH_POINTS, batch_size=256),
            lambda: over_batches(layers, inputs),
        ],
        repeats,
    )
    return seconds[1] / seconds[0], seconds[2] / seconds[0], seconds[1] / seconds[3]


def fixed_cost(repeats: int = 400) -> float:
    """Milliseconds of a capture of one example from a tiny network, its forward pass taken off."""
    model, inputs = MLP(MLPConfig(sizes=(4, 3, 3, 2))), torch.zeros(1, 4)
    seconds = interleaved(
        [lambda: over_batches(model, inputs), lambda: capture(model, inputs, BOTH_POINTS)], repeats
    )
    return 1000 * (seconds[1] - seconds[0])


def without_hooks(model: MLP, x: Tensor) -> Tensor:
    """The same arithmetic on the same weights, without hook points."""
    for layer in model.layers:
        x = torch.relu(torch.addmm(layer.b, x, layer.W))
    return torch.addmm(model.unembed.b, x, model.unembed.W)


def torch_layers(model: MLP) -> nn.Sequential:
    """The same network of torch's own layers."""
    layers: list[nn.Module] = []
    for affine in [*model.layers, model.unembed]:
        linear = nn.Linear(*affine.W.shape)
        linear.weight.data, linear.bias.data = affine.W.data.T.contiguous(), affine.b.data.clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def over_batches(network: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
    """Every batch of 256 once through the network, without gradient."""
    with torch.no_grad():
        for batch in inputs.split(256):
            network(batch)


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:62} {measured:7.3f}   {bound}")
