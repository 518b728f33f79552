"""A sweep over a single example: its runs are as apart as those of many."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.locating.patching import activation_patching
from interp.reading.capture import capture
from interp.writing.edits import edited, patch
from interp.writing.sweep import sweep
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig


def last(logits: Tensor) -> Tensor:
    return logits[..., -1, 1] - logits[..., -1, 2]


@pytest.mark.parametrize("seeds", [0, (0, 1)])
@pytest.mark.parametrize("hook", ["hook_embed", "blocks.1.hook_resid_pre", "blocks.0.attn.hook_z"])
def test_runs_of_one_example_are_edited_apart(seeds: int | tuple[int, ...], hook: str) -> None:
    config = TransformerConfig(vocabulary=11, context=6, layers=2, d_model=12, heads=2, d_mlp=10)
    model = Transformer(config, seeds=seeds).double().eval()
    clean, corrupted = torch.randint(11, (2, 1, 6), generator=torch.Generator().manual_seed(5))
    acts = capture(model, clean, hook)
    edits = [patch(hook, acts, pos=pos) for pos in range(6)]
    swept = sweep(model, corrupted, edits, last)
    for number, edit in enumerate(edits):
        with edited(model, edit), torch.no_grad():
            np.testing.assert_allclose(swept[number], last(model(corrupted)), atol=1e-12)
    grid = activation_patching(model, corrupted, clean, last, hooks=hook)
    np.testing.assert_allclose(grid.under.values.reshape(swept.shape), swept, atol=1e-12)


def test_neurons_of_one_example_are_edited_apart() -> None:
    model = MLP(MLPConfig((4, 5, 5, 3), activation="tanh", initialisation="kaiming")).double().eval()
    clean, corrupted = torch.rand(2, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    acts = capture(model, clean, "layers.0.hook_post")
    edits = [patch("layers.0.hook_post", acts, neuron=[n, (n + 1) % 5]) for n in range(5)]
    swept = sweep(model, corrupted, edits, lambda out: out[..., 1])
    for number, edit in enumerate(edits):
        with edited(model, edit), torch.no_grad():
            np.testing.assert_allclose(swept[number], model(corrupted)[..., 1], atol=1e-12)
