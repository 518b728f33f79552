from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.attention import attention_scores, fused_attention
from models.networks.blocks import gelu_tanh, silu
from models.networks.hooked import HookedModel
from models.networks.rotary import rotated, rotations
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused
from models.seeds import generator

SMALL: dict[str, Any] = {"vocabulary": 11, "context": 9, "d_model": 12, "heads": 2, "d_mlp": 10}
KINDS: dict[str, dict[str, Any]] = {
    "learned": {},
    "rotary, grouped": {
        "positions": "rotary",
        "heads": 4,
        "d_head": 6,
        "key_heads": 2,
        "normalization": "rmsnorm",
    },
    "gated": {"positions": "none", "gated": True, "normalization": "none", "activation": "relu"},
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def build(seeds: Any = 0, **changes: Any) -> Transformer:
    return Transformer(TransformerConfig(**SMALL | changes), seeds=seeds).double()


def tokens(*shape: int, below: int = 11, purpose: str = "tokens") -> Tensor:
    return torch.randint(below, shape, generator=generator(0, purpose))


def noise(*shape: int, purpose: str = "noise") -> Tensor:
    return torch.randn(shape, generator=generator(0, purpose), dtype=torch.float64)


def edited(model: HookedModel, name: str, edit: Callable[[Tensor], Tensor | None], inputs: Tensor) -> Tensor:
    handle = model.hook_dict[name].register_forward_hook(lambda _, __, out: edit(out))
    try:
        return model(inputs)
    finally:
        handle.remove()


def seen(model: HookedModel, name: str, inputs: Tensor) -> Tensor:
    kept: list[Tensor] = []
    edited(model, name, lambda out: kept.append(out.detach()), inputs)
    return kept[0]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("causal", [True, False])
def test_it_computes_what_torchs_encoder_layers_compute(activation: str, causal: bool) -> None:
    model = build(activation=activation, causal=causal)
    x = model(tokens(3, 7), stop_at_layer=0)
    mask = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64) if causal else None
    for layer, block in enumerate(model.blocks):
        after = torch_layer(block, activation)(x, src_mask=mask)
        torch.testing.assert_close(
            model(x, start_at_layer=layer, stop_at_layer=layer + 1), after, rtol=0, atol=1e-12
        )
        x = after
    logits = F.layer_norm(x, (12,), model.ln_final.w, model.ln_final.b) @ model.unembed.W_U
    torch.testing.assert_close(model(tokens(3, 7)), logits, rtol=0, atol=1e-12)


def torch_layer(block: Any, activation: str) -> nn.TransformerEncoderLayer:
    with torch.random.fork_rng():
        layer = nn.TransformerEncoderLayer(
            12,
            2,
            10,
            dropout=0.0,
            activation=activation,
            batch_first=True,
            norm_first=True,
            dtype=torch.float64,
        )
    attn, mlp = block.attn, block.mlp
    state = {
        "self_attn.in_proj_weight": torch.cat([attn.W_Q.T, attn.W_K.T, attn.W_V.T]),
        "self_attn.in_proj_bias": torch.cat([attn.b_Q, attn.b_K, attn.b_V]),
        "self_attn.out_proj.weight": attn.W_O.T,
        "self_attn.out_proj.bias": attn.b_O,
        "linear1.weight": mlp.W_in.T,
        "linear1.bias": mlp.b_in,
        "linear2.weight": mlp.W_out.T,
        "linear2.bias": mlp.b_out,
        **{
            f"norm{n}.{k}": v
            for n in (1, 2)
            for k, v in zip(("weight", "bias"), getattr(block, f"ln{n}").parameters(), strict=True)
        },
    }
    layer.load_state_dict(state)
    return layer


def test_later_tokens_change_nothing_before(kind: dict[str, Any]) -> None:
    model, before = build((0, 1), **kind), tokens(4, 9)
    after = before.clone()
    after[:, 5:] = tokens(4, 4, purpose="other")
    torch.testing.assert_close(model(after)[..., :5, :], model(before)[..., :5, :], rtol=0, atol=1e-12)
    assert (model(after)[..., 5:, :] - model(before)[..., 5:, :]).abs().max() > 1e-3


def test_a_bidirectional_network_sees_what_follows() -> None:
    model, before = build(causal=False), tokens(4, 9)
    after = before.clone()
    after[:, 8] = (before[:, 8] + 1) % 11
    assert (model(after)[:, 0] - model(before)[:, 0]).abs().amin(dim=-1).max() > 1e-6


@pytest.mark.parametrize("name", ["blocks.1.attn.hook_attn_scores", "blocks.1.attn.hook_pattern"])
def test_no_edit_of_scores_or_pattern_lets_the_future_in(name: str) -> None:
    model = build()
    before, after = tokens(4, 9), tokens(4, 9)
    after[:, 5:] = tokens(4, 4, purpose="other")
    edit = lambda out: out + noise(*out.shape)  # noqa: E731
    one, other = edited(model, name, edit, before), edited(model, name, edit, after)
    assert (one - model(before)).abs().max() > 1e-3
    torch.testing.assert_close(one[:, :5], other[:, :5], rtol=0, atol=1e-12)


def test_the_parts_add_up(kind: dict[str, Any]) -> None:
    model, given = build(**kind), tokens(3, 6)
    stream = {name: seen(model, f"blocks.0.{name}", given) for name in ("hook_resid_pre", "hook_attn_out")}
    middle = seen(model, "blocks.0.hook_resid_mid", given)
    torch.testing.assert_close(sum(stream.values()), middle)
    result, pattern = (seen(model, f"blocks.0.attn.hook_{name}", given) for name in ("result", "pattern"))
    torch.testing.assert_close(result.sum(dim=-2) + model.blocks[0].attn.b_O, stream["hook_attn_out"])
    torch.testing.assert_close(pattern.sum(dim=-1), torch.ones_like(pattern[..., 0]))
    assert pattern.triu(1).abs().max() == 0


def test_scores_are_seen_before_the_mask() -> None:
    model, given = build(), tokens(3, 6)
    q, k = (seen(model, f"blocks.0.attn.hook_{name}", given) for name in "qk")
    scores = seen(model, "blocks.0.attn.hook_attn_scores", given)
    by_hand = q[1, 2, 0] @ k[1, 5, 0] / 6**0.5
    torch.testing.assert_close(scores[1, 0, 2, 5], by_hand)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("seeds", [0, (3, 5)], ids=["one", "population"])
def test_a_padded_batch_gives_what_each_sequence_alone_gives(
    kind: dict[str, Any], causal: bool, seeds: Any
) -> None:
    model, lengths, padded = build(seeds, causal=causal, **kind), (9, 4, 1), tokens(3, 9)
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    logits = model(padded, mask=mask)
    for place, length in enumerate(lengths):
        alone = model(padded[place : place + 1, :length])
        torch.testing.assert_close(logits[..., place, :length, :], alone[..., 0, :, :], rtol=0, atol=1e-12)


def test_masks_can_be_of_each_seed_and_hold_where_scores_are_laid_open() -> None:
    model, own = build((0, 1), causal=False), tokens(2, 3, 9)
    mask = torch.arange(9) < torch.tensor([[9, 2, 5], [1, 9, 3]])[..., None]
    plain = model(own, mask=mask)
    model.hook_dict["blocks.0.attn.hook_pattern"].register_forward_hook(lambda *_: None)
    torch.testing.assert_close(model(own, mask=mask), plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(plain[1, 2, :3], model.member(1)(own[1, 2:, :3])[0], rtol=0, atol=1e-12)


def test_rotary_scores_depend_on_distance_alone() -> None:
    q, k = (
        noise(1, 1, 2, 8, purpose="q").expand(1, 9, 2, 8),
        noise(1, 1, 2, 8, purpose="k").expand(1, 9, 2, 8),
    )
    turns = rotations(9, 8)
    scores = attention_scores(rotated(q, turns), rotated(k, turns))[0]
    for distance in range(-8, 9):
        along = scores.diagonal(distance, dim1=-2, dim2=-1)
        torch.testing.assert_close(along, along[:, :1].expand_as(along), rtol=0, atol=1e-12)
    assert (scores[:, 0, 0] - scores[:, 0, 5]).abs().min() > 1e-3


def test_a_pair_turns_by_its_position_in_radians() -> None:
    quarter = rotated(torch.tensor([1.0, 0.0]).expand(1, 3, 1, 2), rotations(3, 2))[0, :, 0]
    expected = torch.tensor([[1.0, 0.0], [0.5403023, 0.8414710], [-0.4161468, 0.9092974]])
    torch.testing.assert_close(quarter, expected)


@pytest.mark.parametrize("causal", [True, False])
def test_shared_keys_are_repeated_keys(causal: bool) -> None:
    grouped = build(heads=6, d_head=4, key_heads=2, causal=causal)
    repeated = build(heads=6, d_head=4, causal=causal)
    state = grouped.state_dict()
    for name in [name for name in state if name.endswith(("_K", "_V"))]:
        parted = state[name].unflatten(-1, (2, 4))
        state[name] = parted.repeat_interleave(3, dim=-2).flatten(-2)
    repeated.load_state_dict(state)
    torch.testing.assert_close(grouped(tokens(4, 8)), repeated(tokens(4, 8)), rtol=0, atol=1e-12)


@given(
    lead=st.sampled_from([(3,), (2, 3)]),
    heads=st.sampled_from([(4, 4), (4, 2), (6, 1)]),
    causal=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_attention_is_torchs_own(lead: tuple[int, ...], heads: tuple[int, int], causal: bool) -> None:
    q, k, v = (noise(*lead, 5, n, 6, purpose=str(i)) for i, n in enumerate((heads[0], heads[1], heads[1])))
    shared = heads[0] // heads[1]
    witness = F.scaled_dot_product_attention(
        q.transpose(-3, -2),
        k.repeat_interleave(shared, dim=-2).transpose(-3, -2),
        v.repeat_interleave(shared, dim=-2).transpose(-3, -2),
        is_causal=causal,
    ).transpose(-3, -2)
    torch.testing.assert_close(
        fused_attention(q, k, v, causal=causal, real=None), witness, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [(silu, F.silu), (gelu_tanh, lambda x: F.gelu(x, approximate="tanh"))],
    ids=["silu", "gelu"],
)
def test_activations_are_torchs_and_the_same_bits_wherever_they_stand(
    ours: Callable[[Tensor], Tensor], torchs: Callable[[Tensor], Tensor]
) -> None:
    x = torch.cat([5 * noise(200).float(), torch.tensor([-200.0, -90.0, 0.0, 90.0, 200.0])]).requires_grad_()
    torch.testing.assert_close(ours(x), torchs(x), rtol=1e-5, atol=1e-6)
    (slope,), (expected,) = (torch.autograd.grad(f(x).sum(), x) for f in (ours, torchs))
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(ours(x[:n]), ours(x)[:n]) for n in range(1, 205))


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu"])
def test_gradients_of_a_member_are_the_same_bits_in_a_larger_population(activation: str) -> None:
    config = TransformerConfig(40, 8, d_model=32, d_mlp=64, activation=activation)
    many, few = (
        gradients(Transformer(config, seeds=seeds), tokens(6, 8, below=40))
        for seeds in ((5, 3, 1, 0), (5, 3))
    )
    assert all(torch.equal(a[:2], b) for a, b in zip(many, few, strict=True))


def gradients(model: Transformer, given: Tensor) -> tuple[Tensor, ...]:
    logits = model(given)[..., :-1, :]
    targets = given[:, 1:].expand(logits.shape[:-1])
    loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="sum")
    return torch.autograd.grad(loss, list(model.parameters()))


def test_a_members_gradients_are_those_of_the_network_alone(kind: dict[str, Any]) -> None:
    several, given = build((2, 0, 1), **kind), tokens(4, 9)
    together = gradients(several, given)
    for place, seed in enumerate((2, 0, 1)):
        alone = gradients(several.member(seed), given)
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[place], b, rtol=0, atol=1e-10)


def test_somebody_who_listens_to_gradients_is_heard() -> None:
    model, given = build(), tokens(3, 6)
    kept: list[Tensor] = []
    model.hook_dict["blocks.0.attn.hook_pattern"].add_hook(lambda grad, hook: kept.append(grad), dir="bwd")
    model(given).sum().backward()
    assert [tuple(grad.shape) for grad in kept] == [(3, 2, 6, 6)]


def test_transformer_lens_hooks_are_heard_too() -> None:
    model, given = build(), tokens(3, 6)
    changed = model.run_with_hooks(
        given, fwd_hooks=[("blocks.0.attn.hook_pattern", lambda pattern, hook: torch.zeros_like(pattern))]
    )
    alike = edited(model, "blocks.0.attn.hook_z", torch.zeros_like, given)
    torch.testing.assert_close(changed, alike)


def test_a_tied_unembedding_is_the_embedding() -> None:
    model = build(tied=True)
    assert model.unembed.W_U is None
    assert len([p for p in model.parameters() if p.shape == (11, 12)]) == 1
    x = noise(2, 5, 12)
    by_hand = F.layer_norm(x, (12,)) @ model.embed.W_E.T
    torch.testing.assert_close(model(x, start_at_layer=2), by_hand)


def test_initial_weights_have_the_stated_spread() -> None:
    model = Transformer(
        TransformerConfig(500, 9, layers=3, d_model=400, heads=4, d_mlp=800, init_scale=0.5), seeds=(0, 1)
    )
    block = model.blocks[0]
    for W, std in (
        (model.embed.W_E, 1 / 20),
        (block.attn.W_Q, 1 / 20),
        (block.attn.W_O, 1 / 20 / 6**0.5),
        (block.mlp.W_in, 1 / 20),
        (block.mlp.W_out, 1 / 800**0.5 / 6**0.5),
        (model.unembed.W_U, 1 / 20),
    ):
        assert W.std().item() == pytest.approx(0.5 * std, rel=0.02)
    assert block.attn.b_O.abs().max() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tokens(3, 4).int(), r"torch\.int64; given torch\.int32"),
        (tokens(3, 4).double(), r"given torch\.float64"),
        (tokens(3, 10), "context is 9 positions; given sequences of 10"),
        (tokens(3, 4) + 8, r"no token \d+: the vocabulary has 11"),
        (tokens(3, 4) - 11, r"no token -\d+"),
        (tokens(3), r"given shape \(3,\)"),
        (tokens(3, 0), r"given shape \(3, 0\)"),
        (tokens(3, 2, 4), r"\[2 seeds, example, pos\].*given shape \(3, 2, 4\)"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused_with_the_figure(given: Tensor, message: str) -> None:
    with pytest.raises(Refused, match=message):
        build((0, 1))(given)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 4), r"torch\.bool"),
        (torch.ones(2, 3, dtype=torch.bool), r"tokens \(2, 4\); given torch.bool, \(2, 3\)"),
        (torch.tensor([[True, True, False, True], [True] * 4]), "1 sequences have real tokens after padding"),
        (torch.tensor([[False, True, True, True], [False] * 4]), "first position of 2 sequences is masked"),
    ],
)
def test_a_mask_that_is_no_padding_at_the_end_is_refused(mask: Tensor, message: str) -> None:
    with pytest.raises(Refused, match=message):
        build()(tokens(2, 4), mask=mask)


def test_what_cannot_enter_a_layer_is_refused() -> None:
    with pytest.raises(
        Refused, match=r"enters layer 1 is \[example, up to 9 positions, 12\]; given shape \(3, 4, 11\)"
    ):
        build()(noise(3, 4, 11), start_at_layer=1)
    with pytest.raises(Refused, match=r"\[2, example, up to 9 positions, 12\]; given shape \(3, 4, 12\)"):
        build((0, 1))(noise(3, 4, 12), start_at_layer=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vocabulary": 0}, "vocabulary is a whole number from 1"),
        ({"layers": -1}, "layers is a whole number from 0; given -1"),
        ({"d_model": 8.0}, "d_model is a whole number from 1; given 8.0"),
        ({"heads": 5}, "d_model=12 does not part into 5 heads"),
        ({"heads": 4, "key_heads": 3}, "4 heads do not part into equal groups for 3 key_heads"),
        ({"heads": 4, "positions": "rotary"}, "d_head is 3, not even"),
        ({"heads": 0, "positions": "rotary"}, "d_head is 0"),
        ({"heads": 0, "key_heads": 2}, "heads=0 leaves it out"),
        ({"heads": 0, "d_mlp": 0}, "cannot both be 0"),
        ({"d_mlp": 0, "gated": True}, "d_mlp=0 leaves it out"),
        ({"activation": "gelo"}, "Nearest: gelu"),
        ({"normalization": "layer_norm"}, "Nearest: layernorm"),
        ({"positions": "rotory"}, "Nearest: rotary"),
        ({"init_scale": float("inf")}, "finite"),
        ({"family": "mlp"}, "family"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        TransformerConfig(**SMALL | wrong)
