"""A transformer as a graph: who writes to the residual stream, who reads it, and every way between.

Senders are `embed`, `pos_embed`, each head (`blocks.0.attn[1]`) and each MLP (`blocks.0.mlp`). Receivers are each
head's query, key and value (`blocks.1.attn[0].q`; keys and values of the key heads), each MLP (`blocks.1.mlp`) and
`logits`. An edge leads from a sender to a receiver that stands behind it: what a receiver reads is the sum of what all
senders before it wrote (and of the attentions' output biases, which are the same in every run and are no senders).
Sources: Elhage et al. 2021, https://transformer-circuits.pub/2021/framework/; Conmy et al. 2023,
https://arxiv.org/abs/2304.14997.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from interp.locating.direct import Anatomy, anatomy_of
from interp.locating.gradients import traced
from interp.reading.capture import evaluating
from interp.reading.points import hook_points
from interp.refusals import Refused, unknown

Edge = tuple[str, str]


@dataclass(frozen=True)
class Sender:
    """What writes to the stream: its name, its place (layer, and 0 for attention, 1 for MLP), and its hook."""

    name: str
    place: tuple[int, int]
    hook: str


@dataclass(frozen=True)
class Receiver:
    """What reads the stream: its name, its place, and, of an attention, the hook and head that hold what it made."""

    name: str
    place: tuple[int, int]
    hook: str = ""
    head: int = 0


@dataclass(frozen=True)
class EdgeGraph:
    """The senders and receivers of one network, in the order in which they act, and the edges between them."""

    anatomy: Anatomy
    senders: tuple[Sender, ...]
    receivers: tuple[Receiver, ...]

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Every edge as (which sender, which receiver)."""
        return tuple(
            (u, r)
            for r, receiver in enumerate(self.receivers)
            for u, sender in enumerate(self.senders)
            if sender.place < receiver.place
        )

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge by name, in the order of `pairs`."""
        return tuple((self.senders[u].name, self.receivers[r].name) for u, r in self.pairs)

    def chosen(self, edges: Iterable[Edge]) -> np.ndarray:
        """Whether each edge of the graph is among these, bool `[edge]`; `Refused` for edges it does not have."""
        asked, known = {tuple(edge) for edge in edges}, set(self.edges)
        if strange := sorted(asked - known):
            raise unknown("edge", " -> ".join(strange[0]), (" -> ".join(edge) for edge in self.edges))
        return np.array([edge in asked for edge in self.edges], dtype=bool)

    def grid(self, kept: Tensor) -> Tensor:
        """`[..., sender, receiver]` of `[..., edge]`, False where there is no edge."""
        senders, receivers = (
            torch.tensor(column, device=kept.device) for column in zip(*self.pairs, strict=True)
        )
        full = torch.zeros(
            *kept.shape[:-1], len(self.senders), len(self.receivers), dtype=kept.dtype, device=kept.device
        )
        full[..., senders, receivers] = kept
        return full


def edge_graph(model: nn.Module, inputs: Tensor) -> EdgeGraph:
    """The graph of a network; `inputs` is anything it can read, to count its heads by.

    Raises `Refused` for a network that is no transformer, or whose attention and MLP read the stream side by side.
    """
    anatomy, points = anatomy_of(model), hook_points(model)
    for layer in set(anatomy.attentions) & set(anatomy.mlps):
        if f"blocks.{layer}.hook_resid_mid" not in points:
            raise Refused(
                f"Layer {layer} has no `hook_resid_mid`: attention and MLP read the stream side by side."
            )
    counted = [f"blocks.{layer}.attn.hook_{kind}" for layer in anatomy.attentions for kind in "qkv"]
    with torch.no_grad(), evaluating(model), traced(model, counted) as live:
        model(inputs)
    heads = {name: tensor.shape[-2] for name, tensor in live.items()}
    return EdgeGraph(anatomy, tuple(_senders(anatomy, heads)), tuple(_receivers(anatomy, heads)))


def _senders(anatomy: Anatomy, heads: dict[str, int]) -> Iterator[Sender]:
    for name in anatomy.embeddings:
        yield Sender(name.removeprefix("hook_"), (-1, 0), name)
    for layer in range(anatomy.layers):
        block = f"blocks.{layer}"
        for head in range(heads.get(f"{block}.attn.hook_q", 0)):
            yield Sender(f"{block}.attn[{head}]", (layer, 0), f"{block}.attn.hook_result")
        if layer in anatomy.mlps:
            yield Sender(f"{block}.mlp", (layer, 1), f"{block}.hook_mlp_out")


def _receivers(anatomy: Anatomy, heads: dict[str, int]) -> Iterator[Receiver]:
    for layer in range(anatomy.layers):
        block = f"blocks.{layer}"
        for kind in "qkv":
            hook = f"{block}.attn.hook_{kind}"
            for head in range(heads.get(hook, 0)):
                yield Receiver(f"{block}.attn[{head}].{kind}", (layer, 0), hook, head)
        if layer in anatomy.mlps:
            yield Receiver(f"{block}.mlp", (layer, 1))
    yield Receiver("logits", (anatomy.layers, 0))
