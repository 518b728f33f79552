"""What each edge of a transformer carries: exactly, by one gradient (EAP), and by several (EAP-IG).

The effect of an edge is the metric when its receiver, and nobody else, gets what the sender wrote in the corrupt run,
less the metric of the clean run; everything behind the receiver is computed anew. Exact patching costs one run an edge.
Attribution takes all of them from one gradient g at the streams that the receivers read,

    (what the sender wrote in the corrupt run - in the clean run) . g

with g at the clean run (edge attribution patching, EAP: Syed et al. 2023, https://arxiv.org/abs/2310.10348), or g the
mean over runs whose embeddings lie at k/m, k = 1 ... m, of the way from the corrupt to the clean ones (EAP-IG: Hanna
et al. 2024, https://arxiv.org/abs/2403.17806). A query or key of a saturated attention has no gradient at the clean
run, so EAP gives such an edge nothing, whatever it carries.

In the place of a corrupt run may stand "zero" (senders write nothing) or "mean" (what they write on average over
examples and positions of the clean run). Positions are the same in two runs: only these two show what position carries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from interp.locating.edge_graph import EdgeGraph, edge_graph
from interp.locating.edge_runs import EXAMPLE, embedded, logits_of, run, through_layer
from interp.locating.gradients import Metric, batch_of, metric_values
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData
from interp.reading.points import seeds_of
from interp.refusals import Refused, unknown

Corrupt = LabelledData | Tensor | str
INSTEAD = ("zero", "mean")


def edge_effects(
    model: nn.Module, clean: LabelledData | Tensor, corrupt: Corrupt, metric: Metric, *, rows: int = 1024
) -> xr.DataArray:
    """The exact effect of every edge, `[*seed, edge, example]`, with the coordinates `sender` and `receiver`.

    `corrupt`: inputs shaped like the clean ones, "zero" or "mean". `metric` takes logits `[*seed, example, pos, token]`
    to `[*seed, example]`. About `rows` rows ride in one batch. Raises `Refused` for networks that are no transformers
    and inputs of another shape.
    """
    study = Study.of(model, clean, corrupt)
    with torch.no_grad(), evaluating(model):
        changed = torch.cat(list(_one_by_one(study, metric, rows=rows)), dim=-2)
        return study.label(changed - study.untouched(metric).unsqueeze(-2))


def edge_attribution(
    model: nn.Module, clean: LabelledData | Tensor, corrupt: Corrupt, metric: Metric, *, steps: int = 1
) -> xr.DataArray:
    """The estimated effect of every edge, as `edge_effects` has it: EAP with one step, EAP-IG with more."""
    if steps < 1:
        raise Refused(f"steps is at least 1; given {steps}.")
    study = Study.of(model, clean, corrupt)
    with evaluating(model):
        gradients = study.gradients(metric, steps)
    shares = [
        (study.difference(u) * gradients[r]).sum((-2, -1)) for u, r in study.graph.pairs
    ]  # sum over pos and d_model
    return study.label(torch.stack(shares, dim=-2))


@dataclass(frozen=True, eq=False)
class Study:
    """A clean run taken apart, and what each sender writes instead."""

    model: nn.Module
    graph: EdgeGraph
    examples: pd.DataFrame
    streams: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    instead: tuple[Tensor, ...]

    @classmethod
    @torch.no_grad()
    def of(cls, model: nn.Module, clean: LabelledData | Tensor, corrupt: Corrupt) -> Study:
        """Raises `Refused` for corrupt inputs that do not fit the clean ones."""
        inputs, examples = batch_of(model, clean)
        with evaluating(model):
            graph = edge_graph(model, inputs)
            streams, outputs = _taken_apart(model, graph, inputs)
            instead = _instead(model, graph, outputs, corrupt=corrupt, shape=inputs.shape)
        return cls(model, graph, examples, streams, outputs, instead)

    @property
    def count(self) -> int:
        """How many examples there are."""
        return int(self.streams[0].shape[EXAMPLE])

    def difference(self, sender: int) -> Tensor:
        """What the sender writes instead, less what it wrote."""
        return self.instead[sender] - self.outputs[sender]

    def untouched(self, metric: Metric) -> Tensor:
        """The metric of the clean run."""
        logits = self.model(self.streams[-1], start_at_layer=self.graph.anatomy.layers)
        return metric_values(metric, logits, seeds=seeds_of(self.model))

    def copies(self, stream: Tensor, times: int) -> Tensor:
        """The stream `times` over, side by side along the example axis."""
        shape = [*stream.shape[:EXAMPLE], times, *stream.shape[EXAMPLE:]]
        return stream.unsqueeze(EXAMPLE - 1).expand(shape).flatten(EXAMPLE - 1, EXAMPLE)

    def metrics(self, metric: Metric, logits: Tensor) -> Tensor:
        """The metric of each copy, `[*seed, copy, example]`, of logits whose rows are copies of the examples."""
        apart = torch.split(logits, self.count, dim=EXAMPLE)
        return torch.stack([metric_values(metric, one, seeds=seeds_of(self.model)) for one in apart], dim=-2)

    @torch.enable_grad()
    def gradients(self, metric: Metric, steps: int) -> list[Tensor]:
        """The mean gradient at the stream of each receiver, over steps from the corrupt embeddings to the clean."""
        embeddings = len(self.graph.anatomy.embeddings)
        away = sum(self.difference(sender) for sender in range(embeddings))
        total = [torch.zeros_like(self.streams[0]) for _ in self.graph.receivers]
        for step in range(1, steps + 1):
            leaves = Leaves.beside(self.streams[0], len(self.graph.receivers))
            start = self.streams[0] + (1 - step / steps) * away
            logits = run(self.model, self.graph, start, [*self.outputs[:embeddings]], leaves)
            value = metric_values(metric, logits, seeds=seeds_of(self.model)).sum()
            found = torch.autograd.grad(value, leaves.tensors, allow_unused=True)
            total = [t if g is None else t + g / steps for t, g in zip(total, found, strict=True)]
        return total

    def label(self, values: Tensor) -> xr.DataArray:
        """Values `[*seed, edge, example]` with their names."""
        seeds = seeds_of(self.model)
        senders, receivers = zip(*self.graph.edges, strict=True)
        coords = {
            "edge": [" -> ".join(edge) for edge in self.graph.edges],
            "sender": ("edge", list(senders)),
            "receiver": ("edge", list(receivers)),
            **{str(name): ("example", column.to_numpy()) for name, column in self.examples.items()},
            **({} if seeds is None else {"seed": list(seeds)}),
        }
        dims = ("seed", "edge", "example")[seeds is None :]
        return xr.DataArray(values.numpy(force=True), coords=coords, dims=dims)


@dataclass(frozen=True, eq=False)
class Leaves:
    """Offsets of nothing, to differentiate by."""

    tensors: list[Tensor]
    rows: Tensor

    @classmethod
    def beside(cls, stream: Tensor, count: int) -> Leaves:
        """One for each of `count` receivers."""
        rows = torch.arange(stream.shape[EXAMPLE], device=stream.device)
        return cls([torch.zeros_like(stream).requires_grad_() for _ in range(count)], rows)

    def __call__(self, receiver: int, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return self.rows, self.tensors[receiver]


@dataclass(frozen=True, eq=False)
class OneEach:
    """Copy c of the examples has edge c, and no other, patched."""

    study: Study
    edges: tuple[tuple[int, int], ...]

    def __call__(self, receiver: int, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None:
        here = [(copy, u) for copy, (u, r) in enumerate(self.edges) if r == receiver]
        if not here:
            return None
        count = self.study.count
        rows = torch.cat([torch.arange(copy * count, (copy + 1) * count) for copy, _ in here])
        offsets = torch.cat([self.study.difference(u) for _, u in here], dim=EXAMPLE)
        return rows.to(offsets.device), offsets


def nothing(receiver: int, outputs: Sequence[Tensor]) -> None:
    """No offset anywhere."""
    return


def _one_by_one(study: Study, metric: Metric, *, rows: int) -> Iterator[Tensor]:
    """The metric with each edge patched, in the graph's order, many edges to a batch."""
    graph, at_once = study.graph, max(1, rows // study.count)
    for place, group in groupby(graph.pairs, key=lambda pair: graph.receivers[pair[1]].place):
        pairs = tuple(group)
        for start in range(0, len(pairs), at_once):
            chunk = OneEach(study, pairs[start : start + at_once])
            stream = study.copies(study.streams[place[0]], len(chunk.edges))
            yield study.metrics(metric, _from_layer(study, place[0], stream, chunk))


def _from_layer(study: Study, layer: int, stream: Tensor, chunk: OneEach) -> Tensor:
    """The logits from one layer on, where the chunk's receivers are; all behind it is as it comes."""
    model, graph = study.model, study.graph
    if layer == graph.anatomy.layers:
        return logits_of(model, graph, stream, [], offsets=chunk)
    stream = through_layer(model, graph, layer, stream, [], offsets=chunk)
    return model(stream, start_at_layer=layer + 1)  # type: ignore[no-any-return]


def _taken_apart(
    model: nn.Module, graph: EdgeGraph, inputs: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The stream before every layer and behind the last, and what every sender wrote."""
    stream, outputs = embedded(model, graph, inputs)
    streams = [stream]
    for layer in range(graph.anatomy.layers):
        streams.append(through_layer(model, graph, layer, streams[-1], outputs, offsets=nothing))
    return tuple(streams), tuple(outputs)


def _instead(
    model: nn.Module, graph: EdgeGraph, outputs: Sequence[Tensor], *, corrupt: Corrupt, shape: Sequence[int]
) -> tuple[Tensor, ...]:
    """What each sender writes in the corrupt run, or in the place of one."""
    if isinstance(corrupt, str):
        if corrupt not in INSTEAD:
            raise unknown("run to patch from", corrupt, INSTEAD)
        if corrupt == "zero":
            return tuple(torch.zeros_like(output) for output in outputs)
        return tuple(
            output.mean((EXAMPLE, EXAMPLE + 1), keepdim=True).expand_as(output) for output in outputs
        )
    inputs, _ = batch_of(model, corrupt)
    if inputs.shape != shape:
        raise Refused(
            f"Corrupt inputs are shaped like the clean ones, {list(shape)}; given {list(inputs.shape)}."
        )
    return _taken_apart(model, graph, inputs)[1]
