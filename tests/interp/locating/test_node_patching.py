"""Attribution patching of nodes against the exact patching that it estimates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hand_network import Point
from scipy.stats import spearmanr
from torch import Tensor, nn

from interp.locating.node_patching import (
    Nodes,
    attribution_patching,
    exact_patching,
    rank_correlation,
)
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import edited, patch
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.seq2seq import Seq2Seq
from models.networks.seq2seq_config import Seq2SeqConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

HEADS = ["blocks.*.attn.hook_result", "blocks.*.hook_mlp_out"]


def transformer(seeds: Any = 0) -> Transformer:
    config = TransformerConfig(11, 6, layers=2, d_model=8, heads=2, d_mlp=12)
    return Transformer(config, seeds=seeds).double()


def tokens(seed: int) -> Tensor:
    return torch.randint(11, (20, 5), generator=torch.Generator().manual_seed(seed))


def metric(logits: Tensor) -> Tensor:
    return logits[..., -1, 3] - logits[..., -1, 4]


def both(model: Any, *, along: Any = ("head",), **settings: Any) -> tuple[Any, Any]:
    pair = (model, tokens(1), tokens(2), metric, Nodes(HEADS, along))
    return attribution_patching(*pair, **settings), exact_patching(*pair)


def test_exact_patching_is_one_patch_at_a_time() -> None:
    model = transformer([3, 7])
    exact = exact_patching(model, tokens(1), tokens(2), metric, Nodes(HEADS, along=("head", "pos")))
    assert exact.dims == ("seed", "node", "example")
    assert exact.sizes["node"] == 2 * 2 * 5 + 2 * 5
    corrupt = capture(model, tokens(2), HEADS)
    with edited(model, patch("blocks.1.attn.hook_result", corrupt, head=1, pos=4)):
        patched = metric(model(tokens(1)))
    expected = patched - metric(model(tokens(1)))
    found = exact.sel(node="blocks.1.attn.hook_result[head=1, pos=4]")
    np.testing.assert_allclose(found, expected.detach(), atol=1e-12)
    assert (int(found["head"]), int(found["pos"])) == (1, 4)
    assert set(exact["head"].values[exact["hook"].values == "blocks.0.hook_mlp_out"]) == {-1}


def test_on_a_linear_network_the_estimate_is_exact() -> None:
    model = MLP(MLPConfig((5, 8, 6, 3), activation="identity"), seeds=[1, 2]).double()
    clean, corrupt = torch.rand(2, 9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pair = (model, clean, corrupt, lambda out: out[..., 0], Nodes("layers.*.hook_post", along=("neuron",)))
    estimate, exact = attribution_patching(*pair), exact_patching(*pair)
    assert estimate.sizes == {"seed": 2, "node": 14, "example": 9}
    np.testing.assert_allclose(estimate, exact, atol=1e-12)
    np.testing.assert_allclose(rank_correlation(estimate, exact), 1.0)


def test_a_step_between_the_runs_small_enough_makes_the_estimate_exact() -> None:
    model = MLP(MLPConfig((5, 8, 3), activation="tanh"), seeds=0).double()
    clean = torch.rand(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pair = (
        model,
        clean,
        clean + 1e-5,
        lambda out: out[..., 0],
        Nodes("layers.0.hook_pre", along=("neuron",)),
    )
    estimate, exact = attribution_patching(*pair), exact_patching(*pair)
    np.testing.assert_allclose(estimate, exact, atol=1e-9)
    assert abs(exact).max() > 1e-7


def test_on_a_transformer_the_estimate_ranks_much_as_the_exact_patching_does_and_not_the_same() -> None:
    estimate, exact = both(transformer(range(8)), along=("head", "pos"))
    found = rank_correlation(estimate, exact)
    assert found.dims == ("seed",)
    assert 0.5 < found.mean() < 0.95
    expected = [spearmanr(*(x.sel(seed=3).mean("example") for x in (estimate, exact))).statistic]
    np.testing.assert_allclose(found.sel(seed=3), expected[0])


def test_with_many_steps_the_estimates_of_the_embeddings_sum_to_the_whole_difference() -> None:
    model, hooks = transformer([3, 7]), ["hook_embed", "hook_pos_embed"]
    estimate = attribution_patching(model, tokens(1), tokens(2), metric, hooks, steps=60)
    exact = metric(model(tokens(1))) - metric(model(tokens(2)))
    np.testing.assert_allclose(-estimate.sum("node"), exact.detach(), atol=0.1)
    once = attribution_patching(model, tokens(1), tokens(2), metric, hooks)
    assert abs(-once.sum("node") - exact.detach().numpy()).max() > 0.2


def test_two_steps_are_the_mean_of_the_gradients_half_way_and_at_the_clean_run() -> None:
    model = MLP(MLPConfig((5, 8, 3), activation="tanh")).double()
    clean, corrupt = torch.randn(2, 9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = attribution_patching(model, clean, corrupt, lambda out: out[:, 0], "layers.0.hook_pre", steps=2)
    W, b, out = model.layers[0].W, model.layers[0].b, model.unembed.W[:, 0]
    slopes = [(1 - ((x @ W + b).tanh()) ** 2) * out for x in ((clean + corrupt) / 2, clean)]
    expected = ((corrupt - clean) @ W * (slopes[0] + slopes[1]) / 2).sum(-1)
    np.testing.assert_allclose(found[0], expected.detach(), atol=1e-12)


def test_with_many_steps_the_embeddings_of_both_stacks_sum_to_the_whole_difference() -> None:
    model = Seq2Seq(
        Seq2SeqConfig(9, 5, 9, 4, layers=2, d_model=12, heads=2, d_mlp=8, init_scale=2.0)
    ).double()
    clean, corrupt = (tokens(seed)[:, :1] % 7 + 2 for seed in (1, 2))
    clean, corrupt = (
        torch.cat([first, tokens(3) % 7 + 2, first, first], dim=1) for first in (clean, corrupt)
    )
    hooks = ["encoder.hook_embed", "decoder.hook_embed"]
    with torch.no_grad():
        whole = metric(model(corrupt)) - metric(model(clean))
    once, often = (
        attribution_patching(model, clean, corrupt, metric, hooks, steps=steps).sum("node")
        for steps in (1, 60)
    )
    missed, left = (float(abs(found - whole.numpy()).max()) for found in (once, often))
    assert missed > 0.5
    assert left < 0.1 * missed


def test_several_steps_where_inputs_enter_at_no_hook_are_refused() -> None:
    class Unnamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hook_middle = Point()
            self.hook_dict = {"hook_middle": self.hook_middle}

        def forward(self, x: Tensor) -> Tensor:
            return self.hook_middle(x**2).sum(-1)  # type: ignore[no-any-return]

    pair = (Unnamed(), torch.zeros(3, 2), torch.ones(3, 2), lambda out: out, "hook_middle")
    assert attribution_patching(*pair).values.tolist() == [[2, 2, 2]]
    with pytest.raises(Refused, match=r"hook_embed.* Unnamed has none of these: take steps=1"):
        attribution_patching(*pair, steps=2)


def test_the_seeds_get_what_each_alone_gets() -> None:
    model = transformer([3, 7])
    together = both(model, steps=3)
    for seed in (3, 7):
        for found, alone in zip(together, both(model.member(seed), steps=3), strict=True):
            np.testing.assert_allclose(found.sel(seed=seed), alone, atol=1e-12)


def test_the_same_run_twice_has_no_effect() -> None:
    pair = (transformer(), tokens(1), tokens(1), metric, HEADS)
    estimate, exact = attribution_patching(*pair), exact_patching(*pair)
    assert not estimate.any()
    assert abs(exact).max() < 1e-12
    assert np.isnan(rank_correlation(estimate, exact))


def test_what_cannot_be_meant_is_refused() -> None:
    model = transformer()
    with pytest.raises(Refused, match="one shape"):
        exact_patching(model, tokens(1), tokens(2)[:, :3], metric, HEADS)
    with pytest.raises(Refused, match="no axis of these hooks 'heads'"):
        exact_patching(model, tokens(1), tokens(2), metric, Nodes(HEADS, along=("heads",)))
    with pytest.raises(Refused, match="steps is at least 1"):
        attribution_patching(model, tokens(1), tokens(2), metric, HEADS, steps=0)
    estimate, exact = both(model)
    with pytest.raises(Refused, match="same node axis"):
        rank_correlation(estimate.isel(node=slice(1, None)), exact)
