"""The transformer: token and position embeddings, layers that add to a residual stream, logits at every position.

Decoder (`causal`: a position sees itself and what is before it) or bidirectional (it sees all). Hook points, in order:
`hook_embed`, `hook_pos_embed` (learned positions); in every layer `blocks.{l}.hook_resid_pre`, `hook_attn_out`,
`hook_resid_mid`, `hook_mlp_out`, `hook_resid_post`, between them `blocks.{l}.attn.hook_*` (attention.py),
`blocks.{l}.mlp.hook_*` (blocks.py) and `ln1|ln2|ln_final.hook_*` (positionwise.py); then
`hook_logits [example, pos, token]`.
In a population `seed` stands in front of each, also where the members share their tokens. Scores, pattern, result and
LayerNorm's inside fire only when somebody listens: they are costly, and the fused arithmetic that runs otherwise agrees
to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from models.networks.blocks import Block
from models.networks.embedding import Embedding
from models.networks.hooked import HookedModel, hook, layers_between
from models.networks.parameters import Draw
from models.networks.positionwise import linear, normalization
from models.networks.spans import Span, span_of
from models.networks.tokens import check_mask, check_tokens
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused


class PositionEmbedding(nn.Module):
    """`W_pos [*seed, pos, d_model]`."""

    def __init__(self, config: TransformerConfig, draw: Draw) -> None:
        super().__init__()
        self.W_pos = draw.normal(config.context, config.d_model, std=config.init_scale * config.d_model**-0.5)

    def forward(self, embedded: Tensor, first: int = 0) -> Tensor:
        """The embeddings of the positions from `first` on, for every example alike."""
        return self.W_pos[..., None, first : first + embedded.shape[-2], :].expand_as(embedded)


class Unembedding(nn.Module):
    """`W_U [*seed, d_model, token]` (the embedding's own, transposed, where they are tied) and `b_U` or None."""

    def __init__(self, config: TransformerConfig, draw: Draw) -> None:
        super().__init__()
        shape, std = (config.d_model, config.vocabulary), config.init_scale * config.d_model**-0.5
        self.W_U = None if config.tied else draw.normal(*shape, std=std)
        self.b_U = draw.constant(config.vocabulary) if config.unembedding_bias else None

    def forward(self, resid: Tensor, W_E: Tensor) -> Tensor:
        """The logits, `[*seed, example, pos, token]`."""
        return linear(resid, W_E.mT if self.W_U is None else self.W_U, self.b_U)


class Transformer(HookedModel):
    """A transformer, or a population of them; see `TransformerConfig`."""

    config: TransformerConfig

    def __init__(self, config: TransformerConfig, *, seeds: int | Sequence[int] = 0) -> None:
        super().__init__(config, seeds)
        self.causal = config.causal
        draw = Draw(self.every_seed, alone=self.seeds is None)
        self.embed = Embedding(config.vocabulary, config.d_model, draw, scale=config.init_scale)
        self.hook_embed = hook("example", "pos", "d_model")
        if config.positions == "learned":
            self.pos_embed = PositionEmbedding(config, draw)
            self.hook_pos_embed = hook("example", "pos", "d_model")
        self.blocks = nn.ModuleList(Block(config, draw) for _ in range(config.layers))
        self.ln_final = normalization(config, draw)
        self.unembed = Unembedding(config, draw)
        self.hook_logits = hook("example", "pos", "token")
        self.ready()

    def example_input(self) -> Tensor:
        """One sequence of the first token, as long as the context, `[1, pos]`."""
        return torch.zeros(1, self.config.context, dtype=torch.int64, device=self.device)

    def forward(
        self,
        inputs: Tensor,
        *,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        mask: Tensor | None = None,
        first_pos: int = 0,
        past: Mapping[str, Tensor] | None = None,
        at: int | None = None,
    ) -> Tensor:
        """The logits, `[*seed, example, pos, token]`, of tokens `[example, pos]` (or `[seed, example, pos]`), int64.

        `start_at_layer=l`: `inputs` are what enters layer l, `[*seed, example, pos, d_model]`. `stop_at_layer=l`:
        returns what enters layer l. The layer after the last is the final normalisation and the unembedding. `mask`,
        bool, shaped like the tokens: True where a token is real, False where shorter sequences are padded at their end;
        real positions get what each sequence alone would give, what stands at padded ones means nothing.
        `first_pos=p`: `inputs` are of the positions from p on; `past` holds what passed the hooks `past_points` at the
        positions before them (or at all), for these examples or for as many as are repeated here, run after run.
        `at`: the logits of this one position; the last layer then computes, and its hooks show, no other.
        """
        start, stop = layers_between(start_at_layer, stop_at_layer, last=self.config.layers)
        resid = (
            self._embedded(inputs, first_pos)
            if start_at_layer is None
            else self._entering(inputs, start, first_pos)
        )
        if at is not None and stop_at_layer is not None:
            raise Refused("`at` says which logits are made; a pass that stops at a layer makes none.")
        span = None
        if first_pos or at is not None:
            span = span_of(resid.shape[-2], first=first_pos, past=past, at=at, needed=self.past_points or ())
        resid = self._through(start, stop, resid, self._real(mask, resid), span)
        if stop_at_layer is not None:
            return resid
        return self.hook_logits(self.unembed(self.ln_final(resid), self.embed.W_E))  # type: ignore[no-any-return]

    @property
    def past_points(self) -> tuple[str, ...] | None:
        """The hooks whose earlier positions a pass from a later position on needs; None: there is no such pass."""
        if not self.causal:
            return None
        layers = cast("Sequence[Block]", self.blocks)
        return tuple(name for block in layers if block.attn is not None for name in block.attn.past_points)

    def _through(
        self, start: int, stop: int, resid: Tensor, real: Tensor | None, span: Span | None
    ) -> Tensor:
        """The stream after these layers; only the last of them leaves out what `span.at` does not ask for."""
        if span is None:
            for block in self.blocks[start:stop]:
                resid = block(resid, real)
            return resid
        everywhere = replace(span, at=None)
        for layer in range(start, stop):
            resid = self.blocks[layer](resid, real, span if layer == stop - 1 else everywhere)
        return resid if start < stop else span.queries(resid)

    def _embedded(self, tokens: Tensor, first: int) -> Tensor:
        check_tokens(tokens, self.config, seeds=self.seeds)
        self._check_end(first, tokens.shape[-1])
        embedded = self.hook_embed(self.embed(tokens))
        if self.config.positions != "learned":
            return embedded  # type: ignore[no-any-return]
        return embedded + self.hook_pos_embed(self.pos_embed(embedded, first))  # type: ignore[no-any-return]

    def _entering(self, resid: Tensor, layer: int, first: int) -> Tensor:
        seeds, width = () if self.seeds is None else (len(self.seeds),), self.config.d_model
        fits = resid.ndim == len(seeds) + 3 and resid.shape[:-3] == seeds and resid.shape[-1] == width
        if not fits or resid.shape[-2] > self.config.context:
            axes = ", ".join(
                [*map(str, seeds), "example", f"up to {self.config.context} positions", str(width)]
            )
            raise Refused(f"What enters layer {layer} is [{axes}]; given shape {tuple(resid.shape)}.")
        self._check_end(first, resid.shape[-2])
        return resid

    def _check_end(self, first: int, length: int) -> None:
        last, context = first + length - 1, self.config.context
        if first and not (self.causal and 0 < first <= last < context):
            raise Refused(
                "A causal network can begin at a later position, within its context; given positions "
                f"{first} to {last}, the context has {context}, causal={self.causal}."
            )

    def _real(self, mask: Tensor | None, resid: Tensor) -> Tensor | None:
        """The mask as attention needs it: a decoder never looks at what stands behind, so it needs none."""
        if mask is None:
            return None
        check_mask(mask, resid.shape[:-1])
        return None if self.causal else mask.expand(resid.shape[:-1])
