"""A decoder read token by token: keys and values of what was read are kept, and only what is new is computed.

A causal position never changes once it is read, so its keys and values serve every later query: a step costs one
position instead of all. Only our own transformers of exact attention are read so, also with shared key heads and rotary
positions; with a window or linear attention, and in pretrained networks, a step is a whole pass (generation.py). No
hook fires here that is on a part of the network. What comes out agrees with a whole pass to rounding.

Source: Pope et al., Efficiently scaling transformer inference (2022), section 2, https://arxiv.org/abs/2211.05102.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from models.networks.attention import Attention, in_heads
from models.networks.positionwise import linear
from models.networks.rotary import rotated
from models.networks.tokens import check_tokens
from models.networks.transformer import Transformer


class CachedReading:
    """Sequences `[*lead, pos]` (lead: example, or seed and example) read by a transformer, up to `longest` tokens."""

    def __init__(self, model: Transformer, lead: Sequence[int], *, longest: int) -> None:
        self.model, self.done = model, 0
        config = model.config
        shape = (*lead, max(longest, 1), config.key_heads, config.d_head)
        kept = config.layers if config.heads else 0
        self.keys = [torch.empty(shape, dtype=model.dtype, device=model.device) for _ in range(kept)]
        self.values = [torch.empty_like(keys) for keys in self.keys]

    def after(self, new: Int64[Tensor, "*seed example pos"]) -> Float[Tensor, "*seed example token"]:
        """Reads tokens behind those read before (all at first, then one at a time); the logits after them."""
        model = self.model
        check_tokens(new, model.config, seeds=model.seeds)
        resid = model.embed(new)
        if model.config.positions == "learned":
            places = model.pos_embed.W_pos[..., self.done : self.done + new.shape[-1], :]
            resid = resid + places.unsqueeze(-3)
        for layer, block in enumerate(model.blocks):
            resid = self._through(block, resid, layer)
        self.done += new.shape[-1]
        logits = model.unembed(model.ln_final(resid[..., -1:, :]), model.embed.W_E)
        return logits.squeeze(-2)  # type: ignore[no-any-return]

    def _through(self, block: Any, resid: Tensor, layer: int) -> Tensor:
        if block.attn is not None:
            resid = resid + self._attended(block.attn, block.ln1(resid), layer)
        return resid if block.mlp is None else resid + block.mlp(block.ln2(resid))

    def _attended(self, attn: Attention, x: Tensor, layer: int) -> Tensor:
        q = in_heads(linear(x, attn.W_Q, attn.b_Q), attn.heads)
        k = in_heads(linear(x, attn.W_K, attn.b_K), attn.key_heads)
        v = in_heads(linear(x, attn.W_V, attn.b_V), attn.key_heads)
        if attn.rotary:
            turns = attn.turns[:, self.done : self.done + x.shape[-2]]
            q, k = rotated(q, turns), rotated(k, turns)
        z = self._gathered(q, self._with(self.keys[layer], k), self._with(self.values[layer], v))
        return linear(z.flatten(-2), attn.W_O, attn.b_O)

    def _with(self, kept: Tensor, new: Tensor) -> Tensor:
        """All keys (or values) so far, the new ones written behind the old."""
        kept.narrow(-3, self.done, new.shape[-3]).copy_(new)
        return kept.narrow(-3, 0, self.done + new.shape[-3])

    def _gathered(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What each new position gathers: one sees all, several (the first read) see themselves and what is before."""
        by_head, their_keys, their_values = (x.flatten(0, -4).transpose(1, 2) for x in (q, keys, values))
        shared = q.shape[-2] != keys.shape[-2]
        z = F.scaled_dot_product_attention(
            by_head, their_keys, their_values, is_causal=q.shape[-3] > 1, enable_gqa=shared
        )
        return z.transpose(1, 2).reshape(q.shape)
