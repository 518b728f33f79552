"""How far back a gradient reaches, and how long a chain of products waits for itself: behind `who_remembers_longest`.

Reach: the norm of d(output) / d(what enters the first layer at a position), the mean over rows, against the position's
distance from the end. Where each step shrinks it by a factor, log10 of it is a falling line; its slope (least squares)
is given as decades lost per 10 positions: 0 says that nothing fades. What is 30 decades below the largest or less is
taken for nothing, and the line is of the distances before it; a gradient that reaches one distance at most has lost
30 decades in one position.

Waiting: every matrix product is one step longer than the longest chain among what it is made of. The longest chain in a
pass says how many products cannot begin before another has ended, on any machine. Seconds are no part of it.

When it misleads: where the gradient is gone from some distance on, the line is of few of them (`gone` tells which
networks that is so of). A gradient is a small change's effect; a network that has learned to ignore noise has small
gradients there, and a saturated answer has small gradients everywhere. A chain says nothing of how long its links are:
attention to twice the positions takes twice the work a link.

Sources: Bengio, Simard and Frasconi, Learning long-term dependencies with gradient descent is difficult (1994),
https://doi.org/10.1109/72.279181; Vaswani et al., Attention is all you need (2017), table 1 (sequential operations),
https://arxiv.org/abs/1706.03762.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import models

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

ROWS = 200
LONGEST = 16
LEAST = -30  # decades below the largest: what is less is taken for this


@dataclass(frozen=True)
class Reach:
    """The gradient's norm by distance, `[seed, distance]`, before and after training."""

    before: Numbers
    after: Numbers

    @property
    def fading(self) -> dict[str, Numbers]:
        """How fast it fades, `before` and `after`, each `[seed]`."""
        return {"before": fading(self.before), "after": fading(self.after)}


def reached(model: models.HookedModel, data: models.Dataset) -> Reach:
    """The reach of trained networks, and of the same networks before their training."""
    return Reach(reach(type(model)(model.config, seeds=model.every_seed), data), reach(model, data))


def reach(model: models.HookedModel, data: models.Dataset) -> Numbers:
    """The gradient's norm by distance from the end (0 first), the mean over the first rows: `[seed, distance]`.

    Of networks that answer with one number a row; a token that stands before the sequence is left out.
    """
    import torch

    part = data.inputs[:ROWS].double()  # in float32 a gradient may be lost altogether
    precise = copy.deepcopy(model).double()
    entering = precise(part, stop_at_layer=0).detach()
    entering = entering.expand(len(model.every_seed), *entering.shape[-3:]).contiguous().requires_grad_()
    (gradient,) = torch.autograd.grad(precise(entering, start_at_layer=0).sum(), entering)
    norms = gradient.norm(dim=-1).mean(dim=-2).flip(-1)
    return cast("Numbers", norms[:, : positions(data)].numpy())


def positions(data: models.Dataset) -> int:
    """How many positions a row has, as numbers or as patches of 2x2."""
    return data.inputs.shape[1] if data.image_shape is None else data.image_shape[1] // 2


def relative(norms: Numbers) -> Numbers:
    """log10 of the norms relative to each seed's largest, `[seed, distance]`; at least `LEAST`.

    A saturated tanh network may pass on no gradient at all.
    """
    largest = np.maximum(norms.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray(np.log10(np.maximum(norms / largest, 10.0**LEAST)), dtype=np.float64)


def fading(norms: Numbers) -> Numbers:
    """Decades lost per 10 positions, `[seed]`; `norms [seed, distance]` as `reach` gives them.

    A line through the distances that the gradient reaches. Where it reaches one at most, the first position takes all.
    """
    return np.array([-10 * _slope(decades) for decades in relative(norms)])


def _slope(decades: Numbers) -> float:
    lost = np.flatnonzero(decades <= LEAST)
    reached = int(lost[0]) if len(lost) else len(decades)
    if reached < 2:
        return float(LEAST)
    return float(np.polyfit(np.arange(reached), decades[:reached], 1)[0])


def gone(norms: Numbers) -> NDArray[np.bool_]:
    """Whether the gradient reaches two distances or more only as what is taken for 30 decades, `[seed]`.

    Then `fading` tells of the nearer ones alone.
    """
    return np.asarray((relative(norms) <= LEAST).sum(axis=1) >= 2)


def chains(config: Any, *, seeds: int) -> dict[str, Numbers]:
    """How much longer the longest chain gets for each position more: `reading` and `writing`, each `[seed]`.

    `config` is of a network that names the next token and reads at least `LONGEST` positions.
    """
    from models.networks.families import network_class

    members = [network_class(config)(config, seeds=seed) for seed in range(seeds)]
    half = LONGEST // 2
    return {
        chain.__name__: np.array(
            [(chain(one, LONGEST) - chain(one, half)) / (LONGEST - half) for one in members]
        )
        for chain in (reading, writing)
    }


def reading(network: models.HookedModel, length: int) -> int:
    """The longest chain of products in one pass over a sequence of this length, its steps laid open."""
    import torch

    tokens = torch.zeros(1, length, dtype=torch.int64)
    gate = next((network.hook_dict[f"layers.0.hook_{name}"] for name in gates(network)), None)
    handle = None if gate is None else gate.register_forward_hook(lambda *_: None)
    try:
        return longest_chain(lambda: network(tokens))
    finally:
        if handle is not None:
            handle.remove()


def gates(network: models.HookedModel) -> list[str]:
    """The first gate of a recurrent network: listening there lays its steps open."""
    return [name for name in ("i", "r") if f"layers.0.hook_{name}" in network.hook_dict]


def writing(network: models.HookedModel, count: int) -> int:
    """The longest chain of products in writing this many tokens after one token."""
    import torch

    return longest_chain(lambda: models.generate(network, torch.zeros(1, 1, dtype=torch.int64), count=count))


def longest_chain(run: Callable[[], Any]) -> int:
    """The longest chain of matrix products, each made of the one before, in what `run` computes without gradients."""
    import torch

    from analyses.sequences.waiting import Chains

    with torch.no_grad(), Chains() as chains:
        run()
    return int(chains.longest)
