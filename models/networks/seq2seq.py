"""The encoder-decoder: one transformer reads a source, another writes a target and looks at the source meanwhile.

The encoder's layers are a transformer's, bidirectional. A layer of the decoder adds three things to its stream: causal
self-attention over the target so far; cross-attention, whose queries come from the target and whose keys and values
from what the encoder makes of the source (its last stream, normalised); and an MLP (Vaswani et al. 2017,
https://arxiv.org/abs/1706.03762, here with the normalisation before each).

Hook points: `encoder.hook_embed`, `encoder.hook_pos_embed`, `encoder.blocks.{l}.…` as in the transformer,
`encoder.ln_final.…`; the same behind `decoder.`, and in its layers `decoder.blocks.{l}.ln_cross.…`,
`cross_attn.hook_*` (queries at target positions, keys and values at source positions, pattern `[example, head,
query_pos, key_pos]` from one to the other), `hook_cross_attn_out` and `hook_resid_mid_cross`, the stream behind it;
then `hook_logits [example, pos, token]` over target positions alone.

An example is one row: the source, padded with token 0 to `source_context`, then the target so far. What is padded is
never seen. There is no start or stop at a layer: what enters a layer is two streams and their padding, which no one
tensor holds, so tools run the whole network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from models.networks.attention import Attention
from models.networks.blocks import Block, FeedForward
from models.networks.embedding import Embedding
from models.networks.hooked import HookedModel, hook
from models.networks.parameters import Draw
from models.networks.positionwise import normalization
from models.networks.seq2seq_config import PAD, Seq2SeqConfig
from models.networks.tokens import check_mask, check_tokens
from models.networks.transformer import PositionEmbedding, Unembedding
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused


class Entrance(nn.Module):
    """What tokens become before the first layer: their embedding and that of their position."""

    def __init__(self, config: TransformerConfig, draw: Draw) -> None:
        super().__init__()
        self.embed = Embedding(config.vocabulary, config.d_model, draw, scale=config.init_scale)
        self.hook_embed = hook("example", "pos", "d_model")
        self.pos_embed = PositionEmbedding(config, draw) if config.positions == "learned" else None
        if self.pos_embed is not None:
            self.hook_pos_embed = hook("example", "pos", "d_model")

    def embedded(self, tokens: Tensor) -> Tensor:
        """`[*seed, example, pos, d_model]`."""
        stream = self.hook_embed(self.embed(tokens))
        if self.pos_embed is None:
            return stream  # type: ignore[no-any-return]
        return stream + self.hook_pos_embed(self.pos_embed(stream))  # type: ignore[no-any-return]


class Encoder(Entrance):
    """Reads the source: every position sees every other that is real."""

    def __init__(self, config: TransformerConfig, draw: Draw) -> None:
        super().__init__(config, draw)
        self.blocks = nn.ModuleList(Block(config, draw) for _ in range(config.layers))
        self.ln_final = normalization(config, draw)

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """What the decoder looks at, `[*seed, example, pos, d_model]`."""
        stream = self.embedded(tokens)
        seen = real.expand(stream.shape[:-1])
        for block in self.blocks:
            stream = block(stream, seen)
        return self.ln_final(stream)  # type: ignore[no-any-return]


class DecoderBlock(nn.Module):
    """Self-attention, cross-attention, MLP; each reads the normalised stream and adds to it."""

    def __init__(self, config: Seq2SeqConfig, draw: Draw) -> None:
        super().__init__()
        side, stream = config.decoder, ("example", "pos", "d_model")
        output_std = config.init_scale * (config.layers * (2 + bool(config.d_mlp))) ** -0.5
        self.hook_resid_pre = hook(*stream)
        self.ln1 = normalization(side, draw)
        self.attn = Attention(side, draw, output_std=output_std)
        self.hook_attn_out = hook(*stream)
        self.hook_resid_mid = hook(*stream)
        self.ln_cross = normalization(side, draw)
        self.cross_attn = Attention(config.crossing, draw, output_std=output_std)
        self.hook_cross_attn_out = hook(*stream)
        self.mlp = None
        if config.d_mlp:
            self.hook_resid_mid_cross = hook(*stream)
            self.ln2 = normalization(side, draw)
            self.mlp = FeedForward(side, draw, output_std=output_std)
            self.hook_mlp_out = hook(*stream)
        self.hook_resid_post = hook(*stream)

    def forward(self, stream: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        """The target's stream after this layer; `memory` is of the source, `seen` where that is real."""
        stream = self.hook_resid_pre(stream)
        stream = self.hook_resid_mid(stream + self.hook_attn_out(self.attn(self.ln1(stream))))
        crossed = self.cross_attn(self.ln_cross(stream), seen, memory=memory)
        stream = stream + self.hook_cross_attn_out(crossed)
        if self.mlp is not None:
            stream = self.hook_resid_mid_cross(stream)
            stream = stream + self.hook_mlp_out(self.mlp(self.ln2(stream)))
        return self.hook_resid_post(stream)  # type: ignore[no-any-return]


class Decoder(Entrance):
    """Writes the target: every position sees those before it and all of the source."""

    def __init__(self, config: Seq2SeqConfig, draw: Draw) -> None:
        super().__init__(config.decoder, draw)
        self.blocks = nn.ModuleList(DecoderBlock(config, draw) for _ in range(config.layers))
        self.ln_final = normalization(config.decoder, draw)

    def forward(self, tokens: Tensor, memory: Tensor, real: Tensor) -> Tensor:
        """The last stream, normalised, `[*seed, example, pos, d_model]`."""
        stream, seen = self.embedded(tokens), real.expand(memory.shape[:-1])
        for block in self.blocks:
            stream = block(stream, memory, seen)
        return self.ln_final(stream)  # type: ignore[no-any-return]


class Seq2Seq(HookedModel):
    """An encoder-decoder, or a population of them; see `Seq2SeqConfig`."""

    config: Seq2SeqConfig

    def __init__(self, config: Seq2SeqConfig, *, seeds: int | Sequence[int] = 0) -> None:
        super().__init__(config, seeds)
        draw = Draw(self.every_seed, alone=self.seeds is None)
        self.encoder = Encoder(config.encoder, draw)
        self.decoder = Decoder(config, draw)
        self.unembed = Unembedding(config.decoder, draw)
        self.hook_logits = hook("example", "pos", "token")
        self.ready()

    def example_input(self) -> Tensor:
        """One source and one target of the first real token, as long as they may be, `[1, pos]`."""
        return torch.ones(1, self.config.inputs, dtype=torch.int64, device=self.device)

    def forward(
        self, inputs: Int64[Tensor, "*given example pos"]
    ) -> Float[Tensor, "*seed example target_pos token"]:
        """The logits at each position of the targets, which stand behind the sources in `inputs`.

        Raises `Refused` for tokens that a side does not have, sequences too long, a target of no position, padding
        before a real token.
        """
        if inputs.shape[-1] <= self.config.source_context:
            raise Refused(
                f"Inputs are {self.config.source_context} positions of source and at least 1 of target; given shape "
                f"{tuple(inputs.shape)}."
            )
        source, target = inputs.tensor_split([self.config.source_context], dim=-1)
        return self.decode(target, *self.encode(source))

    def encode(
        self, source: Int64[Tensor, "*given example pos"]
    ) -> tuple[Float[Tensor, "*seed example pos d_model"], Bool[Tensor, "*given example pos"]]:
        """What the decoder looks at, and where the source is real; sources of up to `source_context` tokens."""
        real = self._real(source, self.config.encoder)
        return self.encoder(source, real), real

    def decode(
        self,
        target: Int64[Tensor, "*own example target_pos"],
        memory: Float[Tensor, "*seed example pos d_model"],
        real: Bool[Tensor, "*given example pos"],
    ) -> Float[Tensor, "*seed example target_pos token"]:
        """The logits after each token of the targets; `memory` and `real` are what `encode` gave."""
        self._real(target, self.config.decoder)
        stream = self.decoder(target, memory, real)
        return self.hook_logits(self.unembed(stream, self.decoder.embed.W_E))  # type: ignore[no-any-return]

    def _real(self, tokens: Tensor, side: TransformerConfig) -> Tensor:
        """Where tokens are no padding; refuses padding that is not at the end."""
        check_tokens(tokens, side, seeds=self.seeds)
        real = tokens != PAD
        check_mask(real, tokens.shape)
        return real
