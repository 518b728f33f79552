"""Losses of a population: one number for each seed, so that no seed's gradient touches another's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models.data.validation import NOT_ASKED
from models.refusals import Refused


def squared_error(
    outputs: Float[Tensor, "seed example output"], targets: Float[Tensor, "*seed example output"]
) -> Float[Tensor, " seed"]:
    """Half the squared distance summed over outputs, averaged over examples (Nielsen 2015, chapter 1, eq. 6)."""
    return (outputs - targets).square().sum(dim=(-2, -1)) * (0.5 / outputs.shape[-2])


def cross_entropy(
    logits: Float[Tensor, "seed example output"] | Float[Tensor, "seed example pos output"], targets: Tensor
) -> Float[Tensor, " seed"]:
    """Negative log-likelihood in nats, averaged over all that is asked; `targets` are class indices.

    `targets [*seed, example]`, or `[*seed, example, pos]` where -1 asks for nothing.
    """
    labels = targets.expand(logits.shape[:-1])
    each = F.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=NOT_ASKED
    ).view(len(logits), -1)
    if logits.ndim == 3:
        return each.mean(dim=-1)
    return each.sum(dim=-1) / (labels != NOT_ASKED).flatten(1).sum(dim=-1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared_error": squared_error,
    "cross_entropy": cross_entropy,
}


def targets_for(loss: str, targets: Tensor, outputs: int, dtype: torch.dtype) -> Tensor:
    """The targets as this loss takes them: one-hot rows for squared error on classes; refuses what does not fit."""
    classes = not targets.is_floating_point()
    if classes and int(targets.max()) >= outputs:
        raise Refused(
            f"The data have a class {int(targets.max())}, the network only {outputs} outputs (0 to {outputs - 1})."
        )
    if classes and targets.ndim == 2 and loss != "cross_entropy":
        raise Refused(f"A class at each position goes with cross-entropy; given {loss}.")
    if not classes and (loss == "cross_entropy" or targets.shape[-1] != outputs):
        raise Refused(
            f"Targets {tuple(targets.shape)} of {targets.dtype} do not fit {loss} with {outputs} outputs: squared "
            f"error takes classes or [example, {outputs}] numbers, cross-entropy takes classes."
        )
    if loss == "cross_entropy":
        return targets
    return F.one_hot(targets, outputs).to(dtype) if classes else targets.to(dtype)
