"""Edges: exact patching against a forward pass written out by hand, attribution against gradients and the exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from written_out import WrittenOut, metric, tokens, transformer

from interp.locating.edge_graph import edge_graph
from interp.locating.edges import edge_attribution, edge_effects
from interp.locating.node_patching import rank_correlation
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import edited, patch
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.pretrained import load_pretrained
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.vit import ViT
from models.networks.vit_config import ViTConfig


def by_hand(model: Transformer, corrupt: Any) -> dict[str, Tensor]:
    """The effect of each edge, from the pass written out."""
    witness = WrittenOut(model)
    wrote, logits = witness.senders(tokens(), {})
    if corrupt == "zero":
        instead = {name: torch.zeros_like(out) for name, out in wrote.items()}
    elif corrupt == "mean":
        instead = {name: out.mean((0, 1)).expand_as(out) for name, out in wrote.items()}
    else:
        instead, _ = witness.senders(corrupt, {})
    effects = {}
    for sender, receiver in edge_graph(model, tokens()).edges:
        _, changed = witness.senders(tokens(), {(sender, receiver): instead[sender]})
        effects[f"{sender} -> {receiver}"] = metric(changed) - metric(logits)
    return effects


def test_the_graph_has_every_way_from_a_sender_to_a_receiver_behind_it() -> None:
    graph = edge_graph(transformer(), tokens())
    before = {
        "blocks.0.attn[0].q": 2,
        "blocks.0.mlp": 4,
        "blocks.1.attn[1].v": 5,
        "blocks.1.mlp": 7,
        "logits": 8,
    }
    for receiver, count in before.items():
        assert sum(edge[1] == receiver for edge in graph.edges) == count
    assert len(graph.edges) == 6 * 2 + 4 + 6 * 5 + 7 + 8
    assert ("blocks.0.mlp", "blocks.1.attn[0].k") in graph.edges
    assert ("blocks.1.attn[0]", "blocks.1.attn[1].k") not in graph.edges


@pytest.mark.parametrize("corrupt", ["inputs", "zero", "mean"])
@pytest.mark.parametrize("changes", [{}, {"d_mlp": 0}], ids=["with mlps", "attention only"])
def test_exact_effects_are_those_of_a_pass_written_out_by_hand(changes: Any, corrupt: str) -> None:
    model, given = transformer(**changes), tokens(2) if corrupt == "inputs" else corrupt
    effects = edge_effects(model, tokens(), given, metric, rows=40)
    expected = by_hand(model, given)
    assert list(effects["edge"].values) == list(expected)
    assert (abs(effects).max("example") > 1e-6).mean() > 0.65  # positions are the same in both runs
    for edge, value in expected.items():
        np.testing.assert_allclose(effects.sel(edge=edge), value.detach(), atol=1e-10, err_msg=edge)


def test_attribution_is_the_gradient_at_each_receivers_stream() -> None:
    model = transformer()
    witness = WrittenOut(model)
    instead, _ = witness.senders(tokens(2), {})
    found = edge_attribution(model, tokens(), tokens(2), metric)
    for sender, receiver in [
        ("embed", "blocks.0.attn[1].k"),
        ("blocks.0.attn[0]", "blocks.0.mlp"),
        ("blocks.0.mlp", "blocks.1.attn[1].q"),
        ("blocks.1.mlp", "logits"),
    ]:
        wrote, _ = witness.senders(tokens(), {})
        leaf = wrote[sender].detach().requires_grad_()
        _, logits = witness.senders(tokens(), {(sender, receiver): leaf})
        (gradient,) = torch.autograd.grad(metric(logits).sum(), leaf)
        expected = ((instead[sender] - leaf) * gradient).sum((-2, -1)).detach()
        np.testing.assert_allclose(found.sel(edge=f"{sender} -> {receiver}"), expected, atol=1e-10)


def test_attribution_with_steps_is_the_mean_over_embeddings_between_the_runs() -> None:
    model, steps = transformer(), 3
    found = edge_attribution(model, tokens(), tokens(2), metric, steps=steps)
    start, end = (model.embed.W_E[inputs] for inputs in (tokens(2), tokens(1)))
    graph = edge_graph(model, tokens())
    total = found.sel(edge="embed -> logits")
    witness = WrittenOut(model)
    expected = torch.zeros(9, dtype=torch.float64)
    for step in range(1, steps + 1):
        mix = torch.lerp(start, end, step / steps).detach()
        layers = {("embed", receiver): mix for _, receiver in graph.edges}
        leaf = mix.clone().requires_grad_()
        _, logits = witness.senders(tokens(), {**layers, ("embed", "logits"): leaf})
        (gradient,) = torch.autograd.grad(metric(logits).sum(), leaf)
        expected += ((start - end) * gradient).sum((-2, -1)).detach() / steps
    np.testing.assert_allclose(total, expected, atol=1e-10)


def test_the_seeds_get_what_each_alone_gets() -> None:
    model = transformer([3, 7])
    for make in (edge_effects, edge_attribution):
        together = make(model, tokens(), tokens(2), metric)
        assert together.dims == ("seed", "edge", "example")
        for seed in (3, 7):
            alone = make(model.member(seed), tokens(), tokens(2), metric)
            np.testing.assert_allclose(together.sel(seed=seed), alone, atol=1e-10)


def test_how_many_rows_ride_together_does_not_matter() -> None:
    model = transformer()
    one, many = (edge_effects(model, tokens(), tokens(2), metric, rows=rows) for rows in (1, 100_000))
    np.testing.assert_allclose(one, many, atol=1e-12)


def test_edges_into_the_logits_of_a_network_without_norm_are_estimated_exactly() -> None:
    model = transformer(normalization="none")
    pair = (model, tokens(), tokens(2), metric)
    exact, estimate = edge_effects(*pair), edge_attribution(*pair)
    into = exact["receiver"].values == "logits"
    np.testing.assert_allclose(exact[into], estimate[into], atol=1e-10)
    assert abs(exact[~into] - estimate[~into]).max() > 1e-3


def test_estimates_rank_much_as_the_exact_effects_do() -> None:
    pair = (transformer(range(6)), tokens(1, 30), tokens(2, 30), metric)
    exact = edge_effects(*pair)
    once, more = (rank_correlation(edge_attribution(*pair, steps=steps), exact) for steps in (1, 5))
    assert once.dims == ("seed",)
    assert once.mean() > 0.5
    assert more.mean() > 0.5


@pytest.mark.real_data
def test_a_pretrained_network_with_shared_keys_has_exact_edges(data_dir: Path) -> None:
    model = load_pretrained(data_dir / "stories260K", dtype="float64")
    clean, corrupt = torch.randint(3, 512, (2, 1, 4), generator=torch.Generator().manual_seed(1))
    graph = edge_graph(model, clean)
    assert sum(receiver.name.endswith(".k") for receiver in graph.receivers) == 5 * 4
    effects = edge_effects(model, clean, corrupt, metric)
    last, hook = effects.sel(edge="blocks.4.mlp -> logits"), "blocks.4.hook_mlp_out"
    with torch.no_grad(), edited(model, patch(hook, capture(model, corrupt, hook))):
        expected = metric(model(clean))
    np.testing.assert_allclose(last, expected - metric(model(clean)).detach(), atol=1e-9)


@pytest.mark.parametrize("hook", ["hook_resid_post", "hook_attn_out"])
def test_a_stream_that_is_not_what_the_senders_wrote_is_refused(hook: str) -> None:
    model = transformer()
    model.hook_dict[f"blocks.0.{hook}"].register_forward_hook(lambda point, given, x: 2 * x)
    with pytest.raises(Refused, match="misses the residual stream"):
        edge_effects(model, tokens(), tokens(2), metric)


def test_what_cannot_be_meant_is_refused() -> None:
    model = transformer()
    with pytest.raises(Refused, match="cannot be taken apart"):
        edge_effects(MLP(MLPConfig((5, 3))), torch.zeros(4, 5), "zero", metric)
    with pytest.raises(Refused, match="shaped like the clean ones"):
        edge_effects(model, tokens(), tokens()[:, :3], metric)
    with pytest.raises(Refused, match="no run to patch from 'zeros'"):
        edge_effects(model, tokens(), "zeros", metric)
    with pytest.raises(Refused, match="steps is at least 1"):
        edge_attribution(model, tokens(), "zero", metric, steps=0)
    with pytest.raises(Refused, match="no edge 'embed -> logit'"):
        edge_graph(model, tokens()).chosen([("embed", "logit")])


def test_recurrent_networks_and_image_networks_have_no_edges_here() -> None:
    config = RecurrentConfig(vocabulary=11, layers=2, units=6, d_model=5, outputs=11, answers="each")
    with pytest.raises(Refused, match=r"Recurrent cannot be taken apart .* `blocks\.0\.` on"):
        edge_effects(Recurrent(config), tokens(), tokens(2), metric)
    images = ViT(ViTConfig((8, 8), 4, layers=1, d_model=8, heads=2, d_mlp=8))
    with pytest.raises(Refused, match="they have no `pos`"):
        edge_effects(images, torch.rand(4, 64), "zero", lambda logits: logits[..., 0])
