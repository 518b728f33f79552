"""Circuits: how well some edges do alone, how few are enough, and how well scores find the ones that are known.

A circuit is a set of edges that are kept; every other edge is cut: its receiver gets what the sender wrote in the
corrupt run (or zero, or the mean), all at once, and what is computed behind it follows. For a metric m,

    faithfulness f(C) = (m(C) - m(nothing kept)) / (m(all kept) - m(nothing kept))

With the edges kept in the order of their scores, f is a curve over the share k of edges kept, and

    CPR = integral of f(k) over k from 0 to 1        (higher is better: the behaviour comes back with few edges)
    CMD = integral of |1 - f(k)| over k from 0 to 1  (lower is better: the circuit does as the network does)

by the trapezoidal rule over the shares that were run (Mueller et al. 2025, MIB: A Mechanistic Interpretability
Benchmark, https://arxiv.org/abs/2504.13151). CPR rewards circuits that do better than the network, CMD does not.

Beside MIB's own evaluation (https://github.com/hannamw/MIB-circuit-track): shares and ablations are alike, and scores
are ordered by size, as there by default. Three things depart. The curve begins at k = 0, where f is 0 by definition;
theirs at 0.1 % of the edges (which gives ours up to 0.0005 more CPR, and up to 0.001 more CMD, where f is near 0 to 1
there). k is the share that was kept, the whole number of edges nearest to the share asked for; theirs rounds down and
integrates over the share asked for, which differs where edges are few. And edges that come from nowhere or lead nowhere
stay among those kept; theirs are pruned, which changes nothing where a corrupt run is patched in, but may under "zero"
and "mean".

They mislead where one of two edges is enough: cutting either changes nothing, so both get no score. And faithfulness to
one metric on one set of examples is not faithfulness to another.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from interp.locating.edge_graph import Edge
from interp.locating.edge_runs import EXAMPLE, run
from interp.locating.edge_study import Corrupt, Study
from interp.locating.gradients import Metric
from interp.reading.capture import evaluating
from interp.reading.feeding import LabelledData
from interp.reading.points import seeds_of
from interp.refusals import Refused, unknown

SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def circuit_metrics(
    model: nn.Module,
    clean: LabelledData | Tensor,
    corrupt: Corrupt,
    metric: Metric,
    circuits: Sequence[Collection[Edge]],
    *,
    rows: int = 1024,
) -> xr.DataArray:
    """The metric with only the edges of each circuit kept, `[*seed, circuit, example]`.

    `corrupt`, `metric` and `rows` as for `edge_effects`. Raises `Refused` for edges that the network does not have.
    """
    study = Study.of(model, clean, corrupt)
    if not circuits:
        raise Refused("Give at least one circuit, a collection of edges (sender, receiver).")
    kept = torch.from_numpy(np.stack([study.graph.chosen(circuit) for circuit in circuits]))
    seeds = seeds_of(model)
    dims = ("seed", "circuit", "example")[seeds is None :]
    values = metrics_with(study, metric, kept, rows=rows)
    return xr.DataArray(
        values.numpy(force=True), dims=dims, coords={} if seeds is None else {"seed": list(seeds)}
    )


def faithfulness_curve(
    model: nn.Module,
    clean: LabelledData | Tensor,
    corrupt: Corrupt,
    metric: Metric,
    scores: xr.DataArray,
    *,
    shares: Sequence[float] = SHARES,
) -> xr.Dataset:
    """`faithfulness [*seed, share]`, how many `edges` are kept, and the areas `cpr` and `cmd`, `[*seed]`.

    `scores` are effects as `edge_effects` or `edge_attribution` give them, on any examples; the largest are kept first
    (give `scores.mean("example").clip(max=0)` to keep those first whose patching lowers the metric most). `shares` are
    MIB's unless given; 0 and 1 are always among them. Raises `Refused` for scores of other edges, and where the metric
    is the same with all and no edges.
    """
    study = Study.of(model, clean, corrupt)
    order = order_of(study, scores)
    total = len(study.graph.edges)
    counts = np.unique(np.round(np.array([0.0, *_checked(shares), 1.0]) * total).astype(int))
    kept = torch.from_numpy(np.stack([order.argsort(-1) < count for count in counts], axis=-2))
    f = faithfulness_of(metrics_with(study, metric, kept)).numpy(force=True)
    share, seeds = counts / total, seeds_of(model)
    lead = () if seeds is None else ("seed",)
    variables = {
        "faithfulness": ((*lead, "share"), f),
        "edges": (("share",), counts),
        **{name: (lead, area) for name, area in areas(share, f).items()},
    }
    return xr.Dataset(variables, coords={"share": share, **({} if seeds is None else {"seed": list(seeds)})})


def areas(share: np.ndarray, faithfulness: np.ndarray) -> dict[str, np.ndarray]:
    """`cpr` and `cmd`, `[*seed]`, of a curve `[*seed, share]`; see the module's first lines."""
    return {
        "cpr": np.trapezoid(faithfulness, share),
        "cmd": np.trapezoid(np.abs(1 - faithfulness), share),
    }


def recovery_auroc(scores: xr.DataArray, truth: Collection[Edge] | Collection[str]) -> xr.DataArray:
    """How well scores tell the true edges (or nodes) from the others: area under the ROC curve, `[*seed]`.

    The score is the size of the mean effect over examples. 1: every true one above every other, 0.5: chance. Raises
    `Refused` for a truth that the scores do not have, and one that is everything or nothing.
    """
    dim = "edge" if "edge" in scores.dims else "node"
    names = [str(name) for name in scores[dim].values]
    true = {" -> ".join(one) if isinstance(one, tuple) else str(one) for one in truth}
    if strange := sorted(true - set(names)):
        raise unknown(dim, strange[0], names)
    labels = np.array([name in true for name in names])
    if labels.all() or not labels.any():
        raise Refused(f"The truth is {len(true)} of {len(names)} {dim}s: there is nothing to tell apart.")
    sizes = abs(_mean(scores)).transpose(..., dim)
    rows = [roc_auc_score(labels, row) for row in sizes.values.reshape(-1, len(names))]
    return sizes.isel({dim: 0}, drop=True).copy(data=np.array(rows).reshape(sizes.shape[:-1]))


@torch.no_grad()
def metrics_with(study: Study, metric: Metric, kept: Tensor, *, rows: int = 1024) -> Tensor:
    """The metric `[*seed, circuit, example]` with only these edges kept, bool `[*seed, circuit, edge]`."""
    found, embeddings = [], len(study.graph.anatomy.embeddings)
    with evaluating(study.model):
        for chunk in torch.split(kept.to(study.streams[0].device), max(1, rows // study.count), dim=-2):
            times = chunk.shape[-2]
            outputs = [study.copies(output, times) for output in study.outputs[:embeddings]]
            stream = study.copies(study.streams[0], times)
            logits = run(study.model, study.graph, stream, outputs, Cut(study, study.graph.grid(~chunk)))
            found.append(study.metrics(metric, logits))
    return torch.cat(found, dim=-2)


@dataclass(frozen=True, eq=False)
class Cut:
    """Copy c of the examples lacks the edges `cut[..., c, sender, receiver]`."""

    study: Study
    cut: Tensor

    def __call__(self, receiver: int, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor] | None:
        here = self.cut[..., : len(outputs), receiver]
        copies = here.any(-1).reshape(-1, here.shape[-2]).any(0).nonzero().flatten()
        if not len(copies):
            return None
        count = self.study.count
        rows = (copies[:, None] * count + torch.arange(count, device=copies.device)).flatten()
        offset = torch.zeros_like(outputs[0].index_select(EXAMPLE, rows))
        for sender, output in enumerate(outputs):
            lacking = here[..., copies, sender]
            if lacking.any():
                instead = self.study.copies(self.study.instead[sender], len(copies))
                away = instead - output.index_select(EXAMPLE, rows)
                offset += lacking.repeat_interleave(count, -1)[..., None, None] * away
        return rows, offset


def faithfulness_of(values: Tensor) -> Tensor:
    """Of the metric `[*seed, circuit, example]`, its first circuit having no edges and its last all."""
    means = values.double().mean(-1)
    nothing, everything = means[..., :1], means[..., -1:]
    if bool((nothing == everything).any()):
        raise Refused(
            "The metric is the same with all edges and with none: there is no behaviour to keep. Choose another "
            "metric, or corrupt inputs that change the answer."
        )
    return (means - nothing) / (everything - nothing)


def order_of(study: Study, scores: xr.DataArray) -> np.ndarray:
    """The edges from the most to the least important, `[*seed, edge]`."""
    names = [" -> ".join(edge) for edge in study.graph.edges]
    if "edge" not in scores.dims or list(scores["edge"].values) != names:
        raise Refused(
            f"The scores are of other edges than this network's {len(names)}: give what edge_effects or "
            "edge_attribution gave for it."
        )
    means = _mean(scores).transpose(..., "edge").values
    if means.ndim != (1 if seeds_of(study.model) is None else 2) or not np.isfinite(means).all():
        raise Refused(f"Scores are finite, one for each edge (and seed); given axes {scores.dims}.")
    order: np.ndarray = np.argsort(-abs(means), axis=-1, kind="stable")
    return order


def _mean(scores: xr.DataArray) -> xr.DataArray:
    return scores.mean("example") if "example" in scores.dims else scores


def _checked(shares: Sequence[float]) -> Sequence[float]:
    if any(not 0 <= share <= 1 for share in shares):
        raise Refused(f"Shares of edges lie between 0 and 1; given {list(shares)}.")
    return shares
