"""Probing in batched linear algebra against a loop of scikit-learn's own estimators, in one run, on one thread.

Real handwritten digits (scikit-learn's) through three tanh layers per seed, probed at 6 hooks x 16 seeds under 4
controls: real labels, shuffled labels, a random label per type, and another network's activations. Both sides fit on
1,000 examples and score on 797. The sides alternate; each ratio is the median over the rounds, of processor time,
which other work on the same machine lengthens less than the clock.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from interp.measuring.controls import random_label_per_type, shuffled_labels, types_from_inputs
from interp.measuring.linear import LinearProbes, accuracy
from interp.measuring.logistic import fit_logistic
from interp.measuring.ridge import fit_ridge

SEEDS, FIT, CLASSES, TYPES, WIDTHS, ROUNDS = 16, 1000, 10, 100, (32, 48, 64), 3


@dataclass(frozen=True)
class Workload:
    """Activations per hook `[seed, example, feature]`, trained and untrained; labels `[control, 1, example]`."""

    trained: list[Tensor]
    untrained: list[Tensor]
    labels: Tensor


def workload() -> Workload:
    images, digits = load_digits(return_X_y=True)
    inputs, real = torch.from_numpy(images / 16).float(), torch.from_numpy(digits)
    types = torch.cat(types_from_inputs(inputs[:FIT], inputs[FIT:], count=TYPES, seed=0))
    by_type = random_label_per_type(types, CLASSES, count=TYPES, seed=0)
    labels = torch.stack([real, shuffled_labels(real, seed=0), by_type])[:, None]
    return Workload(activations(inputs, seed=1), activations(inputs, seed=2), labels)


def activations(inputs: Tensor, *, seed: int) -> list[Tensor]:
    generator, hooks, stream = torch.Generator().manual_seed(seed), [], inputs
    for width in WIDTHS:
        weights = torch.randn(SEEDS, stream.shape[-1], width, generator=generator)
        stream = stream @ weights * 2 / stream.shape[-1] ** 0.5
        hooks.append(stream)
        stream = stream.tanh()
        hooks.append(stream)
    return hooks


def batched(fit: Callable[..., LinearProbes], work: Workload) -> Tensor:
    """Accuracies `[hook, control, seed]`: three label vectors share the trained activations."""
    found = []
    for trained, untrained in zip(work.trained, work.untrained, strict=True):
        pairs = [(trained, work.labels), (untrained, work.labels[0])]
        found.append(torch.cat([probed(fit, *pair).reshape(-1, SEEDS) for pair in pairs]))
    return torch.stack(found)


def probed(fit: Callable[..., LinearProbes], features: Tensor, labels: Tensor) -> Tensor:
    probes = fit(features[:, :FIT], labels[..., :FIT], classes=CLASSES)
    return accuracy(probes, features[:, FIT:], labels[..., FIT:])


def looped(estimator: RidgeClassifier | LogisticRegression, work: Workload) -> Tensor:
    found = np.zeros((len(work.trained), 4, SEEDS))
    labels = work.labels[:, 0].numpy()
    for hook, control, seed in np.ndindex(*found.shape):
        source = work.untrained if control == 3 else work.trained
        features, truth = source[hook][seed].numpy(), labels[control % 3]
        found[hook, control, seed] = estimator.fit(features[:FIT], truth[:FIT]).score(
            features[FIT:], truth[FIT:]
        )
    return torch.from_numpy(found)


def compared(ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> tuple[float, float]:
    """How many times faster ours is, and the largest gap between accuracies of one probe, in points."""
    ours()
    ratios = []
    for _ in range(ROUNDS):
        start = time.process_time()
        mine = ours()
        middle = time.process_time()
        reference = theirs()
        ratios.append((time.process_time() - middle) / (middle - start))
    return statistics.median(ratios), 100 * (mine - reference).abs().max().item()


def rows() -> list[tuple[str, float, str]]:
    """What was compared, the figure, and the bound it must keep."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return [*_rows(workload())]
    finally:
        torch.set_num_threads(threads)


def _rows(work: Workload) -> list[tuple[str, float, str]]:
    ridge = compared(lambda: batched(fit_ridge, work), lambda: looped(RidgeClassifier(), work))
    twin = LogisticRegression(max_iter=5000)
    logistic = compared(lambda: batched(fit_logistic, work), lambda: looped(twin, work))
    return [
        ("ridge probes, times faster than a loop of RidgeClassifier", ridge[0], ">= 20"),
        ("ridge probes, largest accuracy gap in points", ridge[1], "<= 1"),
        ("logistic probes, times faster than a loop of LogisticRegression", logistic[0], ">= 3"),
        ("logistic probes, largest accuracy gap in points", logistic[1], "<= 1"),
    ]


if __name__ == "__main__":
    for what, figure, bound in rows():
        print(f"{what:<70} {figure:8.2f}   {bound}")
