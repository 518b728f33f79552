"""Where a label can be decoded: linear probes at every hook, against what the same probes find elsewhere.

Probes are fitted on the `probe` split and judged on the `test` split; the network saw neither. Every figure comes with
its controls, which are axes of the result:

    network   trained | untrained (same shape, same seeds, before training) | raw_input
    labels    true | shuffled | random_per_type (each type of input has one random label; Hewitt and Liang 2019)

Every seed is judged on its own share of the test examples, the same under every condition: seeds judged on the same
examples would share their luck, and no number of seeds would average it out.

Accuracy alone says little: random features keep much of the input, and a probe can do the work itself. What training
put there is trained minus untrained and minus raw input; how much of it is the probe's own memory shows on the labels
that mean nothing, and `selectivity` is accuracy on the true labels less that on random labels per type. Types are the
nearest of as many prototypes (k-means of the raw inputs) as there are classes: the hardest such control to beat, for it
is what a representation gives that merely keeps which inputs look alike. So few types are a choice, and selectivity is
relative to it: every draw then gives the same groups under other names, which a linear probe of the inputs can all but
read off, and with more types selectivity rises everywhere (ridge on the bundled digits, second hidden layer, trained
and untrained: -0.00 and -0.04 with 10 types, 0.19 and 0.15 with 20, 0.35 and 0.26 with 40). Compare it between
networks; its sign alone says little.

Sources: Alain and Bengio 2016, https://arxiv.org/abs/1610.01644; Hewitt and Liang 2019,
https://arxiv.org/abs/1909.03368; Voita and Titov 2020 (code length), https://arxiv.org/abs/2003.12298.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from interp.locating.probed import ANSWER, as_features, vectors_at
from interp.measuring.code_length import online_code_length
from interp.measuring.controls import random_label_per_type, shuffled_labels, types_from_inputs
from interp.measuring.geometry import class_directions
from interp.measuring.linear import LinearProbes, predict
from interp.measuring.logistic import fit_logistic
from interp.measuring.ridge import fit_ridge
from interp.measuring.statistics import disjoint_shares
from interp.reading.activations import Activations
from interp.reading.capture import capture
from interp.reading.feeding import LabelledData
from interp.reading.points import seeds_of
from interp.refusals import Refused, unknown

Fit = Callable[..., LinearProbes]
PROBES: Mapping[str, Fit] = {
    "ridge": partial(fit_ridge, standardise=True),
    "logistic": partial(fit_logistic, standardise=True),
}
NETWORKS = ("trained", "untrained", "raw_input")
LABELS = ("true", "shuffled", "random_per_type")
CONDITIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "trained": ("trained", "true"),
        "untrained network": ("untrained", "true"),
        "raw input": ("raw_input", "true"),
        "shuffled labels": ("trained", "shuffled"),
        "random label per type": ("trained", "random_per_type"),
    }
)


@runtime_checkable
class SplitData(Protocol):
    """Data with a part to fit probes on and a part to judge them on."""

    @property
    def probe(self) -> LabelledData: ...

    @property
    def test(self) -> LabelledData: ...


@dataclass(frozen=True)
class Decoding:
    """What probes of one label reach: `accuracy [hook, network, labels, seed]`, and along which `directions`.

    `directions` holds for each hook an orthonormal basis `[seed, rank, feature]` of what the probes of the trained
    networks' true labels read. `classes` are the label's values. Raw input has one probe, judged on each share.
    """

    label: str
    classes: tuple[object, ...]
    accuracy: xr.DataArray
    directions: Mapping[str, Float[Tensor, "seed rank feature"]]

    def of(self, hook: str, *, network: str = "trained", labels: str = "true") -> tuple[float, ...]:
        """Accuracy at one hook, a number for each seed."""
        return tuple(self.accuracy.sel(hook=hook, network=network, labels=labels).to_numpy().tolist())

    def under(self, hook: str, condition: str) -> tuple[float, ...]:
        """The accuracies of all seeds at a hook, under one of the `CONDITIONS`: those of the figures, in words."""
        if condition not in CONDITIONS:
            raise unknown("condition", condition, CONDITIONS)
        network, labels = CONDITIONS[condition]
        return self.of(hook, network=network, labels=labels)

    def selectivity(self, hook: str, *, network: str = "trained") -> tuple[float, ...]:
        """Accuracy on the true labels less that on random labels per type, a number for each seed."""
        control = self.of(hook, network=network, labels="random_per_type")
        return tuple(np.subtract(self.of(hook, network=network), control).tolist())

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each hook, network, labels and seed."""
        return self.accuracy.to_dataframe(name="accuracy").reset_index()

    def _repr_html_(self) -> str:
        means = self.accuracy.mean("seed").stack(condition=("network", "labels")).to_pandas()
        return str(means.to_html(float_format="{:.3f}".format))


def decode(
    model: nn.Module,
    data: SplitData,
    hooks: str | Sequence[str],
    *,
    label: str,
    untrained: nn.Module,
    probe: str = "ridge",
    at: str | int = ANSWER,
) -> Decoding:
    """Probes for `label` (a column of the examples) at each hook, with every control, for every seed at once.

    `untrained` is the same population before training. `at`: where hooks along a sequence are read, a position or the
    column of the examples that tells it. Raises `Refused` for an unknown hook, label or probe, and for data that a
    probe cannot be fitted on (see measuring/labelled.py).
    """
    if probe not in PROBES:
        raise unknown("probe", probe, PROBES)
    task = _Task.of(model, data, label, untrained)
    score = _Score(PROBES[probe], task)
    raw, _ = _Score(PROBES[probe], task.of_one_seed())(_Features(*(part[None] for part in task.inputs)))
    networks = zip(NETWORKS, (model, untrained), strict=False)
    pairs = {name: _captured(network, data, hooks) for name, network in networks}
    rows, directions = [], {}
    for hook in pairs["trained"][0].names:
        trained_scores, directions[hook] = score(_features(pairs["trained"], hook, at))
        untrained_scores, _ = score(_features(pairs["untrained"], hook, at))
        rows.append(torch.stack([trained_scores, untrained_scores, raw.to(trained_scores)]))
    names = (list(directions), list(NETWORKS), list(LABELS), list(task.seeds))
    coords = dict(zip(("hook", "network", "labels", "seed"), names, strict=True))
    scores = xr.DataArray(torch.stack(rows).double().cpu().numpy(), coords=coords, dims=list(coords))
    return Decoding(label, task.classes, scores, directions)


def code_lengths(
    model: nn.Module,
    data: SplitData,
    hooks: str | Sequence[str],
    *,
    label: str,
    untrained: nn.Module,
    at: str | int = ANSWER,
) -> xr.DataArray:
    """How many times shorter than the uniform code a label is given the activations: `[hook, network, labels, seed]`.

    Online code on the `probe` split (Voita and Titov 2020); 1 means nothing was learnt. Networks and labels are those
    of `decode`, without the raw input.
    """
    task = _Task.of(model, data, label, untrained)
    networks = {"trained": model, "untrained": untrained}
    seen = [capture(network, data.probe, hooks) for network in networks.values()]
    names = seen[0].names
    per_hook = [
        torch.stack([_compression(vectors_at(acts, hook, at), task) for acts in seen]) for hook in names
    ]
    coords = {
        "hook": list(names),
        "network": list(networks),
        "labels": list(LABELS),
        "seed": list(task.seeds),
    }
    return xr.DataArray(torch.stack(per_hook).double().cpu().numpy(), coords=coords, dims=list(coords))


def _compression(features: Tensor, task: _Task) -> Tensor:
    shared = features if features.ndim == 3 else features[None]
    return online_code_length(shared, task.fit, classes=len(task.classes), standardise=True).compression


@dataclass(frozen=True)
class _Task:
    """One label and its controls: `fit [labels, seed, example]` and `test`, classes numbered from 0."""

    classes: tuple[object, ...]
    seeds: tuple[int, ...]
    inputs: tuple[Float[Tensor, "fit feature"], Float[Tensor, "test feature"]]
    fit: Int64[Tensor, "labels seed fit"]
    test: Int64[Tensor, "labels seed test"]
    shares: Bool[Tensor, "member test"]

    @classmethod
    def of(cls, model: nn.Module, data: SplitData, label: str, untrained: nn.Module) -> _Task:
        """The label of the two splits, and the labels that mean nothing; each seed has its own of these."""
        seeds = seeds_of(model) or (0,)
        if (seeds_of(untrained) or (0,)) != seeds:
            raise Refused(
                f"The untrained network needs the same seeds as the trained one, {seeds}, because they are compared "
                f"seed by seed; it has {seeds_of(untrained)}."
            )
        inputs = as_features(data.probe.inputs, data.test.inputs)
        fit, test, classes = _numbered(data, label)
        count = len(classes)
        fit_types, test_types = types_from_inputs(*inputs, count=count, seed=0)
        per_type = partial(random_label_per_type, classes=len(classes), count=count, seed=seeds)
        every = len(seeds)
        other = [~seed for seed in seeds]  # the same order in both splits leaks where both are sorted alike
        return cls(
            classes,
            tuple(seeds),
            inputs,
            torch.stack([fit.expand(every, -1), shuffled_labels(fit, seed=seeds), per_type(fit_types)]),
            torch.stack([test.expand(every, -1), shuffled_labels(test, seed=other), per_type(test_types)]),
            torch.from_numpy(disjoint_shares(every, len(test))),
        )

    def of_one_seed(self) -> _Task:
        """The first seed's labels alone: what depends on no network is fitted once (and judged on every share)."""
        return replace(self, fit=self.fit[:, :1], test=self.test[:, :1])


def _numbered(data: SplitData, label: str) -> tuple[Tensor, Tensor, tuple[object, ...]]:
    columns = []
    for part in (data.probe, data.test):
        if label not in part.examples:
            raise unknown("label", label, map(str, part.examples.columns))
        columns.append(part.examples[label])
    if columns[0].isna().any() or columns[1].isna().any():
        raise Refused(f"The label {label!r} is not known for every example: leave those out before probing.")
    classes = tuple(sorted(columns[0].unique()))
    new = set(columns[1].unique()) - set(classes)
    if new:
        raise Refused(
            f"{len(new)} values of {label!r} occur in the test split only ({min(new)} …): no probe can know them. "
            f"Ask for a label whose values occur in both splits."
        )
    fit, test = (torch.from_numpy(np.searchsorted(classes, column.to_numpy())).long() for column in columns)
    return fit, test, classes


@dataclass(frozen=True)
class _Features:
    """What probes read at one hook, `[seed or 1, example, feature]`, in the split for fitting and that for judging."""

    fit: Tensor
    test: Tensor


@dataclass(frozen=True)
class _Score:
    """Fits probes of every label vector to features, and judges them on the test split."""

    fit: Fit
    task: _Task

    def __call__(self, features: _Features) -> tuple[Tensor, Tensor]:
        """Accuracy `[labels, seed]`, and the directions of the true labels' probes `[seed, rank, feature]`."""
        task, device = self.task, features.fit.device
        probes = self.fit(features.fit, task.fit.to(device), classes=len(task.classes))
        right = predict(probes, features.test) == task.test.to(device)
        return mean_over_shares(right, task.shares.to(device)), class_directions(probes.weights[0])


def mean_over_shares(
    right: Bool[Tensor, "*batch example"], shares: Bool[Tensor, "member example"]
) -> Float[Tensor, "*members"]:
    """The mean of what is right over each member's own share of the examples; the last axis but one is `member`."""
    counted = (right & shares).double().sum(-1)
    return counted / shares.double().sum(-1)


def _captured(
    model: nn.Module, data: SplitData, hooks: str | Sequence[str]
) -> tuple[Activations, Activations]:
    return capture(model, data.probe, hooks), capture(model, data.test, hooks)


def _features(pair: tuple[Activations, Activations], hook: str, at: str | int) -> _Features:
    fit, test = (vectors_at(acts, hook, at) for acts in pair)
    return _Features(fit, test) if fit.ndim == 3 else _Features(fit[None], test[None])
