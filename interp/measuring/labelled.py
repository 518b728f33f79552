"""What every probe is given: activations with labels, checked, and laid out so that labels share activations.

Batch axes follow numpy's broadcasting: features `[*batch, example, feature]` with labels `[*labels, label]`
give probes over `broadcast(batch, labels)`. Axes that labels have in front of `batch` (real, shuffled and
random labels on the same activations) are never copied into the activations: whatever depends on the
activations alone is computed once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from interp.refusals import Refused


@dataclass(frozen=True)
class Labelled:
    """Checked features `[own, example, feature]` and labels `[own, shared, example]`, axes flattened.

    `shape` is the batch shape of whatever is fitted; `unflatten` turns `[own, shared, ...]` back into it.
    """

    features: Float[Tensor, "own example feature"]
    labels: Int64[Tensor, "own shared example"]
    classes: int
    shape: torch.Size

    def unflatten(self, tensor: Tensor) -> Tensor:
        """From `[own, shared, ...]` to `[*shape, ...]`."""
        return tensor.movedim(1, 0).reshape((*self.shape, *tensor.shape[2:]))

    def one_hot(self) -> Float[Tensor, "own shared class example"]:
        """One for the class of each example, zero for the others."""
        own, shared, examples = self.labels.shape
        zeros = self.features.new_zeros(own, shared, self.classes, examples)
        return zeros.scatter_(2, self.labels[:, :, None], 1.0)


def labelled(
    features: Shaped[Tensor, "*batch example feature"],
    labels: Shaped[Tensor, "*labels label"],
    *,
    classes: int,
) -> Labelled:
    """Check and flatten training examples; half precision is raised to float32.

    Refuses other dtypes, NaN and infinities, unequal lengths, batch axes that do not fit, labels outside
    `0 .. classes - 1`, and classes with fewer than two examples in any label vector.
    """
    features = _as_float(features.detach())
    check_labels(features, labels, classes=classes)
    check_every_class_twice(labels, classes=classes)
    shape = batch_shape(features.shape[:-2], labels.shape[:-1])
    own = shape[len(shape) - (features.ndim - 2) :]
    flat = features.expand(*own, *features.shape[-2:]).reshape(-1, *features.shape[-2:])
    spread = labels.expand(*shape, labels.shape[-1]).reshape(-1, len(flat), labels.shape[-1])
    return Labelled(flat, spread.movedim(0, 1).long(), classes, shape)


def check_labels(features: Tensor, labels: Tensor, *, classes: int) -> None:
    """Refuse labels of another length or outside `0 .. classes - 1`, and features that are not finite."""
    if features.ndim < 2 or labels.ndim < 1:
        raise Refused(
            f"Features of shape {tuple(features.shape)} and labels of shape {tuple(labels.shape)} were "
            "given; needed are [*batch, example, feature] and [*labels, example]."
        )
    if features.shape[-2] != labels.shape[-1]:
        raise Refused(
            f"{features.shape[-2]} examples of activations but {labels.shape[-1]} labels were given; "
            "each example needs exactly one label."
        )
    check_finite(features)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise Refused(f"Labels of dtype {labels.dtype} were given; they must be integers 0 .. {classes - 1}.")
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise Refused(
            f"Labels from {int(labels.min())} to {int(labels.max())} were given; "
            f"with {classes} classes they must lie in 0 .. {classes - 1}."
        )


def check_finite(features: Tensor) -> None:
    """Refuse NaN and infinite activations, with their number."""
    if bool(torch.isfinite(features.sum())):
        return  # NaN and infinity survive a sum, which costs a tenth of looking at each number
    bad = int((~torch.isfinite(features)).sum())
    if bad:
        raise Refused(
            f"{bad} of {features.numel()} activations are NaN or infinite. Leave out diverged seeds."
        )


def check_every_class_twice(labels: Tensor, *, classes: int) -> None:
    """Refuse when a label vector holds a class fewer than two times, naming class and number."""
    counts = class_counts(labels, classes=classes)
    if classes < 2 or int(counts.min()) < 2:
        vector, single = divmod(int(counts.argmin()), classes)
        raise Refused(
            f"Class {single} has {int(counts.min())} example(s) in label vector {vector}, of {classes} "
            f"class(es) and {labels.shape[-1]} examples; a probe needs 2 classes and 2 examples of each. "
            "Leave the class out, or add examples."
        )


def class_counts(labels: Tensor, *, classes: int) -> Int64[Tensor, "vector class"]:
    """How often each class occurs in each label vector, batch axes flattened."""
    flat = labels.reshape(-1, labels.shape[-1]).long()
    counts = torch.zeros(len(flat), classes, dtype=torch.int64, device=labels.device)
    return counts.scatter_add_(1, flat, torch.ones_like(flat))


def batch_shape(features_batch: torch.Size, labels_batch: torch.Size) -> torch.Size:
    """The broadcast batch shape, or a refusal with both shapes."""
    try:
        return torch.Size(np.broadcast_shapes(features_batch, labels_batch))
    except ValueError as error:
        raise Refused(
            f"Features with batch axes {tuple(features_batch)} do not fit labels with {tuple(labels_batch)}: "
            "read from the right, axes must be equal or 1. Put axes that share activations in front."
        ) from error


def _as_float(features: Tensor) -> Tensor:
    if features.dtype in (torch.float16, torch.bfloat16):
        return features.float()
    if features.dtype not in (torch.float32, torch.float64):
        raise Refused(f"Activations of dtype {features.dtype} were given; a probe needs floating point.")
    return features
