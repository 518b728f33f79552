"""Gradients: what a margin would lose, to first order, if a part put out its mean; and what its neurons add up to.

- gradient x activation: (output - its mean over other facts) . d margin / d output, summed over positions (attribution
  patching to the mean; Nanda 2023). One run, all parts; first order only.
- integrated gradients over neurons: a part's neurons (for an attention, the entries of z) are scaled from nothing to
  what they are in equal steps, the gradients along the way averaged and multiplied by the activations. They add up to
  what the neurons as a whole contribute (completeness; with these six steps only roughly: of 21 nats up to 4 were
  missing in a small network, none with 200). Dai et al. (2022) call neurons with a
  high value knowledge neurons; a part's score is the sum over its own.

Sources: Nanda 2023, https://www.neelnanda.io/mechanistic-interpretability/attribution-patching; Sundararajan et al.
2017, https://arxiv.org/abs/1703.01365; Dai et al. 2022, https://arxiv.org/abs/2104.08696.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interp.locating.localization.asking import Asked, margins
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part
from interp.reading.capture import capture
from interp.reading.points import hook_points

STEPS = 6
EMBEDDING = "hook_embed"
Change = Callable[[Tensor], Tensor]


def gradient_times_activation(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part example"]:
    """First-order estimate of what each margin loses when a part puts out its mean."""
    hooks = sorted({part.hook for part in parts if part.hook is not None})
    means = capture(inquiry.model, inquiry.others, hooks, batch_size=len(inquiry.others))
    seen, gradients = _gradients(inquiry, hooks)
    found = []
    for part in parts:
        if part.hook is None:
            found.append(inquiry.unseen())
            continue
        mean = inquiry.position_mean(means.tensor(part.hook).to(seen[part.hook]))
        product = (seen[part.hook] - mean) * gradients[part.hook]
        found.append(part.chosen(product).sum((-2, -1)))
    return torch.stack(found, dim=-2)


def integrated_gradients_over_neurons(
    inquiry: Inquiry, parts: Sequence[Part]
) -> Float[Tensor, "*seed part example"]:
    """What the neurons of a part contribute to each margin, along the way from nothing."""
    inside = {part.name: _inside(part, inquiry.model) for part in parts}
    known = sorted({hook for hook in inside.values() if hook is not None})
    totals = {hook: _integrated(inquiry, hook) for hook in known}
    found = []
    for part in parts:
        hook = inside[part.name]
        if hook is None:
            found.append(inquiry.unseen())
        else:
            within = Part(part.name, hook, part.where)
            found.append(within.chosen(totals[hook]).sum((-2, -1)))
    return torch.stack(found, dim=-2)


def _inside(part: Part, model: nn.Module) -> str | None:
    """The hook of a part's neurons; a single matrix has none."""
    found = re.match(r"(blocks\.\d+)\.(attn|mlp)(?:\[.*\])?$", part.name)
    if found is None:
        return None
    name = f"{found[1]}.{found[2]}.{'hook_z' if found[2] == 'attn' else 'hook_post'}"
    return name if name in hook_points(model) else None


def _integrated(inquiry: Inquiry, hook: str) -> Tensor:
    """Activation times the mean gradient at the middle of each step, shaped as the activation."""
    total: Tensor | float = 0.0
    for step in range(STEPS):
        share = (step + 0.5) / STEPS
        seen, gradients = _gradients(inquiry, [hook], {hook: partial(torch.mul, share)})
        total = total + seen[hook] / share * gradients[hook] / STEPS
    assert isinstance(total, Tensor)
    return total


def _gradients(
    inquiry: Inquiry, hooks: Sequence[str], changes: Mapping[str, Change] | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What passes each hook, and the gradient of the margins there."""
    with torch.enable_grad(), _followed(inquiry.model, hooks, changes or {}) as seen:
        total = margins(inquiry.asked.logits(inquiry.model), inquiry.asked.targets).sum()
        found = torch.autograd.grad(total, [seen[hook] for hook in hooks])
    return {hook: seen[hook].detach() for hook in hooks}, dict(zip(hooks, found, strict=True))


@contextmanager
def _followed(
    model: nn.Module, hooks: Sequence[str], changes: Mapping[str, Change]
) -> Iterator[dict[str, Tensor]]:
    """What passes these hooks, kept with its gradient; the embedding is where gradients begin."""
    seen: dict[str, Tensor] = {}
    points = hook_points(model)

    def follow(name: str, output: Tensor) -> Tensor:
        value = output.detach().requires_grad_() if name == EMBEDDING else output
        seen[name] = changes[name](value) if name in changes else value
        return seen[name]

    handles = [
        points[name].register_forward_hook(lambda module, inputs, output, name=name: follow(name, output))
        for name in dict.fromkeys([EMBEDDING, *hooks])
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def gradient_norm_ratio(inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part"]:
    """Log of the gradient's length over a part's weights for the paired facts, against that for their peers."""
    sides = [_weight_gradients(inquiry, side) for side in (0, 1)]
    found = []
    for part in parts:
        lengths = [_length(part, inquiry.model, gradients) for gradients in sides]
        found.append(torch.log(lengths[0]) - torch.log(lengths[1]))
    return torch.stack(found, dim=-1)


def _weight_gradients(inquiry: Inquiry, side: int) -> dict[str, Tensor]:
    """The gradient, over every weight, of the summed margins of one side of the pairs."""
    weights = {name: value.detach().requires_grad_() for name, value in inquiry.model.named_parameters()}
    chosen = torch.zeros(len(inquiry.pairs), len(inquiry.relations), device=inquiry.asked.targets.device)
    for member, pairs in enumerate(inquiry.pairs):
        chosen[member, pairs[:, side].to(chosen.device)] = 1 / len(pairs)
    with torch.enable_grad():
        each = inquiry.per_fact(_margins_with(inquiry.model, inquiry.asked, weights))
        total = (each.reshape(len(chosen), -1) * chosen.to(each)).sum()
        found = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    return {
        n: torch.zeros_like(w) if g is None else g for (n, w), g in zip(weights.items(), found, strict=True)
    }


def _margins_with(model: nn.Module, asked: Asked, weights: Mapping[str, Tensor]) -> Tensor:
    return margins(asked.logits(model, weights=weights), asked.targets)


def _length(part: Part, model: nn.Module, gradients: Mapping[str, Tensor]) -> Tensor:
    total: Tensor | float = 0.0
    for name, mask in part.weights(model).items():
        total = total + (gradients[name].square() * mask).flatten(-mask.ndim).sum(-1)
    assert isinstance(total, Tensor)
    return total.sqrt()
