"""A transformer beside transformer-lens's native model of the same weights, and beside bare torch (one thread).

2 layers, d_model 64, 4 heads, d_mlp 256, GELU, LayerNorm, learned positions, 100 tokens; batches of 64 sequences of 16.
The sides of a ratio take turns within one loop, so that what else the machine does falls on both; what is measured is
processor time, medians. The bare network is the same arithmetic as a tutorial writes it, without hook points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from steps import training_step
from timing import interleaved
from torch import Tensor, nn
from torch.nn import functional as F

from interp.reading.capture import capture
from models.networks.native_bridge import to_native_bridge
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.training.train import one_thread

CONFIG = TransformerConfig(vocabulary=100, context=16, layers=2, d_model=64, heads=4, d_mlp=256)
BATCH, BATCHES, REPEATS = 64, 8, 60
STREAM = ("hook_resid_post", "attn.hook_z", "mlp.hook_post")
INSIDE = ("ln1.hook_scale", "attn.hook_pattern", "hook_resid_mid")


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    model, tokens = Transformer(CONFIG), some_tokens(BATCH)
    with one_thread():
        forward, bare_forward = ratios(forwards(model, tokens))
        step, bare_step = ratios(training_steps(model, tokens))
        stream, inside = captures(model, STREAM), captures(model, INSIDE)
        large, small = speed_up_of_eight(64, 16), speed_up_of_eight(8, 8)
    return [
        ("transformer forward, faster than transformer-lens by", forward, ">= 1.5"),
        ("capture of stream, heads and neurons, faster than run_with_cache by", stream, ">= 1.5"),
        ("capture of patterns and scales, faster than run_with_cache by", inside, ">= 1.5"),
        ("training step (Adam), faster than transformer-lens by", step, ">= 1.3"),
        ("forward / bare torch without hook points", bare_forward, "for comparison"),
        ("training step / bare torch without hook points", bare_step, "for comparison"),
        ("gradients of a seed among 8 / of a seed alone, batches of 64 x 16", 1 / large, "<= 1.15"),
        ("gradients of a seed alone / of a seed among 8, batches of 8 x 8", small, ">= 2"),
    ]


def ratios(sides: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """The time of (ours, transformer-lens's, bare torch): theirs over ours, ours over bare."""
    ours, theirs, bare = interleaved(sides, REPEATS)
    return theirs / ours, ours / bare


def forwards(model: Transformer, tokens: Tensor) -> list[Callable[[], object]]:
    """A forward pass without gradient."""
    networks = (model, to_native_bridge(model), Bare(model))
    return [lambda network=network: torch.no_grad()(network)(tokens) for network in networks]  # type: ignore[misc]


def captures(model: Transformer, points: Sequence[str]) -> float:
    """How many times faster `capture` keeps these points of both layers than batches joined from `run_with_cache`."""
    names = [f"blocks.{layer}.{point}" for layer in range(CONFIG.layers) for point in points]
    tokens, bridge = some_tokens(BATCHES * BATCH), to_native_bridge(model)

    def cached() -> dict[str, Tensor]:
        with torch.no_grad():
            kept = [bridge.run_with_cache(batch, names_filter=names)[1] for batch in tokens.split(BATCH)]
        return {name: torch.cat([batch[name] for batch in kept]) for name in names}

    ours, theirs = interleaved(
        [lambda: capture(model, tokens, names, batch_size=BATCH), cached], REPEATS // 4
    )
    return theirs / ours


def some_tokens(examples: int, length: int = CONFIG.context) -> Tensor:
    """Sequences of any tokens, the same each time."""
    return torch.randint(CONFIG.vocabulary, (examples, length), generator=torch.Generator().manual_seed(0))


def training_steps(model: Transformer, tokens: Tensor) -> list[Callable[[], object]]:
    """Forward, backward and Adam on the next token, each side on weights of its own."""
    networks = (model, to_native_bridge(model), Bare(model))
    return [training_step(network, tokens) for network in networks]


def speed_up_of_eight(batch: int, length: int) -> float:
    """How many times less the gradients cost per network when eight seeds are one population."""
    tokens = some_tokens(batch, length)
    networks = (Transformer(CONFIG), Transformer(CONFIG, seeds=range(8)))
    alone, eight = interleaved([_gradient(network, tokens) for network in networks], 15)
    return alone * 8 / eight


def _gradient(network: nn.Module, tokens: Tensor) -> Callable[[], object]:
    parameters = list(network.parameters())

    def gradient() -> object:
        logits = network(tokens)
        targets = tokens.roll(-1, dims=-1).expand(logits.shape[:-1]).flatten()
        loss = F.cross_entropy(logits.flatten(0, -2), targets, reduction="sum")
        return torch.autograd.grad(loss, parameters)

    return gradient


class Bare(nn.Module):
    """The same network as a tutorial would write it: no hook points, no names."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.weights = nn.ParameterDict(
            {name.replace(".", "/"): value.detach().clone() for name, value in model.state_dict().items()}
        )

    def forward(self, tokens: Tensor) -> Tensor:
        W = {name.replace("/", "."): value for name, value in self.weights.items()}
        x = F.embedding(tokens, W["embed.W_E"]) + W["pos_embed.W_pos"][: tokens.shape[-1]]
        for layer in range(CONFIG.layers):
            x = self._block({name.removeprefix(f"blocks.{layer}."): value for name, value in W.items()}, x)
        return F.layer_norm(x, (CONFIG.d_model,), W["ln_final.w"], W["ln_final.b"]) @ W["unembed.W_U"]

    @staticmethod
    def _block(W: dict[str, Tensor], x: Tensor) -> Tensor:
        read = F.layer_norm(x, (CONFIG.d_model,), W["ln1.w"], W["ln1.b"])
        q, k, v = (
            (read @ W[f"attn.W_{part}"] + W[f"attn.b_{part}"])
            .unflatten(-1, (CONFIG.heads, -1))
            .transpose(1, 2)
            for part in "QKV"
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + z @ W["attn.W_O"] + W["attn.b_O"]
        read = F.layer_norm(x, (CONFIG.d_model,), W["ln2.w"], W["ln2.b"])
        return x + F.gelu(read @ W["mlp.W_in"] + W["mlp.b_in"]) @ W["mlp.W_out"] + W["mlp.b_out"]


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:70} {measured:7.3f}   {bound}")
