"""The search for few edges that are enough: pruned after scores, then verified by exact runs, edge by edge.

The smallest set of all would take 2^edges runs to prove; what is found here is minimal in a weaker sense: no single
edge of it can be spared. Which of several such sets is found depends on the scores, and of edges that stand in for one
another (backups) one is kept: a circuit that is enough need not be all that is used.
Pruning one edge at a time by exact runs is Conmy et al. 2023 (ACDC), https://arxiv.org/abs/2304.14997; trying many at
once and halving where that fails is delta debugging (Zeller and Hildebrandt 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from interp.locating.circuits import faithfulness_of, metrics_with, order_of
from interp.locating.edge_graph import Edge
from interp.locating.edge_study import Corrupt, Study
from interp.locating.gradients import Metric
from interp.reading.feeding import LabelledData
from interp.reading.points import seeds_of
from interp.refusals import Refused


@dataclass(frozen=True)
class Circuit:
    """Edges that are enough, how faithful they alone are, and how many circuits were run to find them."""

    edges: tuple[Edge, ...]
    faithfulness: float
    tried: int


def smallest_circuit(
    model: nn.Module,
    clean: LabelledData | Tensor,
    corrupt: Corrupt,
    metric: Metric,
    scores: xr.DataArray,
    *,
    tolerance: float = 0.05,
) -> Circuit:
    """Few edges that alone keep faithfulness within `tolerance` of 1, every one of them needed.

    Edges are kept in the order of their scores until they are enough; then those that can be spared go, many at a time
    where that works, each step verified by a run. What is left is minimal in that no single edge can go; a smaller set
    that is not part of it may exist. Scores decide only how soon it is found and which of several it is. Raises
    `Refused` for a population (its members have a circuit each) and as `faithfulness_curve` does.
    """
    if seeds_of(model) is not None:
        raise Refused("Each member of a population has a circuit of its own: give one member.")
    if not 0 < tolerance < 1:
        raise Refused(f"tolerance lies between 0 and 1; given {tolerance}.")
    study = Study.of(model, clean, corrupt)
    search = _Search(study, metric, tolerance)
    order = order_of(study, scores)
    kept = search.enough(order)
    kept = search.spared(kept, [edge for edge in order[::-1] if kept[edge]])
    kept = search.minimal(kept)
    (f,) = search.faithfulness(kept[None])
    edges = tuple(edge for edge, one in zip(study.graph.edges, kept, strict=True) if one)
    return Circuit(edges, float(f), search.tried)


class _Search:
    """Runs of circuits of one network, counted."""

    def __init__(self, study: Study, metric: Metric, tolerance: float) -> None:
        self.study, self.metric, self.tolerance, self.tried = study, metric, tolerance, 0
        ends = torch.tensor([[False], [True]]).expand(2, len(study.graph.edges))
        self.ends = metrics_with(study, metric, ends)  # with no edges, and with all

    def faithfulness(self, kept: np.ndarray) -> np.ndarray:
        """Of circuits `[circuit, edge]`."""
        self.tried += len(kept)
        values = metrics_with(self.study, self.metric, torch.from_numpy(kept))
        values = torch.cat([self.ends[:1], values, self.ends[1:]])
        found: np.ndarray = faithfulness_of(values)[1:-1].numpy(force=True)
        return found

    def passes(self, kept: np.ndarray) -> np.ndarray:
        """Which circuits are faithful enough."""
        found: np.ndarray = abs(1 - self.faithfulness(kept)) <= self.tolerance
        return found

    def enough(self, order: np.ndarray) -> np.ndarray:
        """The first edges of this order that are faithful enough, found among 33 shares."""
        counts = np.unique(np.linspace(0, len(order), 33).astype(int))
        prefixes = np.stack([order.argsort() < count for count in counts])
        found: np.ndarray = prefixes[int(np.argmax(self.passes(prefixes)))]
        return found

    def spared(self, kept: np.ndarray, candidates: list[int]) -> np.ndarray:
        """Without the candidates that can go: all at once, else each half by itself."""
        waiting = [candidates]
        while waiting:
            chunk = waiting.pop()
            trial = kept.copy()
            trial[chunk] = False
            if len(chunk) and self.passes(trial[None])[0]:
                kept = trial
            elif len(chunk) > 1:
                half = len(chunk) // 2
                waiting += [chunk[half:], chunk[:half]]
        return kept

    def minimal(self, kept: np.ndarray) -> np.ndarray:
        """Without single edges that can go, the one that is missed least first, until there is none."""
        while kept.any():
            edges = kept.nonzero()[0]
            trials = np.repeat(kept[None], len(edges), axis=0)
            trials[np.arange(len(edges)), edges] = False
            missed = abs(1 - self.faithfulness(trials))
            if missed.min() > self.tolerance:
                break
            kept = trials[int(missed.argmin())]
        return kept
