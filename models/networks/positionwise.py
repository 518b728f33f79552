"""What is done alike at every position of a sequence: linear maps and normalisation, for one network or many."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.hooked import hook
from models.networks.mlp import affine
from models.networks.parameters import Draw
from models.networks.transformer_config import TransformerConfig

EPSILON = 1e-5


def linear(
    x: Float[Tensor, "*seed example pos fan_in"], W: Float[Tensor, "*seed fan_in fan_out"], b: Tensor | None
) -> Float[Tensor, "*seed example pos fan_out"]:
    """x W + b at every position; b `[*seed, fan_out]` or None."""
    if W.ndim == 2:
        return F.linear(x, W.mT, b)
    return affine(x.flatten(-3, -2), W, b).view(*x.shape[:-1], W.shape[-1])


def along_positions(vector: Float[Tensor, "*seed width"]) -> Tensor:
    """A vector of every seed, shaped to meet `[*seed, example, pos, width]`."""
    return vector if vector.ndim == 1 else vector[:, None, None]


class LayerNorm(nn.Module):
    """(x - mean) / scale * w + b, scale = sqrt(variance + 1e-5) (Ba et al. 2016, https://arxiv.org/abs/1607.06450).

    One fused step unless somebody listens to `hook_scale` or `hook_normalized` (before gain and bias).
    """

    def __init__(self, d_model: int, draw: Draw) -> None:
        super().__init__()
        self.w = draw.constant(d_model, value=1.0)
        self.b = draw.constant(d_model)
        self.hook_scale = hook("example", "pos", "1")
        self.hook_normalized = hook("example", "pos", "d_model")

    def forward(self, x: Tensor) -> Tensor:
        listened = self.hook_scale.listened or self.hook_normalized.listened
        if self.w.ndim == 1 and not listened:
            return F.layer_norm(x, self.w.shape, self.w, self.b, EPSILON)
        normalized = self._opened(x) if listened else F.layer_norm(x, x.shape[-1:], eps=EPSILON)
        return torch.addcmul(along_positions(self.b), normalized, along_positions(self.w))

    def _opened(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)  # torch.var_mean would take ten times as long
        scale = self.hook_scale((centred.square().mean(dim=-1, keepdim=True) + EPSILON).sqrt())
        return self.hook_normalized(centred / scale)  # type: ignore[no-any-return]


class RMSNorm(nn.Module):
    """x / scale * w, scale = sqrt(mean square + 1e-5) (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467)."""

    def __init__(self, d_model: int, draw: Draw) -> None:
        super().__init__()
        self.w = draw.constant(d_model, value=1.0)
        self.hook_scale = hook("example", "pos", "1")
        self.hook_normalized = hook("example", "pos", "d_model")

    def forward(self, x: Tensor) -> Tensor:
        scale = self.hook_scale((x.square().mean(dim=-1, keepdim=True) + EPSILON).sqrt())
        return self.hook_normalized(x / scale) * along_positions(self.w)  # type: ignore[no-any-return]


def normalization(config: TransformerConfig, draw: Draw) -> nn.Module:
    """The normalisation this config names; `none` passes everything on."""
    if config.normalization == "none":
        return nn.Identity()
    return {"layernorm": LayerNorm, "rmsnorm": RMSNorm}[config.normalization](config.d_model, draw)
