"""Sweeps of edits beside transformer-lens's own `patching`, and beside one hook run for each neuron (one thread).

Residual patch grids (layer by position) on networks of the same weights, the source run's activations given to both and
the edits built within the time measured; both read the logit difference at the last position. All-neuron ablation: a
784-512-512-512-512-10 MLP, ReLU, 64 examples, against a plain forward hook for each of the 2,048 neurons. The sides of
a ratio take turns within one loop; processor time, medians.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import torch
from timing import interleaved
from torch import Tensor
from transformer_lens import patching

from interp.reading.capture import capture
from interp.writing.edits import patch, zero
from interp.writing.sweep import sweep
from interp.writing.values import value_of
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.native_bridge import to_native_bridge
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.training.train import one_thread

LARGE = TransformerConfig(vocabulary=512, context=32, layers=4, d_model=128, heads=4, d_mlp=512)
SMALL = TransformerConfig(vocabulary=512, context=8, layers=2, d_model=64, heads=4, d_mlp=256)
BATCH, EXAMPLES = 4, 64
HIDDEN = (512, 512, 512, 512)


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    with one_thread():
        large, small = grid_ratio(LARGE, repeats=7), grid_ratio(SMALL, repeats=40)
        neurons = ablation_ratio(repeats=3)
        few, many = cost_per_edit()
    return [
        (
            "residual patch grid, 128 edits (4 layers, d_model 128), faster than transformer-lens by",
            large,
            ">= 4",
        ),
        (
            "residual patch grid, 16 edits (2 layers, d_model 64), faster than transformer-lens by",
            small,
            ">= 7",
        ),
        ("ablation of 4 x 512 neurons on 64 examples, faster than a hook run each by", neurons, ">= 6"),
        ("cost of an edit among 1,024 / among 64", many / few, "<= 1.1"),
    ]


def grid_ratio(config: TransformerConfig, *, repeats: int) -> float:
    """How many times faster the same grid of patches is than transformer-lens's `get_act_patch_resid_pre`."""
    model, clean, corrupted = Transformer(config).eval(), some_tokens(config, 0), some_tokens(config, 1)
    bridge, acts = to_native_bridge(model), capture(model, clean, "blocks.*.hook_resid_pre")
    with torch.no_grad():
        cache = bridge.run_with_cache(clean)[1]

    def theirs() -> object:
        with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
            return patching.get_act_patch_resid_pre(
                bridge, corrupted, cache, lambda logits: difference(logits[:, -1]).mean()
            )

    def ours() -> object:
        edits = [
            patch(name, value, pos=pos)
            for name in acts
            for value in [value_of(acts, name)]
            for pos in range(config.context)
        ]
        return sweep(model, corrupted, edits, difference, at=-1)

    fast, slow = interleaved([ours, theirs], repeats)
    return slow / fast


def ablation_ratio(*, repeats: int) -> float:
    """How many times faster every hidden neuron is ablated than by a run with a forward hook for each."""
    model, inputs = ablated_mlp()
    names = [(f"layers.{layer}.hook_post", neuron) for layer, n in enumerate(HIDDEN) for neuron in range(n)]

    def each() -> Tensor:
        found = []
        with torch.no_grad():
            for name, neuron in names:
                handle = model.hook_dict[name].register_forward_hook(_zeroing(neuron))
                found.append(model(inputs)[:, 3])
                handle.remove()
        return torch.stack(found)

    def ours() -> object:
        return sweep(
            model, inputs, [zero(name, neuron=neuron) for name, neuron in names], lambda out: out[:, 3]
        )

    fast, slow = interleaved([ours, each], repeats, warm=1)
    return slow / fast


def cost_per_edit() -> tuple[float, float]:
    """Seconds for each of few edits, and of many."""
    model, inputs = ablated_mlp()

    def run(count: int) -> Callable[[], object]:
        return lambda: sweep(
            model,
            inputs,
            [zero("layers.1.hook_post", neuron=n % 512) for n in range(count)],
            lambda out: out[:, 3],
        )

    few, many = interleaved([run(64), run(1024)], 5)
    return few / 64, many / 1024


def ablated_mlp() -> tuple[MLP, Tensor]:
    """The network whose neurons are ablated, and its inputs."""
    model = MLP(MLPConfig((784, *HIDDEN, 10), activation="relu", initialisation="kaiming")).eval()
    return model, torch.rand(EXAMPLES, 784, generator=torch.Generator().manual_seed(0))


def _zeroing(neuron: int) -> Any:
    def hook(module: object, inputs: object, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, neuron] = 0
        return output

    return hook


def some_tokens(config: TransformerConfig, seed: int) -> Tensor:
    """Sequences of any tokens as long as the context."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocabulary, (BATCH, config.context), generator=generator)


def difference(logits: Tensor) -> Tensor:
    """The logit of one token less that of another."""
    return logits[..., 1] - logits[..., 2]
