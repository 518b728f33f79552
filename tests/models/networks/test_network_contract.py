"""What every network of every family must keep. A new network joins by one line in `CASES`."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.networks.cnn_config import CNNConfig, Convolution
from models.networks.families import network_class
from models.networks.hooked import HookedModel, population
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent_config import RecurrentConfig
from models.networks.saving import load_model, save_model
from models.networks.seq2seq_config import PAD, Seq2SeqConfig
from models.networks.transformer_config import TransformerConfig
from models.networks.vit_config import ViTConfig
from models.refusals import Refused
from models.seeds import generator


@dataclass(frozen=True)
class Case:
    """A network: what it takes, its layers and their name, the hooks before the first, those that fire upon request.

    `stops`: whether it can stop and start at a layer.
    """

    config: Any
    inputs: Callable[[torch.Generator], Tensor]
    layers: int
    layer: str = "layers"
    entry: tuple[str, ...] = ("hook_input",)
    upon_request: tuple[str, ...] = ()
    stops: bool = True


def _rows(width: int) -> Callable[[torch.Generator], Tensor]:
    return lambda randomness: torch.rand(7, width, generator=randomness, dtype=torch.float64)


def _transformer(layers: int = 2, **changes: Any) -> Case:
    """Seven sequences of five of eleven tokens; LayerNorm opens its inside upon request, attention always does."""
    config = TransformerConfig(11, 6, layers=layers, **{"d_model": 8, "heads": 2, "d_mlp": 12, **changes})
    entry = ("hook_embed", "hook_pos_embed") if config.positions == "learned" else ("hook_embed",)
    norm = ("hook_scale", "hook_normalized") if config.normalization == "layernorm" else ()
    return Case(
        config,
        lambda randomness: torch.randint(11, (7, 5), generator=randomness),
        layers,
        layer="blocks",
        entry=entry,
        upon_request=("hook_attn_scores", "hook_pattern", "hook_result", *norm),
    )


def _recurrent(cell: Any, *, gates: str, tokens: bool = False, **changes: Any) -> Case:
    """Seven sequences of five positions; cell and gates are laid open upon request."""
    reads = {"vocabulary": 11, "d_model": 6} if tokens else {"features": 3}
    config = RecurrentConfig(8, 4, cell=cell, layers=2, **reads, **changes)
    return Case(
        config,
        (lambda randomness: torch.randint(11, (7, 5), generator=randomness))
        if tokens
        else lambda randomness: torch.rand(7, 5, 3, generator=randomness, dtype=torch.float64),
        2,
        entry=("hook_embed",) if tokens else ("hook_input",),
        upon_request=tuple(f"hook_{gate}" for gate in gates),
    )


def _cnn(*convolutions: Convolution, dense: tuple[int, ...] = (), **changes: Any) -> Case:
    """Seven images of 6x8 pixels."""
    config = CNNConfig((6, 8), convolutions, dense, 3, **changes)
    return Case(config, _rows(48), config.layers)


def _vit(**changes: Any) -> Case:
    """Seven images of 6x8 pixels in patches of 2x2."""
    config = ViTConfig((6, 8), 2, **{"d_model": 8, "heads": 2, "d_mlp": 12, "outputs": 3, **changes})
    norm = ("hook_scale", "hook_normalized") if config.normalization == "layernorm" else ()
    return Case(
        config,
        _rows(48),
        config.layers,
        layer="blocks",
        entry=("hook_input", "hook_embed", "hook_pos_embed"),
        upon_request=("hook_attn_scores", "hook_pattern", "hook_result", *norm),
    )


def _seq2seq(layers: int = 2, **changes: Any) -> Case:
    """Seven pairs of a source of up to four of nine tokens and a target of up to three of eleven."""
    config = Seq2SeqConfig(
        9, 4, 11, 5, **{"layers": layers, "d_model": 8, "heads": 2, "d_mlp": 12, **changes}
    )
    norm = ("hook_scale", "hook_normalized") if config.normalization == "layernorm" else ()
    return Case(
        config,
        _pairs,
        layers,
        upon_request=("hook_attn_scores", "hook_pattern", "hook_result", *norm),
        stops=False,
    )


def _pairs(randomness: torch.Generator) -> Tensor:
    """Some sources and some targets are shorter than the others."""
    pairs = torch.randint(1, 9, (7, 7), generator=randomness)
    pairs[::2, 3], pairs[::3, 6] = PAD, PAD
    return pairs


CASES = {
    "mlp, three sigmoid layers": Case(
        MLPConfig((12, 9, 8, 4), activation="sigmoid", output="sigmoid", initialisation="normal"),
        _rows(12),
        2,
    ),
    "mlp, relu": Case(MLPConfig((12, 32, 4)), _rows(12), 1),
    "mlp, gelu, softmax, no bias": Case(
        MLPConfig((5, 8, 3), activation="gelu", output="softmax", bias=False), _rows(5), 1
    ),
    "mlp, tanh": Case(MLPConfig((5, 8, 3), activation="tanh", initialisation="lecun"), _rows(5), 1),
    "mlp, identity (a deep linear network)": Case(
        MLPConfig((5, 8, 3), activation="identity", initialisation="xavier"), _rows(5), 1
    ),
    "logistic regression": Case(MLPConfig((6, 3), initialisation="uniform"), _rows(6), 0),
    "transformer": _transformer(),
    "transformer, rotary, rmsnorm, gated, shared keys": _transformer(
        heads=4,
        key_heads=2,
        d_head=6,
        positions="rotary",
        normalization="rmsnorm",
        gated=True,
        activation="silu",
    ),
    "transformer, bidirectional, tied, no norm": _transformer(
        causal=False, tied=True, unembedding_bias=True, normalization="none", activation="gelu_tanh"
    ),
    "transformer, window": _transformer(window=2, positions="rotary", d_head=6),
    "transformer, linear attention, multi-query": _transformer(1, attention="linear", key_heads=1),
    "transformer, attention alone": _transformer(d_mlp=0, positions="none"),
    "transformer, MLPs alone": _transformer(heads=0, activation="relu"),
    "transformer, no layers": _transformer(0),
    "tanh network of numbers": _recurrent("rnn", gates=""),
    "lstm of numbers": _recurrent("lstm", gates="ifgoc", forget_bias=1.0),
    "gru of numbers, answers everywhere": _recurrent("gru", gates="rzn", answers="each"),
    "tanh network of tokens, answers everywhere": _recurrent("rnn", gates="", tokens=True, answers="each"),
    "lstm of tokens, answers everywhere": _recurrent("lstm", gates="ifgoc", tokens=True, answers="each"),
    "gru of tokens": _recurrent("gru", gates="rzn", tokens=True),
    "encoder-decoder": _seq2seq(),
    "encoder-decoder, attention alone, rotary, rmsnorm": _seq2seq(
        1, d_mlp=0, positions="rotary", normalization="rmsnorm"
    ),
    "cnn, like LeNet": _cnn(
        Convolution(4, 3, padding=1, pool=2), Convolution(5, 2, pool=2), dense=(9, 8), activation="tanh"
    ),
    "cnn, strides, mean of the whole image": _cnn(
        Convolution(4, 3, stride=2, padding=1), Convolution(5, 2, pool=2, pooling="mean"), activation="gelu"
    ),
    "vit, class token": _vit(),
    "vit, mean, rmsnorm": _vit(summary="mean", normalization="rmsnorm", activation="silu", layers=1),
}
SEEDS = (4, 0, 7)


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(params=[name for name, case in CASES.items() if case.stops])
def stopping(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def inputs(case: Case) -> Tensor:
    return case.inputs(generator(0, "inputs"))


def build(case: Case, seeds: int | tuple[int, ...]) -> HookedModel:
    return network_class(case.config)(case.config, seeds=seeds).double()


def fired(model: HookedModel, inputs: Tensor, **limits: int) -> dict[str, list[Tensor]]:
    seen: dict[str, list[Tensor]] = {}
    handles = [
        point.register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, []).append(out))
        for name, point in model.hook_dict.items()
    ]
    model(inputs, **limits)
    for handle in handles:
        handle.remove()
    return seen


def always_firing(case: Case, model: HookedModel) -> list[str]:
    return [name for name in model.hook_dict if name.rpartition(".")[2] not in case.upon_request]


def test_every_hook_point_fires_once_and_in_the_order_of_hook_dict(case: Case, inputs: Tensor) -> None:
    model = build(case, 0)
    seen = fired(model, inputs)
    assert list(seen) == list(model.hook_dict)
    assert all(len(tensors) == 1 for tensors in seen.values())


def test_a_hook_point_fires_when_it_alone_is_listened_to(case: Case, inputs: Tensor) -> None:
    model = build(case, 0)
    for name, point in model.hook_dict.items():
        seen = []
        handle = point.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        model(inputs)
        handle.remove()
        assert seen == [1], name


def test_only_what_is_laid_open_upon_request_keeps_silent_without_one(case: Case, inputs: Tensor) -> None:
    model = build(case, 0)
    called = []
    for name, point in model.hook_dict.items():
        point.forward = lambda x, name=name: called.append(name) or x
    model(inputs)
    assert called == always_firing(case, model)


def test_axes_match_shapes_and_a_population_puts_seed_in_front(case: Case, inputs: Tensor) -> None:
    alone, several = build(case, 4), build(case, SEEDS)
    shapes = {name: tensors[0].shape for name, tensors in fired(alone, inputs).items()}
    for name, (value,) in fired(several, inputs).items():
        axes = several.hook_dict[name].axes
        assert len(shapes[name]) == len(axes)
        assert axes[0] == "example"
        assert value.shape == (shapes[name] if name == "hook_input" else (3, *shapes[name])), name


def test_every_hook_point_changes_the_output_or_is_read_only(case: Case, inputs: Tensor) -> None:
    model = build(case, SEEDS)
    plain = model(inputs)
    for name, point in model.hook_dict.items():
        if point.read_only:
            continue
        noise = torch.randn(
            fired(model, inputs)[name][0].shape, generator=generator(1, name), dtype=torch.float64
        )
        handle = point.register_forward_hook(lambda _, __, out, noise=noise: out + noise)
        changed = model(inputs)
        handle.remove()
        assert (changed - plain).abs().flatten(1).amax(dim=1).min() > 1e-6, (
            f"an edit at {name} changed nothing"
        )


def test_hooked_and_unhooked_give_the_same_bits(case: Case, inputs: Tensor) -> None:
    model = build(case, 0)
    plain = model(inputs)
    points = [model.hook_dict[name] for name in always_firing(case, model)]
    handles = [point.register_forward_hook(lambda *_: None) for point in points]
    assert torch.equal(model(inputs), plain)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("seeds", [0, SEEDS], ids=["one", "population"])
def test_what_is_laid_open_upon_request_agrees_with_the_fast_way(
    case: Case, inputs: Tensor, seeds: Any, dtype: torch.dtype, tolerance: float
) -> None:
    model = build(case, seeds).to(dtype)
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    plain = model(inputs)
    for name in set(model.hook_dict) - set(always_firing(case, model)):
        handle = model.hook_dict[name].register_forward_hook(lambda *_: None)
        torch.testing.assert_close(model(inputs), plain, rtol=0, atol=tolerance)
        handle.remove()
    fired(model, inputs)
    assert torch.equal(model(inputs), plain)


def test_a_member_is_the_network_of_that_seed(case: Case, inputs: Tensor) -> None:
    several = build(case, SEEDS)
    for place, seed in enumerate(SEEDS):
        alone = several.member(seed)
        assert alone.seeds is None
        assert all(
            torch.equal(a, b) for a, b in zip(alone.parameters(), build(case, seed).parameters(), strict=True)
        )
        torch.testing.assert_close(several(inputs)[place], alone(inputs), rtol=0, atol=1e-12)


def test_a_population_made_of_its_members_is_itself(case: Case, inputs: Tensor) -> None:
    several = build(case, SEEDS)
    again = population([several.member(seed) for seed in SEEDS])
    assert again.seeds == SEEDS
    assert torch.equal(again(inputs), several(inputs))


def test_members_can_be_given_inputs_of_their_own(case: Case) -> None:
    several = build(case, SEEDS)
    own = torch.stack([case.inputs(generator(seed, "own")) for seed in SEEDS])
    for place, seed in enumerate(SEEDS):
        torch.testing.assert_close(several(own)[place], several.member(seed)(own[place]), rtol=0, atol=1e-12)


def test_stopping_at_a_layer_and_starting_there_again_is_going_through(stopping: Case) -> None:
    inputs = stopping.inputs(generator(0, "inputs"))
    model = build(stopping, SEEDS)
    for layer in range(stopping.layers + 1):
        middle = model(inputs, stop_at_layer=layer)
        assert torch.equal(model(middle, start_at_layer=layer), model(inputs))


def test_stopping_at_a_layer_fires_no_hook_behind_it(stopping: Case) -> None:
    inputs = stopping.inputs(generator(0, "inputs"))
    model = build(stopping, 0)
    assert tuple(fired(model, inputs, stop_at_layer=0)) == stopping.entry
    if stopping.layers:
        seen = fired(model, inputs, stop_at_layer=1)
        assert all(name.startswith(f"{stopping.layer}.0.") for name in list(seen)[len(stopping.entry) :])
        assert len(seen) > len(stopping.entry)


def test_a_layer_that_does_not_exist_is_refused(stopping: Case) -> None:
    inputs = stopping.inputs(generator(0, "inputs"))
    with pytest.raises(Refused, match="Layers go from 0 to"):
        build(stopping, 0)(inputs, stop_at_layer=stopping.layers + 1)


def test_a_network_that_cannot_stop_at_a_layer_does_not_offer_to(case: Case) -> None:
    offered = {"start_at_layer", "stop_at_layer"} & inspect.signature(
        build(case, 0).forward
    ).parameters.keys()
    assert len(offered) == (2 if case.stops else 0)


def test_saved_and_loaded_networks_are_the_same_bits(case: Case, inputs: Tensor, tmp_path: Path) -> None:
    for seeds in (3, SEEDS):
        model = build(case, seeds)
        save_model(model, tmp_path / str(seeds))
        again = load_model(tmp_path / str(seeds))
        assert (again.config, again.seeds, again.seed, again.dtype) == (
            model.config,
            model.seeds,
            model.seed,
            model.dtype,
        )
        assert torch.equal(again(inputs), model(inputs))


def test_a_network_can_be_sent_to_another_process(case: Case, inputs: Tensor) -> None:
    model = build(case, 0)
    sent = pickle.loads(pickle.dumps(model))
    torch.testing.assert_close(sent(inputs), model(inputs), rtol=0, atol=0)
    assert list(sent.hook_dict) == list(model.hook_dict)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(case: Case) -> None:
    first, again, other = (next(build(case, seed).parameters()) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_global_random_state_is_read_or_changed(case: Case) -> None:
    before = torch.get_rng_state()
    first = build(case, 0)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.rand(3)
        assert torch.equal(next(build(case, 0).parameters()), next(first.parameters()))


def test_inputs_of_another_shape_are_refused_with_the_shape(case: Case, inputs: Tensor) -> None:
    with pytest.raises(Refused, match=r"given shape \(7, "):
        build(case, 0)(inputs[..., 1:] if inputs.is_floating_point() else inputs[:, None])


def test_members_have_the_same_bits_in_a_larger_population(case: Case, inputs: Tensor) -> None:
    many, few = (network_class(case.config)(case.config, seeds=seeds) for seeds in ((0, 1, 2, 3, 4), (0, 1)))
    inputs = inputs.float() if inputs.is_floating_point() else inputs
    assert torch.equal(many(inputs)[:2], few(inputs))
