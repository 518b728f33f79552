"""An MLP whose weights are set by hand: it tells a closed loop from an open curve, by counting.

For a figure of black pixels, joined where they touch along a side,

    pieces - holes = pixels - pairs of neighbours + squares of four     (Euler's number)

and each of the three is a sum of neurons, as a ReLU of few pixels is a conjunction: relu(a + b - 1) is "a and b".
A figure of one piece therefore has relu(1 - Euler's number) holes. Of two or more pieces the network knows nothing.
Beside the circuit stand neurons with random weights that nobody but their like reads.
Source of the formula: Gray 1971, Local properties of binary images in two dimensions (IEEE Transactions on Computers).
"""

from __future__ import annotations

from itertools import product
from typing import cast

import torch
from torch import Tensor, nn

from models.networks.handmade import Handmade
from models.networks.mlp import MLP, HiddenLayer
from models.networks.mlp_config import MLPConfig
from models.refusals import Refused
from models.seeds import generator

DISTRACTORS = 8
SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2))  # pixel, two kinds of pairs, square


def loop_detector(*, rows: int = 4, columns: int = 4, seed: int = 0) -> Handmade:
    """A network of two hidden layers that reads `rows` x `columns` black (1) and white (0) pixels, row after row.

    For a figure of one piece (side by side, not corner to corner) the logits of the classes open and loop are
    0.5 - holes and holes - 0.5. `seed` draws the distractors.
    """
    if min(rows, columns) < 3:
        raise Refused(f"A loop needs 3 rows and 3 columns; given {rows} and {columns}.")
    masks, signs = _detectors(rows, columns)
    count, randomness = len(masks), generator(seed, "distractors")
    model = MLP(MLPConfig((rows * columns, count + DISTRACTORS, 1 + DISTRACTORS, 2)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        first, second = (cast(HiddenLayer, layer) for layer in model.layers)
        assert first.b is not None
        assert second.b is not None
        first.W[:, :count], first.b[:count] = masks.mT, 1 - masks.sum(-1)
        first.W[:, count:] = torch.randn(rows * columns, DISTRACTORS, generator=randomness)
        second.W[:count, 0], second.b[0] = -signs, 1
        second.W[:, 1:] = torch.randn(count + DISTRACTORS, DISTRACTORS, generator=randomness)
        model.unembed.W[0] = torch.tensor([-1.0, 1.0])
        model.unembed.b = nn.Parameter(torch.tensor([0.5, -0.5]))
    detectors = tuple(f"layers.0.hook_post[neuron={neuron}]" for neuron in range(count))
    return Handmade(
        model, "tells a loop from an open curve", (), (*detectors, "layers.1.hook_post[neuron=0]")
    )


def _detectors(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """For each conjunction the pixels it takes, `[detector, pixel]`, and its sign in Euler's number, `[detector]`."""
    masks, signs = [], []
    for height, width in SHAPES:
        for top, left in product(range(rows - height + 1), range(columns - width + 1)):
            mask = torch.zeros(rows, columns)
            mask[top : top + height, left : left + width] = 1
            masks.append(mask.flatten())
            signs.append(-1.0 if height + width == 3 else 1.0)
    return torch.stack(masks), torch.tensor(signs)
