"""A part of the positions gives what the whole pass gives there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused

KINDS: dict[str, dict[str, Any]] = {
    "learned": {},
    "rotary, grouped, gated": {
        "positions": "rotary",
        "heads": 4,
        "d_head": 6,
        "key_heads": 2,
        "normalization": "rmsnorm",
        "gated": True,
    },
    "no layers": {"layers": 0},
    "MLPs alone": {"heads": 0},
    "attention alone": {"d_mlp": 0, "positions": "none"},
}
EVERYWHERE = "blocks.0.attn.hook_pattern"


def build(seeds: Any = 0, **changes: Any) -> Transformer:
    config: dict[str, Any] = {
        "vocabulary": 11,
        "context": 9,
        "layers": 2,
        "d_model": 12,
        "heads": 2,
        "d_mlp": 10,
    }
    return Transformer(TransformerConfig(**config | changes), seeds=seeds).double()


def tokens(*shape: int) -> Tensor:
    return torch.randint(11, shape, generator=torch.Generator().manual_seed(3))


def past_of(model: Transformer, inputs: Tensor) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}
    handles = [
        model.hook_dict[name].register_forward_hook(lambda _, __, out, name=name: kept.update({name: out}))
        for name in model.past_points or ()
    ]
    model(inputs)
    for handle in handles:
        handle.remove()
    return kept


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("seeds", [0, (4, 0, 7)])
def test_the_last_positions_alone_give_what_the_whole_pass_gives(kind: dict[str, Any], seeds: Any) -> None:
    model, inputs = build(seeds, **kind), tokens(3, 7)
    whole, past = model(inputs), past_of(model, inputs)
    for first in range(7):
        close(model(inputs[:, first:], first_pos=first, past=past), whole[..., first:, :])
    for layer in range(model.config.layers + 1):
        entering = model(inputs, stop_at_layer=layer)[..., 4:, :]
        close(model(entering, start_at_layer=layer, first_pos=4, past=past), whole[..., 4:, :])


@pytest.mark.parametrize("kind", [*KINDS.values(), {"causal": False}], ids=[*KINDS, "bidirectional"])
@pytest.mark.parametrize("seeds", [0, (4, 0, 7)])
def test_one_positions_logits_are_those_of_the_whole_pass(kind: dict[str, Any], seeds: Any) -> None:
    model, inputs = build(seeds, **kind), tokens(3, 7)
    whole, past = model(inputs), past_of(model, inputs)
    for at in (-1, 6, 5, -7):
        close(model(inputs, at=at), whole[..., [at], :])
    if model.causal:
        close(model(inputs[:, 2:], first_pos=2, past=past, at=5), whole[..., [5], :])


@pytest.mark.parametrize("causal", [True, False])
def test_opened_attention_agrees_and_padding_stays_unseen(causal: bool) -> None:
    model, inputs = build(causal=causal), tokens(3, 7)
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[1, 5:] = False
    for listening in (False, True):
        handles = [model.hook_dict[EVERYWHERE].register_forward_hook(lambda *_: None)] if listening else []
        close(model(inputs, mask=mask, at=4), model(inputs, mask=mask)[:, [4]])
        for handle in handles:
            handle.remove()


def test_the_past_of_some_examples_serves_every_run_of_them() -> None:
    model, inputs = build((4, 7)), tokens(3, 7)
    past, runs = past_of(model, inputs), torch.cat([inputs, inputs.flip(0) * 0 + inputs])
    runs[3:, 5:] = 2
    close(model(runs[:, 4:], first_pos=4, past=past), model(runs)[..., 4:, :])


def test_the_last_layer_shows_only_the_position_asked_for() -> None:
    model, shapes = build(), {}
    for name, point in model.hook_dict.items():
        point.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: out.shape}))
    model(tokens(3, 7), at=-1)
    assert (
        shapes["blocks.1.attn.hook_q"][1]
        == shapes["blocks.1.mlp.hook_post"][1]
        == shapes["hook_logits"][1]
        == 1
    )
    assert shapes["blocks.1.attn.hook_k"][1] == shapes["blocks.0.mlp.hook_post"][1] == 7


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"at": 7}, "Position 7 is not computed: positions 0 to 6 are"),
        ({"at": 1, "first_pos": 2, "past": "known"}, "Position 1 is not computed: positions 2 to 8"),
        ({"first_pos": 2}, "takes `past` with 'blocks.0.attn.hook_k'"),
        ({"first_pos": 8, "past": "known"}, "the context has 9|of 8 positions or more"),
        ({"first_pos": -1}, "given positions -1 to 5"),
        ({"at": -1, "stop_at_layer": 1}, "a pass that stops at a layer makes none"),
    ],
)
def test_spans_that_cannot_be_meant_are_refused(asked: dict[str, Any], said: str) -> None:
    model, inputs = build(), tokens(3, 7)
    past = {"past": past_of(model, inputs)} if asked.get("past") else {}
    with pytest.raises(Refused, match=said):
        model(inputs, **asked | past)


def test_a_network_that_looks_ahead_cannot_leave_positions_out() -> None:
    with pytest.raises(Refused, match="causal=False"):
        build(causal=False)(tokens(3, 5), first_pos=2, past={})
