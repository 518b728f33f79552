"""Weights: what happens to a fact's margin when a part's weights are made smaller.

- shrinking: all weights of a part times 0.8;
- clipping: a part's weights held between -1.5 and 1.5 of their root mean square, parameter by parameter, for facts
  written by few large weights.

Under shrinking the unembedding scales all logits alike; as facts are compared with others of a like margin, little is
left to see there. Both ask what breaks first, not where a fact is, and mislead where later facts are written into
weights that are small to begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part

SHRUNK_TO = 0.8
CLIPPED_AT = 1.5
Change = Callable[[Tensor, Tensor], Tensor]


def shrinking(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How much each margin falls when a part's weights shrink."""
    return _falls(inquiry, parts, lambda value, size: SHRUNK_TO * value)


def clipping(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """How much each margin falls when a part's largest weights are cut down."""
    return _falls(inquiry, parts, lambda value, size: value.clamp(-CLIPPED_AT * size, CLIPPED_AT * size))


def _falls(inquiry: Inquiry, parts: Sequence[Part], change: Change) -> Tensor:
    falls = [inquiry.falls(part, weights=changed_weights(inquiry.model, part, change)) for part in parts]
    return torch.stack(falls, dim=-2)


@torch.no_grad()
def changed_weights(model: nn.Module, part: Part, change: Change) -> dict[str, Tensor]:
    """A part's weights with `change(value, size)` made to its own; size: their root mean square, for each seed."""
    named, found = dict(model.named_parameters()), {}
    for name, mask in part.weights(model).items():
        value = named[name]
        found[name] = torch.where(mask, change(value, size_of(value, mask)), value)
    return found


def size_of(value: Tensor, mask: Tensor) -> Tensor:
    """The root mean square of the entries in the mask, for each seed; shaped to meet `value`."""
    size = value[..., mask].square().mean(-1).sqrt()
    return size.view(*size.shape, *[1] * mask.ndim)


@torch.no_grad()
def lengths(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Float[Tensor, "*seed"]:
    """The length of a part's weights taken as one vector, for each seed."""
    squares = [weights[name][..., mask].double().square().sum(-1) for name, mask in masks.items()]
    return torch.stack(squares).sum(0).sqrt()
