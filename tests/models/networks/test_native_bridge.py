"""transformer-lens's native model as an independent witness: the same weights, the same logits and activations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.networks.native_bridge import from_native_bridge, native_config, shared_points, to_native_bridge
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused
from models.seeds import generator


@st.composite
def configs(draw: st.DrawFn) -> TransformerConfig:
    """Random networks that the native model can be."""
    key_heads, d_mlp = draw(st.integers(1, 2)), draw(st.sampled_from([0, 5, 12]))
    return TransformerConfig(
        vocabulary=draw(st.integers(2, 20)),
        context=7,
        layers=draw(st.integers(1, 3)),
        d_model=draw(st.integers(3, 12)),
        heads=key_heads * draw(st.integers(1, 3)),
        d_head=2 * draw(st.integers(1, 4)),
        key_heads=key_heads,
        d_mlp=d_mlp,
        activation=draw(st.sampled_from(["relu", "gelu", "gelu_tanh", "silu"])),
        gated=bool(d_mlp) and draw(st.booleans()),
        normalization=draw(st.sampled_from(["layernorm", "rmsnorm", "none"])),
        positions=draw(st.sampled_from(["learned", "rotary", "none"])),
        causal=draw(st.booleans()),
        tied=draw(st.booleans()),
    )


def trained_looking(config: TransformerConfig) -> Transformer:
    """A network whose biases and gains are not what they are at the start either."""
    model, randomness = Transformer(config, seeds=3), generator(0, "weights")
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=randomness)
    return model


def activations(model: Transformer, tokens: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=list(shared_points(model)))
    return dict(cache)


@given(config=configs(), length=st.integers(1, 7))
@settings(max_examples=20, deadline=None)
def test_logits_and_every_shared_activation_agree(config: TransformerConfig, length: int) -> None:
    model = trained_looking(config)
    tokens = torch.randint(config.vocabulary, (4, length), generator=generator(0, "tokens"))
    with torch.no_grad():
        logits, cache = to_native_bridge(model).run_with_cache(tokens)
    torch.testing.assert_close(model(tokens).detach(), logits, rtol=1e-5, atol=1e-5)
    seen, names = activations(model, tokens), shared_points(model)
    assert names.keys() == seen.keys()
    for name, value in seen.items():
        if name != "hook_pos_embed" or config.positions == "learned":
            torch.testing.assert_close(
                value, cache[names[name]], rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )


@given(config=configs())
@settings(max_examples=10, deadline=None)
def test_there_and_back_is_the_same_network(config: TransformerConfig) -> None:
    model = trained_looking(config)
    again = from_native_bridge(to_native_bridge(model), seed=3)
    tokens = torch.randint(config.vocabulary, (4, 7), generator=generator(0, "tokens"))
    torch.testing.assert_close(again(tokens), model(tokens), rtol=0, atol=1e-6)
    if config.positions != "none" and not config.tied:
        assert again.config == model.config
        assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


SMALL: dict[str, Any] = {"vocabulary": 9, "context": 6, "d_model": 8, "heads": 2, "d_mlp": 8}


def test_what_is_shared_is_all_but_scores_results_and_what_rotary_turns() -> None:
    model = Transformer(TransformerConfig(**SMALL, positions="rotary", gated=True, layers=1))
    kept_apart = {
        name.removeprefix("blocks.0.attn.hook_")
        for name in model.hook_dict
        if name not in shared_points(model)
    }
    assert kept_apart == {"attn_scores", "result", "rot_q", "rot_k"}


def test_dtype_is_kept_and_no_random_number_is_drawn() -> None:
    model = Transformer(TransformerConfig(**SMALL)).double()
    before = torch.get_rng_state()
    bridge = to_native_bridge(model)
    assert torch.equal(torch.get_rng_state(), before)
    tokens = torch.randint(9, (3, 6), generator=generator(0, "tokens"))
    torch.testing.assert_close(bridge(tokens), model(tokens), rtol=0, atol=1e-6)
    assert from_native_bridge(bridge).dtype == torch.float64


def test_the_two_do_not_share_their_weights() -> None:
    model = Transformer(TransformerConfig(**SMALL))
    bridge = to_native_bridge(model)
    with torch.no_grad():
        model.embed.W_E.zero_()
    assert from_native_bridge(bridge).embed.W_E.abs().max() > 0


@pytest.mark.parametrize("change", [{"heads": 0}, {"unembedding_bias": True}, {"layers": 0}], ids=str)
def test_what_the_native_model_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="no unembedding bias"):
        to_native_bridge(Transformer(TransformerConfig(**SMALL | change)))


def test_a_population_is_refused() -> None:
    with pytest.raises(Refused, match=r"model\.member\(seed\), seed of \(0, 4\)"):
        to_native_bridge(Transformer(TransformerConfig(**SMALL), seeds=(0, 4)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": 1e-6}, "eps=1e-06"),
        ({"normalization_type": "LNPre"}, "LNPre"),
        ({"act_fn": "solu"}, "solu"),
        ({"output_logits_soft_cap": 30.0}, "output_logits_soft_cap=30.0"),
        ({"final_rms": True}, "final_rms=True"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bridge_that_computes_something_else_is_refused(change: dict[str, Any], message: str) -> None:
    from transformer_lens.model_bridge.sources.native import boot

    cfg = native_config(TransformerConfig(**SMALL))
    for name, value in change.items():
        setattr(cfg, name, value)
    with pytest.raises(Refused, match=message):
        from_native_bridge(boot(cfg))
