"""A clean run of a transformer taken apart for the study of its edges, and what each sender writes instead.

In the place of a corrupt run may stand "zero" (senders write nothing) or "mean" (what they write on average over
examples and positions of the clean run, padding left out). Positions are the same in two runs: only these two show what
position carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from interp.locating.edge_graph import EdgeGraph, edge_graph
from interp.locating.edge_runs import EXAMPLE, embedded, run, through_layer
from interp.locating.gradients import Metric, batch_of, metric_values
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData, padding_of
from interp.reading.points import seeds_of
from interp.refusals import Refused, unknown

Corrupt = LabelledData | Tensor | str
INSTEAD = ("zero", "mean")
TOLERANCE = 1e-4


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
            _check_taken_apart(model, graph, inputs, streams[-1], outputs)
            real = padding_of(clean)
            real = torch.ones(inputs.shape[-2:], dtype=torch.bool) if real is None else real
            instead = _instead(model, graph, outputs, corrupt=corrupt, clean=(inputs.shape, real))
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


def nothing(receiver: int, outputs: Sequence[Tensor]) -> None:
    """No offset anywhere."""
    return


def _taken_apart(
    model: nn.Module, graph: EdgeGraph, inputs: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The stream before every layer and behind the last, and what every sender wrote."""
    stream, outputs = embedded(model, graph, inputs)
    streams = [stream]
    for layer in range(graph.anatomy.layers):
        streams.append(through_layer(model, graph, layer, streams[-1], outputs, offsets=nothing))
    return tuple(streams), tuple(outputs)


def _check_taken_apart(
    model: nn.Module, graph: EdgeGraph, inputs: Tensor, stream: Tensor, outputs: Sequence[Tensor]
) -> None:
    """Refuses a network whose stream is not what its senders wrote, plus biases that are the same everywhere."""
    biases = stream - sum(outputs)
    off = torch.maximum(
        (stream - model(inputs, stop_at_layer=graph.anatomy.layers)).abs().max(),
        (biases - biases[..., :1, :1, :]).abs().max(),
    )
    if not float(off) <= TOLERANCE * max(1.0, float(stream.abs().max())):
        raise Refused(
            f"What heads, MLPs and embeddings wrote misses the residual stream by up to {float(off):.3g}: something "
            "else writes to it, or changes it on its way, so these edges are not all there is."
        )


def _instead(
    model: nn.Module,
    graph: EdgeGraph,
    outputs: Sequence[Tensor],
    *,
    corrupt: Corrupt,
    clean: tuple[Sequence[int], Tensor],
) -> tuple[Tensor, ...]:
    """What each sender writes in the corrupt run, or in the place of one; `clean`: the inputs' shape, what is real."""
    shape, real = clean
    if isinstance(corrupt, str):
        if corrupt not in INSTEAD:
            raise unknown("run to patch from", corrupt, INSTEAD)
        if corrupt == "zero":
            return tuple(torch.zeros_like(output) for output in outputs)
        return tuple(
            _mean(output, real.unsqueeze(-1).to(output.device)).expand_as(output) for output in outputs
        )
    inputs, _ = batch_of(model, corrupt)
    if inputs.shape != shape:
        raise Refused(
            f"Corrupt inputs are shaped like the clean ones, {list(shape)}; given {list(inputs.shape)}."
        )
    return _taken_apart(model, graph, inputs)[1]


def _mean(output: Tensor, real: Tensor) -> Tensor:
    """The mean over examples and positions that are real."""
    places = (EXAMPLE, EXAMPLE + 1)
    return torch.where(real, output, 0).sum(places, keepdim=True) / real.sum(places, keepdim=True)
