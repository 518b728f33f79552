"""What must be so if the points of a network are what their names say, tried on values that were moved.

Noise is added at every point at once; what arrives further down must then follow from the *moved* values. So an
identity holds only if both the reading and the writing of its points are right: an edit of `resid_mid` that reached
the MLP but not the skip connection would break the next one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.networks.pretrained_model import PretrainedModel

NOISE = 0.1
TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 1e-1}


def close(found: Tensor, expected: Tensor) -> bool:
    """Whether two tensors agree to the rounding of their dtype, measured against the larger one's largest entry."""
    if found.shape != expected.shape:
        return False
    size = max(float(expected.abs().max()), float(found.abs().max()), 1e-6)
    return float((found - expected).abs().max()) <= TOLERANCE.get(found.dtype, 1e-4) * size


@dataclass
class Moved:
    """What came to each point, what went on from it with the noise added, and the noise."""

    came: dict[str, Tensor] = field(default_factory=dict)
    went: dict[str, Tensor] = field(default_factory=dict)
    noise: dict[str, Tensor] = field(default_factory=dict)

    def at(self, name: str, randomness: torch.Generator) -> Callable[[Any, Any, Tensor], Tensor]:
        """The hook that moves this point."""

        def move(module: Any, inputs: Any, value: Tensor) -> Tensor:
            drawn = torch.randn(value.shape, generator=randomness).to(value)
            noise = (NOISE * value.detach().abs().mean() * drawn).requires_grad_()
            self.came[name], self.noise[name] = value, noise
            self.went[name] = value + noise
            return self.went[name]

        return move


def broken_by_moving(model: PretrainedModel, tokens: Tensor) -> dict[str, str]:
    """The points that break an identity when everything is moved; points without effect become read-only here."""
    randomness, moved = torch.Generator().manual_seed(1), Moved()
    handles = [
        route.point.register_forward_hook(moved.at(n, randomness)) for n, route in model.routes.items()
    ]
    try:
        with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
            # the bridge tells of edits that come too late; their missing gradient tells us the same
            warnings.filterwarnings("ignore", message="A hook on .* returned a modified tensor")
            logits = model(tokens)
            weight = torch.randn(logits.shape, generator=randomness).to(logits)
            leaves = list(moved.noise.values())
            gradients = torch.autograd.grad((logits * weight).sum(), leaves, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    for name, gradient in zip(moved.noise, gradients, strict=True):
        if gradient is None or not bool(gradient.any()):
            moved.went[name] = moved.came[name]
            model.routes[name].point.read_only = True
    came = {name: value.detach() for name, value in moved.came.items()}
    went = {name: value.detach() for name, value in moved.went.items()}
    broken: dict[str, str] = {}
    for layer in range(model.config.layers):
        for reason, blamed, holds in _identities(came, went, f"blocks.{layer}."):
            if not holds:
                broken |= {name: f"{reason} does not hold" for name in blamed if name in came}
    return broken


def _identities(
    came: Mapping[str, Tensor], went: Mapping[str, Tensor], at: str
) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Every identity whose points are there: in words, the points to leave out where it fails, and whether it holds."""
    pre, mid, post = (f"{at}hook_resid_{place}" for place in ("pre", "mid", "post"))
    attn, mlp = f"{at}hook_attn_out", f"{at}hook_mlp_out"
    scores, pattern, value, z, result = (
        f"{at}attn.hook_{what}" for what in ("attn_scores", "pattern", "v", "z", "result")
    )
    if {pre, mid, attn} <= came.keys():
        yield "resid_mid = resid_pre + attn_out", (mid, attn), close(came[mid], went[pre] + went[attn])
    if {mid, mlp, post} <= came.keys():
        yield "resid_post = resid_mid + mlp_out", (mid, mlp), close(came[post], went[mid] + went[mlp])
    if mid not in came and {pre, attn, mlp, post} <= came.keys():
        whole = went[pre] + went[attn] + went[mlp]
        yield "resid_post = resid_pre + attn_out + mlp_out", (attn, mlp), close(came[post], whole)
    if {scores, pattern} <= came.keys():
        softmax = _softmax(went[scores], unseen=came[pattern] == 0)
        yield "pattern = softmax(masked scores)", (scores,), close(came[pattern], softmax)
    if {pattern, value, z} <= came.keys():
        yield "z = pattern @ v", (pattern, scores), close(came[z], _weighted(went[pattern], went[value]))
    if {result, attn} <= came.keys():
        bias = came[attn] - went[result].sum(dim=2)
        same_everywhere = close(bias + went[attn], bias[:1, :1] + went[attn])
        yield "attn_out = sum of result over heads + bias", (result,), same_everywhere


def _softmax(scores: Tensor, *, unseen: Tensor) -> Tensor:
    """Over what is seen: nothing later, and where the network looks through a window, nothing outside it."""
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.float().masked_fill(later | unseen, -torch.inf).softmax(dim=-1).to(scores.dtype)


def _weighted(pattern: Tensor, values: Tensor) -> Tensor:
    shared = values.repeat_interleave(pattern.shape[1] // values.shape[2], dim=2)
    return torch.einsum("ehqk,ekhd->eqhd", pattern, shared)
