"""Self-attention: every position gathers values from others, weighted by how well its query fits their keys.

pattern = softmax(q k / sqrt(d_head)) over the positions that may be seen, z = pattern v, output = z W_O + b_O
(Vaswani et al. 2017, https://arxiv.org/abs/1706.03762); several heads may share a key and a value (Ainslie et al. 2023,
https://arxiv.org/abs/2305.13245). Scores and pattern are made only when somebody listens to them, and so is each head's
own result; else the fused kernel runs (of a few positions: the sums written out; of a window or of linear attention:
cheaper_attention.py), which agrees to rounding. Scores of linear attention are similarities, from 0 up. What must
not be seen is masked after any edit of the scores and once more after any edit of the pattern, so no edit lets the
future in.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.cheaper_attention import (
    as_shares,
    linear_attention,
    similarities,
    windowed_attention,
)
from models.networks.hooked import hook
from models.networks.parameters import Draw
from models.networks.positionwise import along_positions, linear
from models.networks.rotary import rotated, rotations
from models.networks.spans import Span
from models.networks.transformer_config import TransformerConfig

SHORT = 4  # positions up to which writing attention out is faster (measured; from 6 on the fused kernel is)
Heads = Float[Tensor, "*seed example pos head d_head"]
KeyHeads = Float[Tensor, "*seed example key_pos key_head d_head"]
Pattern = Float[Tensor, "*seed example head query_pos key_pos"]


class Attention(nn.Module):
    """The attention of one layer: `W_Q [*seed, d_model, head * d_head]`, `W_K` and `W_V` for key heads, `W_O` back."""

    turns: Tensor

    def __init__(self, config: TransformerConfig, draw: Draw, *, output_std: float) -> None:
        super().__init__()
        self.heads, self.key_heads, self.causal = config.heads, config.key_heads, config.causal
        width, key_width = config.heads * config.d_head, config.key_heads * config.d_head
        std = config.init_scale * config.d_model**-0.5
        self.W_Q, self.b_Q = draw.normal(config.d_model, width, std=std), draw.constant(width)
        self.W_K, self.b_K = draw.normal(config.d_model, key_width, std=std), draw.constant(key_width)
        self.W_V, self.b_V = draw.normal(config.d_model, key_width, std=std), draw.constant(key_width)
        self.W_O = draw.normal(width, config.d_model, std=output_std * width**-0.5)
        self.b_O = draw.constant(config.d_model)
        self.rotary = config.positions == "rotary"
        self.linear, self.window = config.attention == "linear", config.window
        self._add_hooks()
        if self.rotary:
            self.register_buffer("turns", rotations(config.context, config.d_head), persistent=False)

    def _add_hooks(self) -> None:
        self.hook_q = hook("example", "pos", "head", "d_head")
        self.hook_k = hook("example", "pos", "key_head", "d_head")
        self.hook_v = hook("example", "pos", "key_head", "d_head")
        if self.rotary:
            self.hook_rot_q = hook("example", "pos", "head", "d_head")
            self.hook_rot_k = hook("example", "pos", "key_head", "d_head")
        self.hook_attn_scores = hook("example", "head", "query_pos", "key_pos")
        self.hook_pattern = hook("example", "head", "query_pos", "key_pos")
        self.hook_z = hook("example", "pos", "head", "d_head")
        self.hook_result = hook("example", "pos", "head", "d_model")

    def forward(
        self,
        x: Tensor,
        real: Tensor | None = None,
        span: Span | None = None,
        *,
        memory: Tensor | None = None,
    ) -> Tensor:
        """What attention adds to the residual stream, `[*seed, example, pos, d_model]`, from the normalised stream.

        `real [*seed, example, pos]`: which positions may be seen (None: all). `span`: which there are, and are wanted.
        `memory`: another sequence's stream, to be looked at instead of this one's (cross-attention).
        """
        asking, seen_stream = x if span is None else span.queries(x), x if memory is None else memory
        q = self.hook_q(in_heads(linear(asking, self.W_Q, self.b_Q), self.heads))
        k = self.hook_k(in_heads(linear(seen_stream, self.W_K, self.b_K), self.key_heads))
        v = self.hook_v(in_heads(linear(seen_stream, self.W_V, self.b_V), self.key_heads))
        if self.rotary:
            of_queries, of_keys = self._turns(x.shape[-2], span)
            q, k = self.hook_rot_q(rotated(q, of_queries)), self.hook_rot_k(rotated(k, of_keys))
        if span is not None:
            k, v = span.with_past(self.past_points[0], k), span.with_past(self.past_points[1], v)
        opened = self.hook_attn_scores.listened or self.hook_pattern.listened
        if opened or (self.linear and span is not None):
            z = self._opened(q, k, v, self._seen(q, k, real, span))
        elif self.linear:
            z = linear_attention(q, k, v)
        elif self.window and span is None and q.shape[-3] > self.window:
            z = windowed_attention(q, k, v, window=self.window)
        elif span is None and real is None and self.causal and q.shape[-3] <= SHORT:
            z = short_attention(q, k, v)
        elif span is None:
            z = fused_attention(q, k, v, causal=self.causal, real=real)
        else:
            z = fused_attention(q, k, v, seen=self._seen(q, k, real, span))
        return self._output(self.hook_z(z))

    @property
    def past_points(self) -> tuple[str, str]:
        """The hooks of the keys and values that later positions need of earlier ones."""
        return (self.hook_rot_k if self.rotary else self.hook_k).name, self.hook_v.name  # type: ignore[return-value]

    def _turns(self, length: int, span: Span | None) -> tuple[Tensor, Tensor]:
        """The rotations of the queries and of the keys."""
        if span is None:
            return self.turns[:, :length], self.turns[:, :length]
        of_keys = self.turns[:, span.first : span.first + length]
        return of_keys if span.at is None else self.turns[:, span.at : span.at + 1], of_keys

    def _seen(self, q: Tensor, k: Tensor, real: Tensor | None, span: Span | None) -> Tensor:
        """Which key each query may see, to be broadcast over `[*seed, example, head, query_pos, key_pos]`."""
        queries, keys = q.shape[-3], k.shape[-3]
        if not self.causal or span is None:
            seen, first = visible(queries, keys, causal=self.causal, real=real, device=q.device), 0
        else:
            seen, first = span.visible(queries, keys, q.device), span.first if span.at is None else span.at
        return seen.triu(first - self.window + 1) if self.window else seen

    def _opened(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        if self.linear:
            similarity = self.hook_attn_scores(similarities(q, k))
            pattern = self.hook_pattern(as_shares(torch.where(seen, similarity, 0.0)))
            return gathered(torch.where(seen, pattern, 0.0), v)
        scores = self.hook_attn_scores(attention_scores(q, k))
        pattern = self.hook_pattern(torch.where(seen, scores, -torch.inf).softmax(dim=-1))
        return gathered(torch.where(seen, pattern, 0.0), v)

    def _output(self, z: Tensor) -> Tensor:
        if not self.hook_result.listened:
            return linear(z.flatten(-2), self.W_O, self.b_O)
        W_O = self.W_O.view(*self.W_O.shape[:-2], self.heads, -1, self.W_O.shape[-1])
        total: Tensor = self.hook_result(results(z, W_O)).sum(dim=-2)
        return total + along_positions(self.b_O)


def in_heads(x: Float[Tensor, "*any width"], heads: int) -> Float[Tensor, "*any head d_head"]:
    """The last axis parted into heads."""
    return x.view(*x.shape[:-1], heads, -1)


def fused_attention(
    q: Heads,
    k: KeyHeads,
    v: KeyHeads,
    *,
    causal: bool = False,
    real: Tensor | None = None,
    seen: Tensor | None = None,
) -> Heads:
    """z without scores or pattern in between; the seeds of a population are folded into the batch.

    `seen`: which key each query may see, where that is neither all nor (`causal`) those up to it from the first on.
    """
    queries, keys, values = (heads.flatten(0, -4).transpose(1, 2) for heads in (q, k, v))
    z = F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=_mask(real, seen),
        is_causal=causal,
        enable_gqa=q.shape[-2] != k.shape[-2],
    )
    return z.transpose(1, 2).reshape(q.shape)


def _mask(real: Tensor | None, seen: Tensor | None) -> Tensor | None:
    """What is to be seen as the fused kernel takes it, `[batch, 1, query_pos, key_pos]`."""
    if real is not None:
        return real.flatten(0, -2)[:, None, None]
    return seen if seen is None or seen.ndim == 2 else seen.flatten(0, -4)


def short_attention(q: Heads, k: KeyHeads, v: KeyHeads) -> Heads:
    """Causal attention written out, query by query: for a few positions it takes half the fused kernel's time."""
    shared = q.shape[-2] // k.shape[-2]
    if shared > 1:
        k, v = k.repeat_interleave(shared, dim=-2), v.repeat_interleave(shared, dim=-2)
    q, z = q * q.shape[-1] ** -0.5, []
    for end in range(1, q.shape[-3] + 1):
        keys, values = k[..., :end, :, :], v[..., :end, :, :]
        scores = (q[..., end - 1 : end, :, :] * keys).sum(dim=-1, keepdim=True)
        z.append((scores.softmax(dim=-3) * values).sum(dim=-3, keepdim=True))
    return torch.cat(z, dim=-3)


def attention_scores(q: Heads, k: KeyHeads) -> Pattern:
    """How well each query fits each key: their product over sqrt(d_head)."""
    k = k.repeat_interleave(q.shape[-2] // k.shape[-2], dim=-2)
    by_head, columns = (q * q.shape[-1] ** -0.5).transpose(-3, -2), k.movedim(-3, -1)
    # head query_pos d_head, head d_head key_pos -> head query_pos key_pos
    return torch.matmul(by_head, columns)


def gathered(pattern: Pattern, v: KeyHeads) -> Heads:
    """Each head's values, weighted by its pattern."""
    v = v.repeat_interleave(pattern.shape[-3] // v.shape[-2], dim=-2)
    # head query_pos key_pos, head key_pos d_head -> head query_pos d_head
    return (pattern @ v.transpose(-3, -2)).transpose(-3, -2)


def results(
    z: Heads, W_O: Float[Tensor, "*seed head d_head d_model"]
) -> Float[Tensor, "*seed example pos head d_model"]:
    """What each head alone writes to the residual stream (their sum and b_O are the attention's output)."""
    return torch.einsum("...phd,...hdm->...phm", z, W_O.unsqueeze(-4))


def visible(
    queries: int,
    keys: int,
    *,
    causal: bool,
    real: Bool[Tensor, "*seed example key_pos"] | None,
    device: torch.device,
) -> Tensor:
    """Which key each query may see, to be broadcast over `[*seed, example, head, query_pos, key_pos]`."""
    seen = torch.ones(queries, keys, dtype=torch.bool, device=device)
    seen = seen.tril() if causal else seen
    return seen if real is None else seen & real[..., None, None, :]
