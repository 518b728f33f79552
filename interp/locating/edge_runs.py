"""Runs in which every receiver of a transformer reads a residual stream of its own; exact.

A receiver's stream is the one that is there plus an offset (what edges from elsewhere bring, less what they brought).
Nothing in the network has to be taken apart for that. Layer by layer:

1. the layer runs on the streams of the queries, keys and values that are offset, and what each of them makes is kept;
2. it runs on the stream that is there, with these put in their places: that gives every head's output;
3. where its MLP's stream is offset, the layer runs with that in the middle, and what the MLP writes is kept.

What leaves the layer is the stream plus what its attention and its MLP wrote. Normalisation, rotations and shared keys
are the network's own, so any network with the hook points will do, pretrained ones included. Gradients pass.
Several variants of a run ride side by side along the example axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from interp.locating.edge_graph import EdgeGraph
from interp.locating.gradients import Take, traced
from interp.writing.edits import Edit, edited
from interp.writing.sites import Site

EXAMPLE = -3


class Offsets(Protocol):
    """What is added to the stream that a receiver reads, and in which rows of the example axis; None: nothing.

    `outputs` is what the senders before the receiver wrote in this run, `[*seed, row, pos, d_model]` each.
    """

    def __call__(self, receiver: int, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None: ...


@dataclass(frozen=True)
class Place:
    """An edit that puts what some receivers made into their rows and heads."""

    parts: tuple[tuple[Tensor, int, Tensor], ...]

    def __call__(self, tensor: Tensor, site: Site) -> Tensor:
        heads = list(tensor.unbind(-2))
        for rows, head, made in self.parts:
            heads[head] = heads[head].index_copy(EXAMPLE, rows, made)
        return torch.stack(heads, dim=-2)


@dataclass(frozen=True, eq=False)
class Waiting:
    """A receiver whose stream is offset: which one, in which rows, and the stream it reads."""

    receiver: int
    rows: Tensor
    stream: Tensor


def embedded(model: nn.Module, graph: EdgeGraph, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The stream before the first layer, and what each embedding wrote."""
    with traced(model, graph.anatomy.embeddings) as live:
        stream = model(inputs, stop_at_layer=0)
    return stream, [live[name] for name in graph.anatomy.embeddings]


def run(
    model: nn.Module, graph: EdgeGraph, stream: Tensor, outputs: list[Tensor], offsets: Offsets
) -> Tensor:
    """The logits, from the stream before the first layer; `outputs`, the embeddings, grow by every sender's."""
    for layer in range(graph.anatomy.layers):
        stream = through_layer(model, graph, layer, stream, outputs, offsets=offsets)
    return logits_of(model, graph, stream, outputs, offsets=offsets)


def through_layer(
    model: nn.Module, graph: EdgeGraph, layer: int, stream: Tensor, outputs: list[Tensor], *, offsets: Offsets
) -> Tensor:
    """The stream behind one layer; appends what its senders wrote to `outputs`."""
    block, hooks = (
        f"blocks.{layer}",
        list(dict.fromkeys(s.hook for s in graph.senders if s.place[0] == layer)),
    )
    attends, feeds = layer in graph.anatomy.attentions, layer in graph.anatomy.mlps
    made = _made(model, graph, layer, _waiting(graph, (layer, 0), stream, outputs, offsets=offsets))
    hooks += [f"{block}.hook_attn_out"] if attends else []
    with edited(model, made), traced(model, hooks) as live:
        model(stream, start_at_layer=layer, stop_at_layer=layer + 1)
    if attends:
        outputs += live[f"{block}.attn.hook_result"].unbind(-2)
        stream = stream + live[f"{block}.hook_attn_out"]
    if feeds:
        written = live[f"{block}.hook_mlp_out"]
        for one in _waiting(graph, (layer, 1), stream, outputs, offsets=offsets):
            written = written.index_copy(EXAMPLE, one.rows, _mlp(model, layer, one.stream, attends=attends))
        outputs.append(written)
        stream = stream + written
    return stream


def logits_of(
    model: nn.Module, graph: EdgeGraph, stream: Tensor, outputs: Sequence[Tensor], *, offsets: Offsets
) -> Tensor:
    """The logits of the stream behind the last layer."""
    layers = graph.anatomy.layers
    for one in _waiting(graph, (layers, 0), stream, outputs, offsets=offsets):
        stream = stream.index_copy(EXAMPLE, one.rows, one.stream)
    return model(stream, start_at_layer=layers)  # type: ignore[no-any-return]


def _waiting(
    graph: EdgeGraph, place: tuple[int, int], stream: Tensor, outputs: Sequence[Tensor], *, offsets: Offsets
) -> list[Waiting]:
    found = []
    for index, receiver in enumerate(graph.receivers):
        added = offsets(index, outputs) if receiver.place == place else None
        if added is not None:
            rows, offset = added
            found.append(Waiting(index, rows, stream.index_select(EXAMPLE, rows) + offset))
    return found


def _made(model: nn.Module, graph: EdgeGraph, layer: int, waiting: list[Waiting]) -> list[Edit]:
    """The queries, keys and values of the receivers that wait, as edits of the layer."""
    if not waiting:
        return []
    hooks = list(dict.fromkeys(graph.receivers[one.receiver].hook for one in waiting))
    with traced(model, hooks) as live:
        streams = torch.cat([one.stream for one in waiting], dim=EXAMPLE)
        model(streams, start_at_layer=layer, stop_at_layer=layer + 1)
    lengths = [len(one.rows) for one in waiting]
    parts: dict[str, list[tuple[Tensor, int, Tensor]]] = {hook: [] for hook in hooks}
    split = {hook: torch.split(live[hook], lengths, dim=EXAMPLE - 1) for hook in hooks}
    for place, one in enumerate(waiting):
        receiver = graph.receivers[one.receiver]
        made = split[receiver.hook][place].select(-2, receiver.head)
        parts[receiver.hook].append((one.rows, receiver.head, made))
    return [Edit(hook, Place(tuple(each))) for hook, each in parts.items()]


def _mlp(model: nn.Module, layer: int, stream: Tensor, *, attends: bool) -> Tensor:
    """What the MLP of a layer writes when it reads this stream."""
    block = f"blocks.{layer}"
    middle = [Edit(f"{block}.hook_resid_mid", Take(stream))] if attends else []
    with edited(model, middle), traced(model, [f"{block}.hook_mlp_out"]) as live:
        model(stream, start_at_layer=layer, stop_at_layer=layer + 1)
    return live[f"{block}.hook_mlp_out"]
