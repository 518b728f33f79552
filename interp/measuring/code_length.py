"""How many bits it takes to send the labels to someone who has the activations: online (prequential) coding.

Sender and receiver agree on an order of the examples and on blocks that double in size (0.1, 0.2, 0.4, ...
50, 100 percent). The first block goes by the uniform code, log2(classes) bits a label; each later one by the
probabilities of a logistic probe trained on all blocks before:

    bits = n_1 · log2(classes)  -  sum over later blocks, sum over their examples, log2 p(label | activation)
    compression = n · log2(classes) / bits

High accuracy from much data and effort gives a long code, easily read labels a short one; so it tells
activations apart where accuracies are alike. The paper's first blocks are left out until every class occurs
twice in each label vector (a probe needs that), so the first block is the smallest of theirs for which it
holds, the same one for all that is measured together. It misleads across different penalties, orders or
first blocks; the control is the code length of shuffled labels, which exceeds the uniform code wherever the
probe overfits.

Source: Voita and Titov, "Information-theoretic probing with minimum description length" (2020),
arxiv.org/abs/2003.12298; selectivity: Hewitt and Liang (2019), arxiv.org/abs/1909.03368.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from interp.measuring.labelled import check_labels, class_counts
from interp.measuring.linear import LinearProbes, scores
from interp.measuring.logistic import fit_logistic
from interp.refusals import Refused

FRACTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class CodeLength:
    """Bits of the online code per probe, bits of the uniform code, and the examples at which blocks end."""

    bits: Float[Tensor, "*batch"]
    uniform_bits: float
    block_ends: tuple[int, ...]

    @property
    def compression(self) -> Float[Tensor, "*batch"]:
        """Uniform length over code length: 1 is nothing learnt, larger is better."""
        return self.uniform_bits / self.bits


def online_code_length(
    features: Shaped[Tensor, "*batch example feature"],
    labels: Shaped[Tensor, "*labels label"],
    *,
    classes: int,
    penalty: float = 1.0,
    standardise: bool = False,
    seed: int = 0,
) -> CodeLength:
    """Code lengths for every set of activations and every label vector; batch axes as in `fit_logistic`.

    `seed` draws the order of the examples, one for all. Refuses what `fit_logistic` refuses, and too few
    examples for a first block.
    """
    check_labels(features, labels, classes=classes)
    order = torch.randperm(labels.shape[-1], generator=torch.Generator().manual_seed(seed)).to(labels.device)
    features, labels = features[..., order.to(features.device), :], labels[..., order]
    ends = _block_ends(labels, classes)
    bits: Tensor | float = ends[0] * math.log2(classes)
    for start, end in pairwise(ends):
        probes = fit_logistic(
            features[..., :start, :],
            labels[..., :start],
            classes=classes,
            penalty=penalty,
            standardise=standardise,
        )
        bits = bits + _bits(probes, features[..., start:end, :], labels[..., start:end])
    assert isinstance(bits, Tensor)
    return CodeLength(bits, labels.shape[-1] * math.log2(classes), ends)


def selectivity(
    accuracy: Float[Tensor, "*batch"], control_accuracy: Float[Tensor, "*control"]
) -> Float[Tensor, "*difference"]:
    """Accuracy less that on the control task, by broadcasting. Refuses what is no share between 0 and 1."""
    for name, share in (("Accuracy", accuracy), ("Control accuracy", control_accuracy)):
        if not bool(((share >= 0) & (share <= 1)).all()):
            raise Refused(f"{name} {share.min():g} to {share.max():g} was given; shares lie between 0 and 1.")
    return accuracy - control_accuracy


def _bits(probes: LinearProbes, features: Tensor, labels: Tensor) -> Tensor:
    surprise = -scores(probes, features).log_softmax(-1) / math.log(2)
    spread = labels.expand(surprise.shape[:-1]).long()
    return surprise.gather(-1, spread[..., None])[..., 0].sum(-1)


def _block_ends(labels: Tensor, classes: int) -> tuple[int, ...]:
    examples = labels.shape[-1]
    ends = sorted({math.ceil(fraction * examples) for fraction in FRACTIONS})
    for first, end in enumerate(ends[:-1]):
        if int(class_counts(labels[..., :end], classes=classes).min()) >= 2:
            return tuple(ends[first:])
    raise Refused(
        f"{examples} examples are too few to code {classes} classes: some class does not occur twice in the "
        "first half. Give more examples, or leave rare classes out."
    )
