"""Cheaper attentions against exact attention, where they must agree, and against the sums written out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.networks.attention import attention_scores, fused_attention, gathered
from models.networks.cheaper_attention import CHUNK, linear_attention, windowed_attention
from models.networks.generation import generate
from models.networks.native_bridge import to_native_bridge
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused
from models.seeds import generator

SIZES: dict[str, Any] = {"layers": 2, "d_model": 8, "heads": 4, "d_mlp": 12}
CLOSE: dict[str, Any] = {"rtol": 0, "atol": 1e-10}


def heads(length: int, *lead: int, count: int = 4) -> Tensor:
    randomness = generator(length, "heads", *lead, count)
    return torch.randn(*lead, length, count, 3, generator=randomness, dtype=torch.float64)


def model_of(**changes: Any) -> Transformer:
    return Transformer(TransformerConfig(11, 40, **{**SIZES, **changes})).double()


def tokens(length: int = 37) -> Tensor:
    return torch.randint(11, (3, length), generator=generator(0, "tokens"))


def by_hand(q: Tensor, k: Tensor, v: Tensor, *, window: int) -> Tensor:
    """One position after the other, each over those it may see."""
    z = []
    for place in range(q.shape[-3]):
        seen = slice(max(0, place - window + 1), place + 1)
        scores = attention_scores(q[..., place : place + 1, :, :], k[..., seen, :, :])
        z.append(gathered(scores.softmax(-1), v[..., seen, :, :]))
    return torch.cat(z, dim=-3)


@pytest.mark.parametrize("lead", [(2,), (3, 2)], ids=["one network", "population"])
@pytest.mark.parametrize(("length", "window"), [(1, 3), (9, 1), (9, 3), (10, 4), (11, 4), (5, 9)])
def test_a_window_is_softmax_over_the_last_positions(length: int, window: int, lead: tuple[int, ...]) -> None:
    q, k, v = heads(length, *lead), heads(length, *lead, count=2), heads(length, *lead, count=2) + 1
    torch.testing.assert_close(
        windowed_attention(q, k, v, window=window), by_hand(q, k, v, window=window), **CLOSE
    )


def test_a_window_as_long_as_the_sequence_is_exact_attention() -> None:
    q, k, v = (heads(9, 2) + shift for shift in range(3))
    torch.testing.assert_close(
        windowed_attention(q, k, v, window=9), fused_attention(q, k, v, causal=True), **CLOSE
    )
    exact, windowed = model_of(), model_of(window=40)
    windowed.load_state_dict(exact.state_dict())
    torch.testing.assert_close(windowed(tokens()), exact(tokens()), **CLOSE)


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK - 5])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_linear_attention_is_its_own_quadratic_form(length: int, key_heads: int) -> None:
    q = heads(length, 3, 2)
    k, v = heads(length, 3, 2, count=key_heads) - 0.5, heads(length, 3, 2, count=key_heads) + 1
    of_keys = k.repeat_interleave(4 // key_heads, dim=-2)
    of_values = v.repeat_interleave(4 // key_heads, dim=-2)
    z = torch.zeros_like(q)
    for place in range(length):
        weights = ((elu(q[..., place : place + 1, :, :])) * elu(of_keys[..., : place + 1, :, :])).sum(-1)
        shares = weights / weights.sum(dim=-2, keepdim=True)
        z[..., place, :, :] = (shares[..., None] * of_values[..., : place + 1, :, :]).sum(dim=-3)
    torch.testing.assert_close(linear_attention(q, k, v), z, **CLOSE)


def elu(x: Tensor) -> Tensor:
    """elu(x) + 1, written out."""
    return torch.where(x > 0, x + 1, x.exp())


def test_running_sums_have_finite_gradients_at_lengths_that_fill_no_chunk() -> None:
    q, k, v = (heads(2 * CHUNK + 3, 2).requires_grad_() for _ in range(3))
    linear_attention(q, k, v).square().sum().backward()
    for x in (q, k, v):
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_multi_query_attention_is_every_head_with_the_same_keys_and_values() -> None:
    shared, repeated = model_of(key_heads=1), model_of()
    state = shared.state_dict()
    for name in [name for name in state if name.rpartition(".")[2] in ("W_K", "b_K", "W_V", "b_V")]:
        state[name] = torch.cat([state[name]] * 4, dim=-1)
    repeated.load_state_dict(state)
    torch.testing.assert_close(shared(tokens()), repeated(tokens()), **CLOSE)


@pytest.mark.parametrize("window", [1, 2, 5])
def test_nothing_from_beyond_the_reach_of_all_windows_comes_through(window: int) -> None:
    model, given = model_of(window=window), tokens(20)
    reach = 2 * (window - 1)
    changed = given.clone()
    changed[:, 5] = (given[:, 5] + 1) % 11
    differs = (model(changed) != model(given)).any(dim=-1).any(dim=0)
    assert differs[5]
    assert differs[: 5 + reach + 1].tolist() == [False] * 5 + [True] * (reach + 1)
    assert not differs[5 + reach + 1 :].any()


CHEAPER: dict[str, dict[str, Any]] = {"window": {"window": 4}, "linear": {"attention": "linear"}}


@pytest.mark.parametrize("kind", CHEAPER)
def test_the_pattern_laid_open_is_causal_and_sums_to_one(kind: str) -> None:
    model, seen = model_of(**CHEAPER[kind]), []
    model.hook_dict["blocks.0.attn.hook_pattern"].register_forward_hook(lambda _, __, out: seen.append(out))
    model(tokens())
    (pattern,) = seen
    torch.testing.assert_close(pattern.sum(dim=-1), torch.ones(3, 4, 37, dtype=torch.float64))
    assert (pattern.triu(1) == 0).all()
    assert bool((pattern[..., 20, :17] > 0).all()) is (kind == "linear")


@pytest.mark.parametrize("kind", CHEAPER)
@pytest.mark.parametrize("at", [None, 30])
def test_a_pass_from_a_later_position_on_gives_what_the_whole_pass_gives(kind: str, at: int | None) -> None:
    model = model_of(**CHEAPER[kind])
    kept: dict[str, Tensor] = {}
    handles = [
        model.hook_dict[name].register_forward_hook(lambda _, __, out, name=name: kept.update({name: out}))
        for name in model.past_points or ()
    ]
    whole = model(tokens())
    for handle in handles:
        handle.remove()
    later = model(tokens()[:, 21:], first_pos=21, past=kept, at=at)
    torch.testing.assert_close(later, whole[:, 21:] if at is None else whole[:, at : at + 1], **CLOSE)


@pytest.mark.parametrize("kind", CHEAPER)
def test_what_it_writes_is_what_whole_passes_give(kind: str) -> None:
    model, given = model_of(**CHEAPER[kind]), tokens(6)
    written = generate(model, given, count=5)
    for _ in range(5):
        given = torch.cat([given, model(given)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(written, given)


WRONG: dict[str, dict[str, Any]] = {
    "both": {"attention": "linear", "window": 3},
    "turned": {"attention": "linear", "positions": "rotary"},
    "looking ahead": {"attention": "linear", "causal": False},
    "a window ahead": {"window": 3, "causal": False},
    "no heads": {"window": 3, "heads": 0},
    "no kind": {"attention": "quadratic"},
    "below nothing": {"window": -1},
}


@pytest.mark.parametrize("what", WRONG)
def test_settings_without_a_meaning_are_refused(what: str) -> None:
    with pytest.raises(Refused, match=r"window|attention"):
        TransformerConfig(11, 6, **{**SIZES, **WRONG[what]})


@pytest.mark.parametrize("kind", CHEAPER)
def test_transformer_lens_is_not_asked_for_what_it_has_not(kind: str) -> None:
    with pytest.raises(Refused, match="exact attention"):
        to_native_bridge(model_of(**CHEAPER[kind]))
