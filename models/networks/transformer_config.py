"""What a transformer is, as inert data (no torch is imported here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from models.networks.config_checks import scale, whole
from models.refusals import Refused, one_of

Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
Normalization = Literal["layernorm", "rmsnorm", "none"]
Positions = Literal["learned", "rotary", "none"]
AttentionName = Literal["softmax", "linear"]


@dataclass(frozen=True)
class TransformerConfig:
    """A transformer that reads up to `context` tokens of a `vocabulary` and gives logits over it at each of them.

    `heads=0` leaves attention out, `d_mlp=0` the MLPs. `d_head=0` means d_model / heads; `key_heads` (0: one for each
    head) are the heads of keys and values, shared by equal groups of heads. `gelu` is the exact one, x Phi(x), as
    torch.nn.GELU and transformer-lens's "gelu"; `gelu_tanh` its approximation in GPT-2, "gelu_new" there. `gated`: the
    activation of one linear map scales another (GLU; without biases, as in Llama). Normalisation stands before
    attention, before the MLP, and before the unembedding. `tied`: the unembedding is the embedding, transposed.
    `attention`: `softmax`, or `linear` (similarities of features instead, cheaper_attention.py). `window`: how many
    positions one sees, itself counted (0: all before it). Both look back, so the network is causal; `key_heads=1` is
    multi-query attention.
    Matrices are drawn from N(0, init_scale^2 / fan_in), those that write to the residual stream divided by the square
    root of their number besides; embeddings from N(0, init_scale^2 / d_model); biases are 0.
    """

    vocabulary: int
    context: int
    layers: int = 2
    d_model: int = 64
    heads: int = 4
    d_head: int = 0
    key_heads: int = 0
    d_mlp: int = 256
    activation: Activation = "gelu"
    gated: bool = False
    normalization: Normalization = "layernorm"
    positions: Positions = "learned"
    causal: bool = True
    tied: bool = False
    unembedding_bias: bool = False
    init_scale: float = 1.0
    attention: AttentionName = "softmax"
    window: int = 0
    family: Literal["transformer"] = "transformer"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        self._refuse_sizes()
        self._settle_heads()
        one_of("activation", self.activation, Activation)
        one_of("normalization", self.normalization, Normalization)
        one_of("positions", self.positions, Positions)
        one_of("family", self.family, Literal["transformer"])
        one_of("attention", self.attention, AttentionName)
        self._refuse_cheaper()
        if self.layers and not self.heads and not self.d_mlp:
            raise Refused("A layer is attention, an MLP or both: heads and d_mlp cannot both be 0.")
        if self.gated and not self.d_mlp:
            raise Refused("gated speaks of the MLP, and d_mlp=0 leaves it out.")
        if self.positions == "rotary" and (self.d_head == 0 or self.d_head % 2):
            raise Refused(
                f"Rotary positions turn pairs of a head's dimensions: d_head is {self.d_head}, not even."
            )
        scale(self.init_scale)

    def _refuse_sizes(self) -> None:
        least = {"vocabulary": 1, "context": 1, "d_model": 1}
        for name in (
            "vocabulary",
            "context",
            "layers",
            "d_model",
            "heads",
            "d_head",
            "key_heads",
            "d_mlp",
            "window",
        ):
            whole(name, getattr(self, name), least.get(name, 0))

    def _refuse_cheaper(self) -> None:
        """Refuses a window or linear attention where it would have no meaning."""
        cheaper = bool(self.window) or self.attention == "linear"
        if cheaper and not (self.causal and self.heads):
            raise Refused(
                "A window and linear attention look back at earlier positions: they take causal=True and heads; given "
                f"causal={self.causal}, heads={self.heads}."
            )
        if self.attention == "linear" and (self.window or self.positions == "rotary"):
            raise Refused(
                "Linear attention sums over all positions, by features that turned are no longer positive: it takes no "
                f"window and no rotary positions; given window={self.window}, positions={self.positions!r}."
            )

    def _settle_heads(self) -> None:
        if not self.heads:
            if self.d_head or self.key_heads:
                raise Refused("d_head and key_heads speak of attention, and heads=0 leaves it out.")
            return
        if not self.d_head and self.d_model % self.heads:
            raise Refused(f"d_model={self.d_model} does not part into {self.heads} heads; give d_head.")
        object.__setattr__(self, "d_head", self.d_head or self.d_model // self.heads)
        object.__setattr__(self, "key_heads", self.key_heads or self.heads)
        if self.heads % self.key_heads:
            raise Refused(f"{self.heads} heads do not part into equal groups for {self.key_heads} key_heads.")

    @property
    def exact(self) -> bool:
        """Whether attention is softmax over all that a position may see."""
        return self.attention == "softmax" and not self.window

    @property
    def output(self) -> Literal["identity"]:
        """What follows the logits: nothing."""
        return "identity"

    @property
    def reads(self) -> Literal["tokens"]:
        """Examples are sequences of tokens."""
        return "tokens"

    @property
    def inputs(self) -> int:
        """How many tokens an example has at most."""
        return self.context

    @property
    def outputs(self) -> int:
        """How many numbers the network gives at each position."""
        return self.vocabulary

    def resized(self, *, inputs: int, outputs: int) -> TransformerConfig:
        """The same network for sequences of another length and another vocabulary."""
        return replace(self, context=inputs, vocabulary=outputs)
