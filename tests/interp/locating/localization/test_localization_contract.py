"""What every method keeps to: labels, NaN only where it is blind, the same bits again, the network as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from known_facts import Bench, Prompts, own_answers
from torch import nn

from interp.locating.localization.baselines import weight_change, weight_norm
from interp.locating.localization.methods import METHODS, localize
from interp.locating.localization.scores import Method, OfParts
from interp.refusals import Refused
from models.networks.transformer import Transformer

PARTS = ("embed", "blocks.0.attn[1]", "blocks.1.mlp.W_in", "blocks.1.mlp[0:16]", "blocks.1.mlp", "unembed")
FEW = ("blocks.0.attn[1]", "blocks.1.mlp[0:16]")
OUTPUTS_ONLY = {"unembed"}
BLIND: dict[str, set[str]] = {
    "mean ablation": OUTPUTS_ONLY,
    "resample ablation": OUTPUTS_ONLY,
    "additive ablation": OUTPUTS_ONLY,
    "gradient x activation": OUTPUTS_ONLY,
    "readability": OUTPUTS_ONLY,
    "causal tracing": {"embed", "unembed"},
    "integrated gradients": {"embed", "unembed", "blocks.1.mlp.W_in"},
    "direct logit attribution": {"unembed", "blocks.1.mlp.W_in"},
    "key-value reading": {"embed", "unembed", "blocks.0.attn[1]", "blocks.1.mlp.W_in"},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "rmsnorm, rotary, gated, shared keys": {
        "normalization": "rmsnorm",
        "positions": "rotary",
        "gated": True,
        "key_heads": 1,
        "activation": "silu",
    },
    "bidirectional, no normalisation, tied": {
        "causal": False,
        "normalization": "none",
        "tied": True,
        "unembedding_bias": True,
    },
    "attention only, no positions": {"d_mlp": 0, "positions": "none"},
    "MLPs only, one layer": {"heads": 0, "layers": 1},
}


@pytest.fixture(scope="module")
def every(bench: Bench) -> dict[str, Method]:
    """The methods, the oracle and the leak."""
    others = OfParts(weight_norm(bench.model))
    return {**METHODS, "weight change": OfParts(weight_change(bench.model)), "weight norm": others}


@pytest.fixture(scope="module", params=[*METHODS, "weight change", "weight norm"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def method(name: str, every: dict[str, Method]) -> Method:
    return every[name]


@pytest.fixture(scope="module")
def model(bench: Bench) -> Any:
    return bench.plantings["blocks.1.mlp"].model


@pytest.fixture(scope="module")
def scores(method: Method, model: Any, bench: Bench) -> xr.DataArray:
    return method(model, bench.planted, bench.known, components=PARTS)


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything a method could leave behind in a network."""
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "parameters": [(name, id(value), value.requires_grad) for name, value in model.named_parameters()],
        "gradients": [name for name, value in model.named_parameters() if value.grad is not None],
        "training": [module.training for module in model.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for module in model.modules()
        ],
        "attributes": [sorted(vars(module)) for module in model.modules()],
    }


def check_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert all(torch.equal(value, after["weights"][name]) for name, value in before["weights"].items())
    for what in before.keys() - {"weights"}:
        assert before[what] == after[what], what


def test_scores_are_labelled_by_seed_and_part(scores: xr.DataArray) -> None:
    assert scores.dims == ("seed", "component")
    assert scores["seed"].to_numpy().tolist() == [0, 1, 2]
    assert scores["component"].to_numpy().tolist() == list(PARTS)
    assert scores.dtype == np.float64
    assert all(15 <= pairs <= 30 for pairs in scores.attrs["pairs"])


def test_nan_is_where_it_cannot_see_and_nowhere_else(name: str, scores: xr.DataArray) -> None:
    blind = scores.isnull()
    assert set(scores["component"].to_numpy()[blind.any("seed")]) == BLIND.get(name, set())
    assert bool((blind.any("seed") == blind.all("seed")).all())
    assert not bool(np.isinf(scores).any())


def test_one_network_has_the_scores_it_has_in_a_population(
    name: str, method: Method, model: Any, bench: Bench, scores: xr.DataArray
) -> None:
    if name == "weight norm":
        with pytest.raises(Refused, match="give populations"):
            method(model.member(2), bench.planted, bench.known, components=FEW)
        return
    alone = OfParts(weight_change(bench.model.member(2))) if name == "weight change" else method
    found = alone(model.member(2), bench.planted, bench.known, components=FEW)
    assert found.dims == ("component",)
    assert found.attrs["pairs"] == scores.attrs["pairs"][2]
    if name != "random":
        expected = scores.sel(seed=2, component=list(FEW)).to_numpy()
        np.testing.assert_allclose(found.to_numpy(), expected, atol=0.02 if name == "drift" else 1e-3)


def test_the_same_bits_come_again_and_the_network_is_as_it_was(
    name: str, method: Method, model: Any, bench: Bench, scores: xr.DataArray
) -> None:
    """Whatever else is asked, and whether or not the network is trainable, in training mode and watched by its user."""
    frozen = copy.deepcopy(model).requires_grad_(False).train()
    frozen.blocks[0].training = False
    frozen.hook_dict["hook_embed"].register_forward_hook(lambda *_: None)
    before = state_of(frozen)
    generator = torch.get_rng_state()
    parts = list(PARTS if name == "random" else FEW)
    found = method(frozen, bench.planted, bench.known, components=parts)
    xr.testing.assert_identical(found, scores.sel(component=parts))
    check_same(before, state_of(frozen))
    assert torch.equal(generator, torch.get_rng_state())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("call", [0, 1, 4])
@pytest.mark.parametrize("key", METHODS)
def test_an_error_leaves_the_network_as_it_was(key: str, call: int) -> None:
    model, facts, reference = own_answers(layers=1)
    calls = 0

    def fails(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls > call:
            raise ZeroDivisionError

    model.hook_dict["blocks.0.hook_resid_post"].register_forward_hook(fails)
    model.train()
    before = state_of(model)
    try:
        METHODS[key](model, facts, reference, components=["blocks.0.mlp", "blocks.0.attn[1]"])
        assert calls <= call
    except ZeroDivisionError:
        assert calls == call + 1
    check_same(before, state_of(model))
    assert torch.is_grad_enabled()


@pytest.fixture(scope="module", params=NETWORKS)
def stranger(request: pytest.FixtureRequest) -> tuple[Transformer, Prompts, Prompts]:
    return own_answers(**NETWORKS[request.param])


def test_every_method_works_on_every_kind_of_transformer(
    stranger: tuple[Transformer, Prompts, Prompts],
) -> None:
    """Drift, which is slow, on two parts."""
    model, facts, reference = stranger
    quick = {name: method for name, method in METHODS.items() if name != "drift"}
    found = localize(model, facts, reference, quick)
    assert found.dims == ("by", "component")
    assert found["by"].to_numpy().tolist() == list(quick)
    assert found["component"].to_numpy().tolist() == model.components()
    for part in model.components():
        blind = set(found["by"].to_numpy()[found.sel(component=part).isnull()])
        expected = {name for name, parts in BLIND.items() if part in parts}
        assert blind == (expected if ".attn" not in part else {"key-value reading"})
    drifted = METHODS["drift"](model, facts, reference, components=model.components()[:2])
    assert bool(np.isfinite(drifted).all())


def test_every_matrix_can_be_asked_for(stranger: tuple[Transformer, Prompts, Prompts]) -> None:
    model, facts, reference = stranger
    parts = [
        name
        for name, value in model.named_parameters()
        if name.startswith("blocks.") and ".W_" in name and value.ndim == 2
    ]
    quick = {name: METHODS[name] for name in ("mean ablation", "gradient x activation", "clipping")}
    assert bool(np.isfinite(localize(model, facts, reference, quick, components=parts)).all())


def test_a_matrix_is_replaced_where_its_own_output_passes() -> None:
    model, facts, reference = own_answers(gated=True, activation="silu")
    found = METHODS["mean ablation"](
        model,
        facts,
        reference,
        components=["blocks.0.mlp.W_gate", "blocks.0.mlp.W_in", "blocks.0.mlp.W_out", "blocks.0.mlp"],
    )
    assert len(set(found.to_numpy()[:3].tolist())) == 3
    assert found.to_numpy()[2] == found.to_numpy()[3]


def test_the_whole_attention_is_all_its_heads(bench: Bench, model: Any) -> None:
    """Without the output's bias, which all heads share: it changes nothing where outputs are replaced or read."""
    parts = ["blocks.0.attn", "blocks.0.attn[0:2]"]
    for method in ("mean ablation", "resample ablation", "gradient x activation", "integrated gradients"):
        found = METHODS[method](model, bench.planted, bench.known, components=parts)
        np.testing.assert_allclose(*found.transpose("component", "seed").to_numpy(), atol=1e-3)


def test_a_set_of_neurons_is_the_sum_of_its_halves_where_effects_add(bench: Bench, model: Any) -> None:
    from interp.locating.localization.gradients import gradient_times_activation
    from interp.locating.localization.inquiry import Inquiry
    from interp.locating.localization.parts import parts_of
    from interp.locating.localization.reading_out import direct_attribution, key_value_reading

    inquiry = Inquiry.of(model, bench.planted, bench.known)
    parts = parts_of(model, [f"blocks.1.mlp[{which}]" for which in ("0:24", "24:48", "0:48")])
    effects: list[Callable[..., Any]] = [gradient_times_activation, direct_attribution, key_value_reading]
    for effect in effects:
        first, second, both = effect(inquiry, parts).unbind(-2)
        torch.testing.assert_close(first + second, both, atol=1e-4, rtol=1e-4)
