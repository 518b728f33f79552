"""What an encoder-decoder is, as inert data (no torch is imported here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from models.networks.transformer_config import Activation, Normalization, Positions, TransformerConfig
from models.refusals import Refused, one_of

PAD = 0  # of both vocabularies, this token fills shorter sequences up and is never seen


@dataclass(frozen=True)
class Seq2SeqConfig:
    """An encoder of a source, and a decoder that looks at it while it writes a target; logits over the target's tokens.

    An example is a source of `source_context` positions, of a `source_vocabulary`, and behind it the target so far, up
    to `context` tokens of a `vocabulary`; on either side token 0 is padding and stands at the end. `layers` are those
    of the encoder and as many of the decoder. Everything else as in `TransformerConfig`; rotary positions turn queries
    and keys of self-attention alone, since a source and its target share no positions.
    """

    source_vocabulary: int
    source_context: int
    vocabulary: int
    context: int
    layers: int = 1
    d_model: int = 64
    heads: int = 4
    d_head: int = 0
    d_mlp: int = 256
    activation: Activation = "gelu"
    normalization: Normalization = "layernorm"
    positions: Positions = "learned"
    init_scale: float = 1.0
    family: Literal["seq2seq"] = "seq2seq"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        one_of("family", self.family, Literal["seq2seq"])
        if self.vocabulary == 1 or self.source_vocabulary == 1:
            raise Refused("Token 0 is padding, so a vocabulary has 2 tokens or more; given 1.")
        if not self.layers or not self.heads:
            raise Refused(
                f"Cross-attention takes a layer and a head; given layers={self.layers}, heads={self.heads}."
            )
        object.__setattr__(self, "d_head", self.decoder.d_head)
        _ = self.encoder

    @property
    def encoder(self) -> TransformerConfig:
        """The encoder as a transformer: bidirectional."""
        return self._side(self.source_vocabulary, self.source_context, causal=False)

    @property
    def decoder(self) -> TransformerConfig:
        """The decoder as a transformer, but for its cross-attention: causal."""
        return self._side(self.vocabulary, self.context, causal=True)

    @property
    def crossing(self) -> TransformerConfig:
        """Cross-attention: queries of the target see all of the source, and no position is turned."""
        return replace(self.encoder, positions="none")

    def _side(self, vocabulary: int, context: int, *, causal: bool) -> TransformerConfig:
        return TransformerConfig(
            vocabulary,
            context,
            layers=self.layers,
            d_model=self.d_model,
            heads=self.heads,
            d_head=self.d_head,
            d_mlp=self.d_mlp,
            activation=self.activation,
            normalization=self.normalization,
            positions=self.positions,
            causal=causal,
            init_scale=self.init_scale,
        )

    @property
    def output(self) -> Literal["identity"]:
        """What follows the logits: nothing."""
        return "identity"

    @property
    def reads(self) -> Literal["token pairs"]:
        """Examples are a source and a target, side by side."""
        return "token pairs"

    @property
    def inputs(self) -> int:
        """How many tokens an example has at most, source and target together."""
        return self.source_context + self.context

    @property
    def outputs(self) -> int:
        """How many numbers the network gives at each position of the target."""
        return self.vocabulary

    def resized(self, *, inputs: int, outputs: int) -> Seq2SeqConfig:
        """The same network for targets of another length and another vocabulary; the source's side stays."""
        return replace(self, context=inputs - self.source_context, vocabulary=outputs)
