"""The three cells: one step each, written out gate by gate, and torch's fused kernel for the whole sequence.

    rnn   h' = tanh(x W_x + b_x + h W_h + b_h)
    lstm  i, f, o = sigmoid(...), g = tanh(...) of the same sum;  c' = f c + i g;  h' = o tanh(c')
    gru   r, z = sigmoid(...), n = tanh(x W_x + b_x + r (h W_h + b_h));  h' = (1 - z) n + z h

`see(name, row)` is told each step's value and says what the network goes on with. Gates stand in torch's order.

Sources: Elman 1990; Hochreiter and Schmidhuber 1997 (https://doi.org/10.1162/neco.1997.9.8.1735), with the forget gate
of Gers et al. 2000; Cho et al. 2014 (https://arxiv.org/abs/1406.1078), in the variant of torch.nn.GRU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

See = Callable[[str, Tensor], Tensor]
States = tuple[Tensor, ...]
Recurrence = Callable[[Tensor], Tensor]
Step = Callable[[Tensor, States, Recurrence, See], States]


@dataclass(frozen=True)
class Cell:
    """A kind of cell: its hook points in the order of a step, its states, its step, torch's kernel.

    `step(driven, states, recurrence, see)`: `driven [*seed, example, gate x unit]` is x W_x + b_x, and `recurrence(h)`
    is h W_h + b_h. `batched`: a population takes its steps together, which beats one kernel call for each seed.
    """

    points: tuple[str, ...]
    states: tuple[str, ...]
    step: Step
    kernel: Callable[..., Sequence[Tensor]]
    batched: bool


def _rnn(driven: Tensor, states: States, recurrence: Recurrence, see: See) -> States:
    return (see("h", torch.tanh(driven + recurrence(states[0]))),)


def _lstm(driven: Tensor, states: States, recurrence: Recurrence, see: See) -> States:
    h, c = states
    i, f, g, o = (driven + recurrence(h)).chunk(4, dim=-1)
    i, f = see("i", torch.sigmoid(i)), see("f", torch.sigmoid(f))
    g, o = see("g", torch.tanh(g)), see("o", torch.sigmoid(o))
    c = see("c", torch.addcmul(f * c, i, g))
    return see("h", o * torch.tanh(c)), c


def _gru(driven: Tensor, states: States, recurrence: Recurrence, see: See) -> States:
    (h,) = states
    units = h.shape[-1]
    recalled = recurrence(h)
    gates = torch.sigmoid(driven[..., : 2 * units] + recalled[..., : 2 * units])
    r, z = see("r", gates[..., :units]), see("z", gates[..., units:])
    n = see("n", torch.tanh(torch.addcmul(driven[..., 2 * units :], r, recalled[..., 2 * units :])))
    return (see("h", torch.lerp(n, h, z)),)


CELLS = {
    "rnn": Cell(("h",), ("h",), _rnn, torch.rnn_tanh, batched=True),
    "lstm": Cell(("i", "f", "g", "o", "c", "h"), ("h", "c"), _lstm, torch.lstm, batched=False),
    "gru": Cell(("r", "z", "n", "h"), ("h",), _gru, torch.gru, batched=True),
}
