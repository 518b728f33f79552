"""What each edge of a transformer carries: exactly, by one gradient (EAP), and by several (EAP-IG).

The effect of an edge is the metric when its receiver, and nobody else, gets what the sender wrote in the corrupt run,
less the metric of the clean run; everything behind the receiver is computed anew. Exact patching costs one run an edge.
Attribution takes all of them from one gradient g at the streams that the receivers read,

    (what the sender wrote in the corrupt run - in the clean run) . g

with g at the clean run (edge attribution patching, EAP: Syed et al. 2023, https://arxiv.org/abs/2310.10348), or g the
mean over runs whose embeddings lie at k/m, k = 1 ... m, of the way from the corrupt to the clean ones (EAP-IG: Hanna
et al. 2024, https://arxiv.org/abs/2403.17806). A query or key of a saturated attention has no gradient at the clean
run, so EAP gives such an edge nothing, whatever it carries.

In the place of a corrupt run may stand "zero" or "mean" (edge_study.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import xarray as xr
from torch import Tensor, nn

from interp.locating.edge_runs import EXAMPLE, logits_of, through_layer
from interp.locating.edge_study import Corrupt, Study
from interp.locating.gradients import Metric
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData
from interp.refusals import Refused


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
    differences = torch.stack([study.difference(sender) for sender in range(len(study.graph.senders))])
    # sender ... example pos d_model, receiver ... example pos d_model -> sender receiver ... example
    shares = torch.einsum("u...epm,r...epm->ur...e", differences, torch.stack(gradients))
    senders, receivers = zip(*study.graph.pairs, strict=True)
    return study.label(shares[list(senders), list(receivers)].movedim(0, -2))


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
