"""A transformer's layer: attention, then an MLP, each reading the normalised residual stream and adding to it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.attention import Attention
from models.networks.hooked import hook
from models.networks.parameters import Draw
from models.networks.positionwise import linear, normalization
from models.networks.spans import Span
from models.networks.transformer_config import TransformerConfig


def swish(x: Tensor, steepness: Tensor) -> Tensor:
    """x times the sigmoid of `steepness`, the same bits for a number wherever it stands in the tensor.

    torch's silu, tanh-gelu and sigmoid treat the last few entries of a tensor by other code, exp does not. Beyond 80
    exp(-steepness) is held, lest its gradient be infinity times zero.
    """
    return x / (1 + torch.exp((-steepness).clamp(max=80.0)))


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x) (Ramachandran et al. 2017, https://arxiv.org/abs/1710.05941)."""
    return swish(x, x)


def gelu_tanh(x: Tensor) -> Tensor:
    """0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), tanh as a sigmoid (Hendrycks and Gimpel 2016)."""
    return swish(x, x * (math.sqrt(8 / math.pi) * (1 + 0.044715 * x.square())))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
}


class FeedForward(nn.Module):
    """The MLP of one layer: activation(x W_in + b_in) W_out + b_out, or (activation(x W_gate) * x W_in) W_out."""

    def __init__(self, config: TransformerConfig, draw: Draw, *, output_std: float) -> None:
        super().__init__()
        self.gated, self.activation = config.gated, ACTIVATIONS[config.activation]
        size, std = (config.d_model, config.d_mlp), config.init_scale * config.d_model**-0.5
        if self.gated:
            self.W_gate = draw.normal(*size, std=std)
        self.W_in, self.b_in = (
            draw.normal(*size, std=std),
            None if self.gated else draw.constant(config.d_mlp),
        )
        self.W_out = draw.normal(*reversed(size), std=output_std * config.d_mlp**-0.5)
        self.b_out = None if self.gated else draw.constant(config.d_model)
        self.hook_pre = hook("example", "pos", "neuron")
        if self.gated:
            self.hook_pre_linear = hook("example", "pos", "neuron")
        self.hook_post = hook("example", "pos", "neuron")

    def forward(self, x: Tensor) -> Tensor:
        """What the MLP adds to the residual stream, from the normalised stream."""
        pre = self.hook_pre(linear(x, self.W_gate, None) if self.gated else linear(x, self.W_in, self.b_in))
        post = self.activation(pre)
        if self.gated:
            post = post * self.hook_pre_linear(linear(x, self.W_in, None))
        return linear(self.hook_post(post), self.W_out, self.b_out)


class Block(nn.Module):
    """One layer. Without attention, or without an MLP, there is no middle of the residual stream to hook."""

    attn: Attention | None
    mlp: FeedForward | None

    def __init__(self, config: TransformerConfig, draw: Draw) -> None:
        super().__init__()
        output_std = config.init_scale * (config.layers * (bool(config.heads) + bool(config.d_mlp))) ** -0.5
        stream = ("example", "pos", "d_model")
        self.hook_resid_pre = hook(*stream)
        self.attn = self.mlp = None
        if config.heads:
            self.ln1 = normalization(config, draw)
            self.attn = Attention(config, draw, output_std=output_std)
            self.hook_attn_out = hook(*stream)
        if config.heads and config.d_mlp:
            self.hook_resid_mid = hook(*stream)
        if config.d_mlp:
            self.ln2 = normalization(config, draw)
            self.mlp = FeedForward(config, draw, output_std=output_std)
            self.hook_mlp_out = hook(*stream)
        self.hook_resid_post = hook(*stream)

    def forward(self, resid: Tensor, real: Tensor | None = None, span: Span | None = None) -> Tensor:
        """The residual stream after this layer, `[*seed, example, pos, d_model]`, from the one before it."""
        resid = self.hook_resid_pre(resid)
        if self.attn is not None:
            added = self.hook_attn_out(self.attn(self.ln1(resid), real, span))
            resid = (resid if span is None else span.queries(resid)) + added
        elif span is not None:
            resid = span.queries(resid)
        if self.attn is not None and self.mlp is not None:
            resid = self.hook_resid_mid(resid)
        if self.mlp is not None:
            resid = resid + self.hook_mlp_out(self.mlp(self.ln2(resid)))
        return self.hook_resid_post(resid)  # type: ignore[no-any-return]
