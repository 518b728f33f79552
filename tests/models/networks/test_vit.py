"""Vision transformers: patches by hand, against a transformer of tokens, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.networks.transformer import Transformer
from models.networks.vit import ViT, patches
from models.networks.vit_config import ViTConfig
from models.refusals import Refused
from models.seeds import generator

SMALL = ViTConfig((4, 6), 2, layers=2, d_model=8, heads=2, d_mlp=12, outputs=3)


def pixels(examples: int = 5, width: int = 24) -> torch.Tensor:
    return torch.rand(examples, width, generator=generator(0, "pixels"), dtype=torch.float64)


def test_patches_by_hand() -> None:
    image = torch.arange(24.0)[None]  # rows of 6: 0..5, 6..11, 12..17, 18..23
    cut = patches(image, (4, 6), 2)
    assert cut.shape == (1, 6, 4)
    assert cut[0, 0].tolist() == [0, 1, 6, 7]
    assert cut[0, 2].tolist() == [4, 5, 10, 11]
    assert cut[0, 3].tolist() == [12, 13, 18, 19]


def test_a_patchs_token_is_what_a_convolution_of_that_stride_gives() -> None:
    model = ViT(SMALL, seeds=1).double()
    kernels = model.embed.W_E.T.reshape(8, 1, 2, 2)
    by_convolution = F.conv2d(pixels().view(5, 1, 4, 6), kernels, model.embed.b_E, stride=2)
    torch.testing.assert_close(model.embed(pixels())[:, 1:], by_convolution.flatten(2).mT)


@pytest.mark.parametrize("summary", ["class", "mean"])
def test_its_blocks_are_the_bidirectional_transformers(summary: str) -> None:
    config = ViTConfig((4, 6), 2, d_model=8, heads=2, d_mlp=12, outputs=3, summary=summary)
    model = ViT(config, seeds=2).double()
    plain = Transformer(config.trunk, seeds=0).double()
    assert not plain.causal
    of_transformer = {k: v for k, v in model.state_dict().items() if k.startswith(("blocks", "ln_final"))}
    plain.load_state_dict(of_transformer, strict=False)
    resid = model(pixels(), stop_at_layer=0)
    assert resid.shape[1] == config.positions == 6 + (summary == "class")
    normalized = plain.ln_final(plain(resid, start_at_layer=0, stop_at_layer=2))
    answer = normalized[:, 0] if summary == "class" else normalized.mean(dim=1)
    torch.testing.assert_close(model(pixels()), answer @ model.unembed.W + model.unembed.b)


def test_without_positions_patches_could_stand_anywhere() -> None:
    model = ViT(SMALL, seeds=1).double()
    moved = (
        pixels().view(5, 2, 2, 6).flip(1).flatten(1)
    )  # the upper and the lower row of patches change places
    assert not torch.allclose(model(moved), model(pixels()))
    with torch.no_grad():
        model.pos_embed.W_pos.zero_()
    torch.testing.assert_close(model(moved), model(pixels()))


def test_its_parts_are_found_by_name() -> None:
    model = ViT(SMALL, seeds=[0, 1])
    parts = ["embed", "blocks.0.attn", "blocks.0.mlp", "blocks.1.attn", "blocks.1.mlp", "unembed"]
    assert model.components() == parts
    head = model.weights_of("blocks.0.attn[1]")["blocks.0.attn.W_Q"]
    assert head.shape == (8, 8)
    assert head.any(dim=0).tolist() == [False] * 4 + [True] * 4


def test_the_class_token_sees_every_patch() -> None:
    model = ViT(SMALL, seeds=1).double()
    plain = model(pixels(1))
    for pixel in range(24):
        changed = pixels(1)
        changed[0, pixel] += 1
        assert (model(changed) - plain).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch": 4}, "Images of 4x6 do not part into patches of 4x4"),
        ({"patch": 0}, "whole number from 1; given 0"),
        ({"image_shape": (4, 6, 1)}, r"image_shape is \(rows, columns\)"),
        ({"summary": "max"}, "summary"),
        ({"heads": 3}, "does not part into 3 heads"),
        ({"heads": 0, "d_mlp": 0}, "cannot both be 0"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        ViTConfig(**({"image_shape": (4, 6), "patch": 2} | changes))


def test_what_does_not_enter_a_layer_is_refused_with_what_does() -> None:
    with pytest.raises(Refused, match=r"takes images \[example, 24\] or \[2 seeds, example, 24\]"):
        ViT(SMALL, seeds=[0, 1])(torch.zeros(3, 5, 24))
    with pytest.raises(Refused, match=r"What enters layer 1 is \[example, 7, 8\]; given shape \(5, 6, 8\)"):
        ViT(SMALL)(torch.zeros(5, 6, 8), start_at_layer=1)


def test_another_size_of_images_makes_as_many_patches_where_it_can() -> None:
    square = ViTConfig((28, 28), 7).resized(inputs=64, outputs=3)
    assert square == ViTConfig((8, 8), 2, outputs=3)
    assert SMALL.resized(inputs=24, outputs=5).image_shape == (4, 6)
    other = SMALL.resized(inputs=64, outputs=10)  # 2x3 patches do not make a square of squares
    assert (other.image_shape, other.patch, other.positions) == ((8, 8), 2, 17)
    with pytest.raises(Refused, match="5x5 do not part into patches of 2x2"):
        SMALL.resized(inputs=25, outputs=10)
