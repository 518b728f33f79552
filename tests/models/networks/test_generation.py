"""Continuing sequences: greedy and drawn, with kept keys and values and without."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor, nn

from interp.writing.edits import edited, zero
from models.networks.generation import StateReading, WholeReading, generate, next_probabilities
from models.networks.hooked import HookedModel
from models.networks.key_value_cache import CachedReading
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused

SHAPES = {
    "learned positions": {},
    "rotary": {"positions": "rotary"},
    "no positions, shared keys": {"positions": "none", "heads": 4, "key_heads": 2},
    "one key head, rotary": {"positions": "rotary", "heads": 4, "key_heads": 1},
    "gated, RMSNorm": {"gated": True, "normalization": "rmsnorm", "activation": "silu"},
    "attention only, tied": {"d_mlp": 0, "tied": True},
    "MLPs only": {"heads": 0, "unembedding_bias": True},
    "odd heads, no norm": {"heads": 3, "d_head": 6, "normalization": "none"},
}


def network(seeds: int | tuple[int, ...] = 0, **changes: object) -> Transformer:
    settings: dict[str, object] = {"layers": 2, "d_model": 16, "heads": 2, "d_mlp": 24}
    return Transformer(TransformerConfig(20, 12, **(settings | changes)), seeds=seeds)  # type: ignore[arg-type]


def prompts(*shape: int) -> Tensor:
    return torch.randint(20, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("seeds", [0, (5, 3)])
@pytest.mark.parametrize("shape", SHAPES)
def test_kept_keys_and_values_give_what_reading_everything_gives(
    shape: str, seeds: int | tuple[int, ...]
) -> None:
    model = network(seeds, **SHAPES[shape])
    tokens = prompts(*(() if seeds == 0 else (2,)), 3, 12)
    cached, whole = CachedReading(model, tokens.shape[:-1], longest=12), WholeReading(model)
    with torch.no_grad():
        for piece in (tokens[..., :4], *tokens[..., 4:].split(1, dim=-1)):
            torch.testing.assert_close(cached.after(piece), whole.after(piece), rtol=0, atol=1e-5)


def recurrent(cell: str, seeds: int | tuple[int, ...] = 0) -> Recurrent:
    settings: dict[str, object] = {
        "cell": cell,
        "layers": 2,
        "vocabulary": 20,
        "answers": "each",
        "init_scale": 4.0,
    }
    return Recurrent(RecurrentConfig(12, 20, **settings), seeds=seeds)  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", [0, (5, 3)])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_states_carried_on_give_what_reading_everything_gives(
    cell: str, seeds: int | tuple[int, ...]
) -> None:
    model = recurrent(cell, seeds)
    tokens = prompts(*(() if seeds == 0 else (2,)), 3, 12)
    carried, whole = StateReading(model), WholeReading(model)
    with torch.no_grad():
        for piece in (tokens[..., :4], *tokens[..., 4:].split(1, dim=-1)):
            torch.testing.assert_close(carried.after(piece), whole.after(piece), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_recurrent_network_reads_each_token_once_unless_somebody_listens(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = recurrent(cell, (1, 2)), prompts(3, 4)
    read: list[int] = []
    for name in ("continued", "forward"):
        plain = getattr(Recurrent, name)

        def counted(network: Recurrent, new: Tensor, *given: object, plain: Any = plain) -> object:
            read.append(new.shape[-1])
            return plain(network, new, *given)

        monkeypatch.setattr(Recurrent, name, counted)
    once = generate(model, tokens, count=3, temperature=1.0)
    handle = model.hook_dict["layers.1.hook_h"].register_forward_hook(lambda *_: None)
    watched = generate(model, tokens, count=3, temperature=1.0)
    handle.remove()
    assert read == [4, 1, 1, 4, 5, 6]
    assert torch.equal(once, watched)


@torch.no_grad()
def greedy_by_whole_passes(model: HookedModel, tokens: Tensor, *, count: int) -> Tensor:
    for _ in range(count):
        tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], dim=-1)
    return tokens


def test_an_edit_in_a_recurrent_network_acts_on_every_step() -> None:
    model, tokens = recurrent("lstm"), prompts(6, 4)
    with edited(model, zero("layers.0.hook_c", pos=2)):
        changed, expected = generate(model, tokens, count=8), greedy_by_whole_passes(model, tokens, count=8)
    assert torch.equal(changed, expected)
    assert not torch.equal(changed, generate(model, tokens, count=8))


def test_greedy_takes_the_likeliest_token_of_a_whole_pass_each_time() -> None:
    model, tokens = network(), prompts(3, 4)
    assert torch.equal(generate(model, tokens, count=9), greedy_by_whole_passes(model, tokens, count=9))
    assert torch.equal(generate(model, tokens, count=0), tokens)


HOOKED = {
    "a transformer's attention": (lambda: network(), "blocks.0.attn"),
    "a transformer's block": (lambda: network(), "blocks.1"),
    "a whole transformer": (lambda: network(), ""),
    "a recurrent layer": (lambda: recurrent("gru"), "layers.0"),
    "a whole recurrent network": (lambda: recurrent("lstm"), ""),
}


@pytest.mark.parametrize("before", [False, True], ids=["after it", "before it"])
@pytest.mark.parametrize("case", HOOKED)
def test_a_hook_of_the_users_on_a_module_acts_on_every_step(case: str, *, before: bool) -> None:
    build, name = HOOKED[case]
    model, tokens, fired = build(), prompts(6, 4), []

    def reversed_order(module: nn.Module, given: Any, output: Any = None) -> Any:
        fired.append(module)
        changed = given if before else output
        if isinstance(changed, tuple):
            return (changed[0].flip(0), *changed[1:])
        return changed.flip(0)

    part = model.get_submodule(name)
    handle = (part.register_forward_pre_hook if before else part.register_forward_hook)(reversed_order)
    expected = greedy_by_whole_passes(model, tokens, count=5)
    fired.clear()
    assert torch.equal(generate(model, tokens, count=5), expected)
    handle.remove()
    assert fired == [part] * 5
    assert not torch.equal(generate(model, tokens, count=5), expected)


def test_each_token_is_read_once_where_attention_is_exact_and_again_where_it_is_not() -> None:
    read: list[int] = []
    for changes in ({}, {"window": 3}, {"attention": "linear"}):
        model = network(layers=1, **changes)
        plain = model.blocks[0].ln1.forward
        model.blocks[0].ln1.forward = lambda x, plain=plain: read.append(x.shape[-2]) or plain(x)
        generate(model, prompts(3, 4), count=3)
    assert read == [4, 1, 1, 4, 5, 6, 4, 5, 6]


def counting() -> Transformer:
    """A network whose weights say it: after token n comes n + 1, after the last the first."""
    config = TransformerConfig(5, 20, layers=0, d_model=5, heads=0, normalization="none", positions="none")
    model = Transformer(config)
    with torch.no_grad():
        model.embed.W_E.copy_(torch.eye(5))
        assert isinstance(model.unembed.W_U, nn.Parameter)
        model.unembed.W_U.copy_(torch.eye(5).roll(1, dims=1) * 3)
    return model


def test_a_network_that_counts_counts() -> None:
    assert generate(counting(), torch.tensor([[3]]), count=6).tolist() == [[3, 4, 0, 1, 2, 3, 4]]


def test_an_edit_in_force_acts_on_every_step() -> None:
    model, tokens = network(), prompts(6, 4)
    with edited(model, zero("blocks.0.hook_resid_post", pos=2)):
        changed, expected = generate(model, tokens, count=8), greedy_by_whole_passes(model, tokens, count=8)
    assert torch.equal(changed, expected)
    assert not torch.equal(changed, generate(model, tokens, count=8))


def test_reading_at_a_hook_changes_nothing() -> None:
    model, tokens = network((1, 2), positions="rotary"), prompts(3, 4)
    seen: list[Tensor] = []
    handle = model.hook_dict["blocks.1.attn.hook_pattern"].register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    watched = generate(model, tokens, count=3, temperature=1.0)
    handle.remove()
    assert [pattern.shape[-1] for pattern in seen] == [4, 5, 6]
    assert torch.equal(watched, generate(model, tokens, count=3, temperature=1.0))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_probabilities_are_the_softmax_at_that_temperature(temperature: float) -> None:
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    expected = softmax(logits.double().numpy() / temperature, axis=-1)
    np.testing.assert_allclose(next_probabilities(logits, temperature=temperature), expected, rtol=1e-12)


def test_top_k_leaves_the_likeliest_in_their_proportions() -> None:
    logits = torch.tensor([0.0, math.log(3), -1.0, math.log(6)])
    chances = next_probabilities(logits, temperature=1.0, top_k=2)
    torch.testing.assert_close(chances, torch.tensor([0, 1 / 3, 0, 2 / 3], dtype=torch.float64))


def test_tokens_are_drawn_as_often_as_their_probabilities_say() -> None:
    drawn = generate(counting(), torch.zeros(20_000, 1, dtype=torch.int64), count=1, temperature=2.0)[:, 1]
    shares = drawn.bincount(minlength=5) / 20_000
    expected = next_probabilities(counting()(torch.zeros(1, 1, dtype=torch.int64))[0, 0], temperature=2.0)
    torch.testing.assert_close(shares.double(), expected.detach(), rtol=0, atol=0.012)
    only = generate(counting(), torch.zeros(200, 1, dtype=torch.int64), count=1, temperature=9.0, top_k=1)
    assert only[:, 1].tolist() == [1] * 200


def test_the_seed_says_what_is_drawn_and_members_write_as_they_would_alone() -> None:
    several, tokens = network((4, 9)), prompts(3, 2)
    first = generate(several, tokens, count=10, temperature=1.5, seed=3)
    assert torch.equal(first, generate(several, tokens, count=10, temperature=1.5, seed=3))
    assert not torch.equal(first, generate(several, tokens, count=10, temperature=1.5, seed=4))
    alone = generate(several.member(9), tokens, count=10, temperature=1.5, seed=3)
    assert torch.equal(first[1], alone)
    assert not torch.equal(first[0], first[1])


REFUSED = {
    "a temperature below 0": ({"temperature": -0.5}, "from 0 .the likeliest token. up, 1 as trained; given -0.5"),
    "a temperature that is no number": ({"temperature": math.nan}, "given nan"),
    "a top-k of 0": ({"temperature": 1.0, "top_k": 0}, "drawn from, 1.*; given 0"),
    "a top-k above the vocabulary": ({"temperature": 1.0, "top_k": 21}, "1 to 20, the size of the vocabulary"),
    "a top-k without a temperature": ({"top_k": 3}, "temperature 0 draws nothing: give a temperature"),
    "more than the context holds": ({"count": 10}, "4 tokens and 10 more .* at most 9, or give a shorter prompt"),
    "a count below 0": ({"count": -1}, "The count .* is a whole number from 0; given -1"),
    "a count that is not whole": ({"count": 2.0}, "The count .* is a whole number from 0; given 2.0"),
    "a count that is a truth": ({"count": True}, "whole number from 0; given True"),
    "a temperature that is a truth": ({"temperature": True}, "given True"),
    "a temperature in letters": ({"temperature": "1"}, "given '1'"),
    "a top-k that is not whole": ({"temperature": 1.0, "top_k": 2.0}, "1 to 20, .*; given 2.0"),
    "a seed below 0": ({"temperature": 1.0, "seed": -1}, "The seed .* is a whole number from 0; given -1"),
    "a seed that is not whole": ({"seed": 1.5}, "The seed .* is a whole number from 0; given 1.5"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_settings_are_refused(case: str) -> None:
    settings, explained = REFUSED[case]
    with pytest.raises(Refused, match=explained):
        generate(network(), prompts(2, 4), **({"count": 2} | settings))  # type: ignore[arg-type]


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    model, tokens = network(), prompts(2, 4)
    drawn = generate(
        model, tokens, count=np.int64(2), temperature=np.float32(1), top_k=np.int32(4), seed=np.int64(3)
    )
    assert torch.equal(drawn, generate(model, tokens, count=2, temperature=1.0, top_k=4, seed=3))


def test_prompts_that_are_too_long_or_hold_unknown_tokens_are_refused() -> None:
    with pytest.raises(Refused, match="The prompt has 13 tokens, and the context is 12"):
        generate(network(), prompts(2, 13), count=1)
    with pytest.raises(Refused, match="There is no token 20: the vocabulary has 20, from 0 up"):
        generate(network(), torch.tensor([[3, 20]]), count=1)


def test_networks_that_do_not_generate_say_why() -> None:
    with pytest.raises(Refused, match=r"This MLP does not generate: its logits are \[example, class\]"):
        generate(MLP(MLPConfig((4, 2))), prompts(2, 4), count=1)
    with pytest.raises(Refused, match="also looks at what comes after"):
        generate(network(causal=False), prompts(2, 4), count=1)


def test_broken_weights_are_not_taken_for_an_answer() -> None:
    model = network()
    with torch.no_grad():
        model.embed.W_E.fill_(math.nan)
    with pytest.raises(Refused, match="logits are NaN"):
        generate(model, prompts(2, 4), count=1)
