"""A residual stream parted into subspaces, and transformers on it whose weights are set one head at a time.

A subspace has one dimension for each token or position. Heads write from one subspace to another, so what every weight
does can be read off. The last subspace is the distractors': head 1 of every layer and the last neurons of every MLP
have random weights, read everything and write there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from models.networks.attention import Attention
from models.networks.blocks import Block, FeedForward
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.seeds import generator

SCRATCH = 6
DISTRACTORS = 5
GAIN = 4.0


@dataclass(frozen=True)
class Distractors:
    """How the random heads and neurons are drawn, and how much of what they write leaks into the output."""

    seed: int = 0
    leak: float = 0.0


class Stream:
    """A residual stream parted into subspaces, the last of them for the distractors."""

    def __init__(self, **sizes: int) -> None:
        ends = torch.tensor([*sizes.values(), SCRATCH]).cumsum(0).tolist()
        starts = [0, *ends]
        self.parts = {
            name: slice(a, b) for name, a, b in zip([*sizes, "scratch"], starts, ends, strict=False)
        }
        self.width, self.d_head = ends[-1], max(sizes.values())

    def into(self, name: str) -> Tensor:
        """The map from a subspace to the first dimensions of a head, `[d_model, d_head]`."""
        part = self.parts[name]
        chosen = torch.zeros(self.width, self.d_head)
        chosen[part, : self.size(name)] = torch.eye(self.size(name))
        return chosen

    def size(self, name: str) -> int:
        """How many dimensions a subspace has."""
        part = self.parts[name]
        return int(part.stop - part.start)

    @torch.no_grad()
    def network(self, *, layers: int, d_mlp: int, sharpness: float, distractors: Distractors) -> Transformer:
        """A network that embeds tokens and positions, reads its output off, and has distractors, but no circuit yet."""
        vocabulary, context = self.size("token"), self.size("position")
        config = TransformerConfig(
            vocabulary,
            context,
            layers=layers,
            d_model=self.width,
            heads=2,
            d_head=self.d_head,
            d_mlp=d_mlp,
            activation="relu",
            normalization="none",
        )
        self.sharpness = 2 * sharpness  # what fits half as well is to lose by as much as is asked for
        model = Transformer(config)
        for parameter in model.parameters():
            parameter.zero_()
        assert model.unembed.W_U is not None  # it is not tied
        model.embed.W_E[:, self.parts["token"]] = torch.eye(vocabulary)
        model.pos_embed.W_pos[:, self.parts["position"]] = torch.eye(context)
        model.unembed.W_U[self.parts["output"]] = GAIN * torch.eye(vocabulary)
        randomness = generator(distractors.seed, "distractors")
        for layer in range(layers):
            weights = attention_of(model, layer), mlp_of(model, layer) if d_mlp else None
            self._distract(*weights, leak=distractors.leak, randomness=randomness)
        return model

    @torch.no_grad()
    def set_head(self, attention: Attention, *, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
        """Head 0: scores `sharpness` where query and key fit, values moved as they are."""
        own = slice(0, self.d_head)
        attention.W_Q[:, own] = self.sharpness * self.d_head**0.5 * q
        attention.W_K[:, own], attention.W_V[:, own], attention.W_O[own] = k, v, out.mT

    def _distract(
        self, attention: Attention, mlp: FeedForward | None, *, leak: float, randomness: torch.Generator
    ) -> None:
        """Head 1 and the last neurons: random, writing to the scratch, and `leak` times as much to the output."""
        other = slice(self.d_head, None)
        for reading in (attention.W_Q, attention.W_K, attention.W_V):
            reading[:, other] = torch.randn(self.width, self.d_head, generator=randomness)
        written = [attention.W_O[other]]
        if mlp is not None:
            mlp.W_in[:, -DISTRACTORS:] = torch.randn(self.width, DISTRACTORS, generator=randomness)
            written.append(mlp.W_out[-DISTRACTORS:])
        for weights in written:
            for name, strength in (("scratch", 1.0), ("output", leak)):
                size = (len(weights), self.size(name))
                weights[:, self.parts[name]] = strength * torch.randn(size, generator=randomness)


def attention_of(model: Transformer, layer: int) -> Attention:
    """The attention of a layer."""
    return cast(Block, model.blocks[layer]).attn  # type: ignore[return-value]


def mlp_of(model: Transformer, layer: int) -> FeedForward:
    """The MLP of a layer."""
    return cast(Block, model.blocks[layer]).mlp  # type: ignore[return-value]
