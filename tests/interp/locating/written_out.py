"""A transformer's forward pass written out by hand, in which each receiver reads a stream of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig


def transformer(seeds: Any = 0, **changes: Any) -> Transformer:
    settings = {"layers": 2, "d_model": 16, "heads": 2, "d_mlp": 12, **changes}
    model = Transformer(TransformerConfig(11, 6, **settings), seeds=seeds).double()
    randomness = torch.Generator().manual_seed(5)
    for parameter in model.parameters():  # biases are drawn as 0
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=randomness, dtype=torch.float64)
    return model


def tokens(seed: int = 1, examples: int = 9) -> Tensor:
    return torch.randint(11, (examples, 5), generator=torch.Generator().manual_seed(seed))


def metric(logits: Tensor) -> Tensor:
    return logits[..., -1, 3] - logits[..., -1, 4]


class WrittenOut:
    """A transformer's forward pass in which each receiver's stream is a sum over senders, one example at a time."""

    def __init__(self, model: Transformer) -> None:
        self.model, self.heads = model, model.config.heads

    def senders(
        self, inputs: Tensor, swap: dict[tuple[str, str], Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """What every sender writes, and the logits, where `swap[sender, receiver]` is what the receiver gets."""
        model = self.model
        wrote = {"embed": model.embed.W_E[inputs], "pos_embed": model.pos_embed.W_pos[: inputs.shape[-1]]}
        wrote["pos_embed"] = wrote["pos_embed"].expand_as(wrote["embed"])
        biases: list[Tensor] = []

        def read(receiver: str) -> Tensor:
            return sum((swap.get((name, receiver), out) for name, out in wrote.items()), start=sum(biases))

        for layer, block in enumerate(model.blocks):
            name = f"blocks.{layer}"
            outs = [self.head(block, head, f"{name}.attn[{head}]", read) for head in range(self.heads)]
            biases.append(block.attn.b_O)
            wrote |= {f"{name}.attn[{head}]": out for head, out in enumerate(outs)}
            if block.mlp is not None:
                hidden = F.gelu(self.norm(block.ln2, read(f"{name}.mlp")) @ block.mlp.W_in + block.mlp.b_in)
                wrote[f"{name}.mlp"] = hidden @ block.mlp.W_out + block.mlp.b_out
        return wrote, self.norm(model.ln_final, read("logits")) @ model.unembed.W_U

    def head(self, block: Any, head: int, name: str, read: Any) -> Tensor:
        width = self.model.config.d_head
        part = slice(head * width, (head + 1) * width)
        q, k, v = (
            self.norm(block.ln1, read(f"{name}.{kind.lower()}")) @ getattr(block.attn, f"W_{kind}")[:, part]
            + getattr(block.attn, f"b_{kind}")[part]
            for kind in "QKV"
        )
        seen = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril()
        scores = (q @ k.mT / width**0.5).masked_fill(~seen, -torch.inf)
        return scores.softmax(-1) @ v @ block.attn.W_O[part]

    def norm(self, layer: Any, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], layer.w, layer.b, 1e-5)
