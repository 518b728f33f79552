"""Circuits: cut edges against a pass written out by hand, and the true circuits of networks made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from written_out import WrittenOut, metric, tokens, transformer

from interp.locating.circuit_search import smallest_circuit
from interp.locating.circuits import (
    areas,
    circuit_metrics,
    faithfulness_curve,
    recovery_auroc,
)
from interp.locating.edge_graph import edge_graph
from interp.locating.edges import edge_attribution, edge_effects
from interp.locating.node_patching import Nodes, attribution_patching, exact_patching
from interp.refusals import Refused
from models.networks.handmade import copy_network, induction_network, lookup_network
from models.networks.handmade_loops import loop_detector
from models.networks.handmade_stream import Distractors


def test_a_circuit_is_a_pass_in_which_all_other_edges_bring_something_else() -> None:
    model = transformer([3])
    alone, randomness = model.member(3), torch.Generator().manual_seed(2)
    edges = edge_graph(alone, tokens()).edges
    witness = WrittenOut(alone)
    instead, _ = witness.senders(tokens(2), {})
    circuits = [
        {edge for edge in edges if torch.rand(1, generator=randomness) < share}
        for share in (0.0, 0.3, 0.7, 1.0)
    ]
    found = circuit_metrics(model, tokens(), tokens(2), metric, circuits, rows=18)
    assert found.dims == ("seed", "circuit", "example")
    for place, circuit in enumerate(circuits):
        _, logits = witness.senders(tokens(), {edge: instead[edge[0]] for edge in set(edges) - circuit})
        np.testing.assert_allclose(found[0, place], metric(logits).detach(), atol=1e-10)


def test_with_all_edges_it_is_the_clean_run_and_with_none_the_corrupt() -> None:
    model = transformer()
    every = edge_graph(model, tokens()).edges
    found = circuit_metrics(model, tokens(), tokens(2), metric, [every, []])
    np.testing.assert_allclose(found[0], metric(model(tokens())).detach(), atol=1e-12)
    np.testing.assert_allclose(found[1], metric(model(tokens(2))).detach(), atol=1e-12)


def test_cutting_one_edge_is_its_effect() -> None:
    model = transformer()
    every = edge_graph(model, tokens()).edges
    effects = edge_effects(model, tokens(), tokens(2), metric)
    found = circuit_metrics(model, tokens(), tokens(2), metric, [every, every[:20] + every[21:]])
    np.testing.assert_allclose(found[1] - found[0], effects[20], atol=1e-12)


def test_each_seed_is_cut_after_its_own_scores() -> None:
    model = transformer([3, 7])
    pair = (tokens(), tokens(2), metric)
    scores = edge_effects(model, *pair)
    curves = faithfulness_curve(model, *pair, scores, shares=(0.1, 0.5))
    assert curves["faithfulness"].dims == ("seed", "share")
    for seed in (3, 7):
        alone = faithfulness_curve(model.member(seed), *pair, scores.sel(seed=seed), shares=(0.1, 0.5))
        np.testing.assert_allclose(curves["faithfulness"].sel(seed=seed), alone["faithfulness"], atol=1e-9)
        np.testing.assert_allclose(curves["cmd"].sel(seed=seed), alone["cmd"], atol=1e-9)


def made_by_hand(name: str, leak: float = 0.0) -> tuple[Any, Tensor, Any]:
    """The network, inputs, and how far the right answers are above the mean logit."""
    randomness, extra = torch.Generator().manual_seed(3), {"distractors": Distractors(leak=leak)}
    if name == "induction":
        made = induction_network(**extra)
        inputs = torch.randint(1, 8, (12, 12), generator=randomness)
        inputs[:, 0] = 0
    elif name == "copy":
        made, inputs = copy_network(**extra), torch.randint(0, 8, (16, 10), generator=randomness)
    else:
        made = lookup_network(torch.randint(0, 5, (6, 3), generator=randomness), **extra)
        inputs = torch.cartesian_prod(torch.arange(6), torch.arange(6, 9))
    made.model.double()
    with torch.no_grad():
        right = made.model(inputs).argmax(-1, keepdim=True)
    return made, inputs, lambda logits: (logits.gather(-1, right)[..., 0] - logits.mean(-1)).mean(-1)


NAMES = ["induction", "copy", "lookup"]


@pytest.mark.parametrize("leak", [0.0, 0.01], ids=["quiet distractors", "leaking distractors"])
@pytest.mark.parametrize("name", NAMES)
def test_exact_patching_finds_the_true_circuit(name: str, leak: float) -> None:
    made, inputs, right = made_by_hand(name, leak)
    effects = edge_effects(made.model, inputs, "zero", right)
    assert float(recovery_auroc(effects, made.edges)) == 1.0
    if not leak:
        true = effects["edge"].isin([" -> ".join(edge) for edge in made.edges])
        assert abs(effects[~true]).max() < 1e-12


def test_attribution_is_blind_to_saturated_queries_and_keys_and_steps_help() -> None:
    found = {}
    for name in NAMES:
        made, inputs, right = made_by_hand(name, leak=0.01)
        scores = [edge_attribution(made.model, inputs, "zero", right, steps=steps) for steps in (1, 10)]
        found[name] = [float(recovery_auroc(score, made.edges)) for score in scores]
        once = scores[0].mean("example")
        assert abs(once.sel(edge="pos_embed -> blocks.0.attn[0].k")) < 1e-6
    for once, more in found.values():
        assert 0.5 < once < 0.8 <= more
    assert found["induction"][1] > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_circuit_is_the_true_one(name: str) -> None:
    made, inputs, right = made_by_hand(name)
    effects = edge_effects(made.model, inputs, "zero", right)
    circuit = smallest_circuit(made.model, inputs, "zero", right, effects, tolerance=0.01)
    assert set(circuit.edges) == set(made.edges)
    assert circuit.faithfulness == pytest.approx(1, abs=1e-9)
    assert circuit.tried < 2 ** len(effects["edge"])


def test_useless_scores_cost_runs_and_the_circuit_is_found_all_the_same() -> None:
    made, inputs, right = made_by_hand("induction")
    effects = edge_effects(made.model, inputs, "zero", right)
    noise = effects.mean("example")
    noise.values = np.random.default_rng(0).normal(size=noise.shape)
    one, other = (
        smallest_circuit(made.model, inputs, "zero", right, s, tolerance=0.01) for s in (effects, noise)
    )
    assert set(one.edges) == set(other.edges) == set(made.edges)
    assert one.tried < other.tried < 250  # one at a time, from all 42 down to 8, would be 875


@pytest.mark.parametrize("seed", range(3))
def test_no_edge_of_a_smallest_circuit_can_be_spared(seed: int) -> None:
    model, pair = transformer(seed, d_mlp=0), (tokens(), tokens(2), metric)
    circuit = smallest_circuit(model, *pair, edge_attribution(model, *pair), tolerance=0.3)
    edges = edge_graph(model, tokens()).edges
    fewer = [[other for other in circuit.edges if other != edge] for edge in circuit.edges]
    means = circuit_metrics(model, *pair, [[], edges, circuit.edges, *fewer]).mean("example").values
    f = (means - means[0]) / (means[1] - means[0])
    assert abs(1 - f[2]) <= 0.3
    assert f[2] == pytest.approx(circuit.faithfulness)
    assert (abs(1 - f[3:]) > 0.3).all()


def test_the_areas_by_hand() -> None:
    """Of half the edges a circuit that overshoots: CPR counts that in its favour, CMD against it."""
    share, f = np.array([0, 0.5, 1]), np.array([[0, 1.2, 1], [0, 0.8, 1]])
    found = areas(share, f)
    # 0.5 * (0 + 1.2) / 2 + 0.5 * (1.2 + 1) / 2, and 0.5 * (1 + 0.2) / 2 + 0.5 * (0.2 + 0) / 2; likewise 0.8
    np.testing.assert_allclose(found["cpr"], [0.85, 0.65])
    np.testing.assert_allclose(found["cmd"], [0.35, 0.35])


def test_the_areas_of_a_known_curve() -> None:
    made, inputs, right = made_by_hand("copy")
    effects = edge_effects(made.model, inputs, "zero", right)
    share = 4 / 21  # the true edges; nothing less does anything
    curve = faithfulness_curve(made.model, inputs, "zero", right, effects, shares=(3 / 21, share, 10 / 21))
    np.testing.assert_array_equal(curve["edges"], [0, 3, 4, 10, 21])
    f = curve["faithfulness"].values
    np.testing.assert_allclose(f[[0, 2, 3, 4]], [0, 1, 1, 1], atol=1e-9)
    area = (f[0] + f[1]) / 2 * 3 / 21 + (f[1] + 1) / 2 / 21 + 17 / 21
    assert float(curve["cpr"]) == pytest.approx(area)
    assert float(curve["cmd"]) == pytest.approx(1 - area)


def test_edges_may_be_kept_by_sign() -> None:
    model = transformer()
    pair = (tokens(), tokens(2), metric)
    scores = edge_effects(model, *pair)
    count = int((scores.mean("example") < 0).sum())
    negative = scores.mean("example").clip(max=0)
    curve = faithfulness_curve(model, *pair, negative, shares=(count / 61,))
    edges, means = edge_graph(model, tokens()).edges, scores.mean("example")
    lowering = [edge for edge, mean in zip(edges, means, strict=True) if mean < 0]
    expected = circuit_metrics(model, *pair, [[], lowering, edges]).mean("example")
    f = (expected[1] - expected[0]) / (expected[2] - expected[0])
    np.testing.assert_allclose(curve["faithfulness"].sel(share=count / 61), f, atol=1e-10)


def test_the_neurons_of_the_loop_detector_are_found() -> None:
    made = loop_detector()
    made.model.double()
    loop = torch.tensor([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 1, 1]]).flatten().double()
    figures = torch.stack(
        [loop, loop.flip(0), loop.view(4, 4).mT.flatten(), loop.view(4, 4).flip(1).flatten()]
    )
    full = torch.cat([figures, torch.ones(1, 16, dtype=torch.float64)])
    setting = (made.model, full, torch.zeros_like(full), lambda out: out[:, 1] - out[:, 0])
    exact = exact_patching(*setting, Nodes("layers.*.hook_post", along=("neuron",)))
    estimate = attribution_patching(*setting, Nodes("layers.*.hook_post", along=("neuron",)))
    distractors = ~exact["node"].isin(made.nodes)
    assert abs(exact[distractors]).max() < 1e-12
    assert float(recovery_auroc(abs(exact), made.nodes)) == 1.0
    assert 0.5 < float(recovery_auroc(abs(estimate), made.nodes)) <= 1.0


def test_auroc_of_known_scores() -> None:
    effects = edge_effects(transformer([3, 7]), tokens(), tokens(2), metric).mean("example")
    truth = [("embed", "logits"), ("blocks.1.mlp", "logits")]
    true = effects["edge"].isin([" -> ".join(edge) for edge in truth])
    planted = effects.copy(data=np.where(true, -5.0, 1.0) * np.array([[1.0], [0.1]]))
    planted[1, ~true] = 3.0
    np.testing.assert_array_equal(recovery_auroc(planted, truth), [1.0, 0.0])


def test_what_cannot_be_meant_is_refused() -> None:
    model, pair = transformer(), (tokens(), tokens(2), metric)
    scores = edge_effects(model, *pair)
    with pytest.raises(Refused, match="at least one circuit"):
        circuit_metrics(model, *pair, [])
    with pytest.raises(Refused, match="no edge"):
        circuit_metrics(model, *pair, [[("embed", "nowhere")]])
    with pytest.raises(Refused, match="other edges"):
        faithfulness_curve(model, *pair, scores[:-1])
    with pytest.raises(Refused, match="between 0 and 1"):
        faithfulness_curve(model, *pair, scores, shares=(10,))
    with pytest.raises(Refused, match="no behaviour to keep"):
        faithfulness_curve(model, tokens(), tokens(), metric, scores)
    with pytest.raises(Refused, match="give one member"):
        smallest_circuit(transformer([3, 7]), *pair, scores)
    with pytest.raises(Refused, match="tolerance"):
        smallest_circuit(model, *pair, scores, tolerance=2.0)
    with pytest.raises(Refused, match="no edge"):
        recovery_auroc(scores, [("embed", "nowhere")])
    with pytest.raises(Refused, match="nothing to tell apart"):
        recovery_auroc(scores, [])
