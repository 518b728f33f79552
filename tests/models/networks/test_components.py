from __future__ import annotations

import pytest
import torch

from models.networks.components import components, weights_of
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused

CONFIG = TransformerConfig(20, 5, layers=2, d_model=16, heads=2, d_mlp=32)


@pytest.fixture(params=[0, (0, 1)], ids=["alone", "population"])
def model(request: pytest.FixtureRequest) -> Transformer:
    return Transformer(CONFIG, seeds=request.param)


def test_the_whole_components_are_embedding_attentions_mlps_and_unembedding(model: Transformer) -> None:
    assert components(model) == [
        "embed",
        "blocks.0.attn",
        "blocks.0.mlp",
        "blocks.1.attn",
        "blocks.1.mlp",
        "unembed",
    ]


def test_a_component_is_every_weight_under_its_name(model: Transformer) -> None:
    masks = weights_of(model, "blocks.1.mlp")
    assert sorted(masks) == [f"blocks.1.mlp.{name}" for name in ("W_in", "W_out", "b_in", "b_out")]
    assert all(bool(mask.all()) for mask in masks.values())
    assert list(weights_of(model, "unembed.W_U")) == ["unembed.W_U"]


def test_a_heads_weights_are_its_columns_and_rows(model: Transformer) -> None:
    masks = weights_of(model, "blocks.0.attn[1]")
    second = torch.arange(16) >= 8
    assert torch.equal(masks["blocks.0.attn.W_Q"], second.expand(16, 16))
    assert torch.equal(masks["blocks.0.attn.W_O"], second[:, None].expand(16, 16))
    assert torch.equal(masks["blocks.0.attn.b_V"], second)
    assert "blocks.0.attn.b_O" not in masks


def test_the_heads_together_are_all_that_heads_have(model: Transformer) -> None:
    first, second, both = (weights_of(model, f"blocks.0.attn[{heads}]") for heads in ("0", "1", "0,1"))
    assert all(torch.equal(first[name] | second[name], both[name]) for name in both)
    assert not any(bool((first[name] & second[name]).any()) for name in both)


def test_neurons_may_be_named_or_ranged(model: Transformer) -> None:
    masks = weights_of(model, "blocks.1.mlp[0,5:7]")
    assert masks["blocks.1.mlp.b_in"].nonzero().flatten().tolist() == [0, 5, 6]
    assert masks["blocks.1.mlp.W_out"].any(dim=1).nonzero().flatten().tolist() == [0, 5, 6]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blocks.1.mpl", r"no component 'blocks\.1\.mpl'\. Nearest: blocks\.1\.mlp"),
        ("blocks.2.mlp", "Nearest: blocks"),
        ("blocks.0.attn[2]", r"parts 0 to 1, each to be named once; given \[2\]"),
        ("blocks.0.attn[1,1]", "each to be named once"),
        ("embed[3]", "Only attentions"),
    ],
)
def test_what_is_not_there_is_refused(model: Transformer, name: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        weights_of(model, name)


def test_heads_that_share_keys_cannot_be_told_apart() -> None:
    shared = Transformer(TransformerConfig(20, 5, d_model=16, heads=4, key_heads=2))
    with pytest.raises(Refused, match="share keys"):
        weights_of(shared, "blocks.0.attn[0]")


@pytest.mark.parametrize("selected", [",5", "1:2:3", "5,", ":"])
def test_parts_are_chosen_by_numbers_and_ranges(model: Transformer, selected: str) -> None:
    if selected == ":":
        assert all(bool(mask.any()) for mask in weights_of(model, "blocks.0.mlp[:]").values())
        return
    with pytest.raises(Refused, match="Parts are chosen as in"):
        weights_of(model, f"blocks.0.mlp[{selected}]")
