"""Convolutional networks: against torch.nn, by hand, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.networks.cnn import CNN, pooled
from models.networks.cnn_config import CNNConfig, Convolution
from models.networks.image_config import shape_of
from models.refusals import Refused
from models.seeds import generator

convolutions = st.builds(
    Convolution,
    channels=st.integers(1, 4),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.just(0),
    pool=st.integers(1, 2),
    pooling=st.sampled_from(["max", "mean"]),
)


def as_torch_nn(model: CNN) -> nn.Sequential:
    """The same network of torch's own modules, with the same weights."""
    config, stack = model.config, [nn.Unflatten(1, (1, *model.config.image_shape))]
    for layer, (channels, _, _), c in zip(
        model.layers, config.image_shapes, config.convolutions, strict=False
    ):
        convolution = nn.Conv2d(channels, c.channels, c.kernel, stride=c.stride, padding=c.padding)
        convolution.weight, convolution.bias = layer.W, layer.b
        pool = nn.MaxPool2d if c.pooling == "max" else nn.AvgPool2d
        stack += [convolution, nn.Tanh(), pool(c.pool)]
    stack.append(nn.Flatten())
    dense = [*model.layers[len(config.convolutions) :], model.unembed]
    for layer, sizes in zip(dense, pairwise((*config.widths, config.outputs)), strict=True):
        linear = nn.Linear(*sizes)
        linear.weight, linear.bias = nn.Parameter(layer.W.T), layer.b
        stack += [linear, nn.Tanh()]
    return nn.Sequential(*stack[:-1]).double()


@settings(max_examples=40)
@given(
    layers=st.lists(convolutions, min_size=1, max_size=2),
    dense=st.lists(st.integers(1, 5), max_size=2),
    padding=st.integers(0, 2),
)
def test_it_computes_what_torch_nn_computes(
    layers: list[Convolution], dense: list[int], padding: int
) -> None:
    first = Convolution(3, kernel=3, padding=padding)
    config = CNNConfig((23, 24), (first, *layers), tuple(dense), 4, activation="tanh")
    model = CNN(config, seeds=3).double()
    x = torch.rand(3, 552, generator=generator(0, "x"), dtype=torch.float64)
    torch.testing.assert_close(model(x), as_torch_nn(model)(x), rtol=1e-12, atol=1e-12)
    assert sum(p.numel() for p in model.parameters()) == config.parameter_count


def test_lenet_5_with_whole_connections_has_61706_parameters() -> None:
    config = CNNConfig(
        (28, 28), (Convolution(6, 5, padding=2, pool=2), Convolution(16, 5, pool=2)), dense=(120, 84)
    )
    assert config.image_shapes == ((1, 28, 28), (6, 14, 14), (16, 5, 5))
    assert config.parameter_count == 61_706


def test_a_kernel_answers_where_its_pattern_stands_and_moves_with_it() -> None:
    model = CNN(CNNConfig((5, 6), (Convolution(1, 2),), outputs=1))
    with torch.no_grad():
        model.layers[0].W.copy_(torch.eye(2))  # answers to a falling diagonal
    image = torch.zeros(2, 5, 6)
    image[0, 1, 1] = image[0, 2, 2] = image[1, 2, 3] = image[1, 3, 4] = 1
    maps = model(image.flatten(1), stop_at_layer=1)
    assert maps.shape == (2, 1, 4, 5)
    assert [int(one.argmax()) for one in maps] == [1 * 5 + 1, 2 * 5 + 3]
    assert maps.amax(dim=(1, 2, 3)).tolist() == [2, 2]


def test_pooling_by_hand() -> None:
    x = torch.tensor([[1.0, 2, 9], [3, 5, 9], [9, 9, 9]])[None, None]
    assert pooled(x, 2, pooling="max").tolist() == [[[[5.0]]]]
    assert pooled(x, 2, pooling="mean").tolist() == [[[[2.75]]]]


def test_pooling_the_whole_image_makes_the_answer_blind_to_the_place() -> None:
    config = CNNConfig((9, 9), (Convolution(4, 3, pool=7),))
    spot = torch.zeros(2, 9, 9)
    spot[0, 2:5, 2:5] = spot[1, 4:7, 3:6] = 1
    first, moved = CNN(config)(spot.flatten(1))
    torch.testing.assert_close(first, moved)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_initial_kernels_have_the_stated_spread(scale: float) -> None:
    config = CNNConfig((8, 8), (Convolution(40, 5), Convolution(50, 3)), init_scale=scale)
    first, second = (layer.W for layer in CNN(config).layers)
    assert first.std().item() == pytest.approx(scale * (2 / 25) ** 0.5, rel=0.1)
    assert second.std().item() == pytest.approx(scale * (2 / 360) ** 0.5, rel=0.1)
    assert not CNN(config).layers[0].b.any()


def test_gradients_of_a_member_are_its_own() -> None:
    config = CNNConfig((6, 6), (Convolution(3, 3, pool=2), Convolution(2, 2)), dense=(4,), outputs=3)
    several, alone = CNN(config, seeds=[5, 8]).double(), CNN(config, seeds=8).double()
    x = torch.rand(4, 36, generator=generator(0, "x"), dtype=torch.float64)
    of_several = torch.autograd.grad(several(x).square().sum(), list(several.parameters()))
    of_alone = torch.autograd.grad(alone(x).square().sum(), list(alone.parameters()))
    for one, own in zip(of_several, of_alone, strict=True):
        torch.testing.assert_close(one[1], own, rtol=1e-10, atol=1e-12)


def test_layers_too_large_for_the_image_are_refused_with_what_is_left() -> None:
    with pytest.raises(Refused, match="Convolution 1 leaves nothing of images of 2x2"):
        CNNConfig((8, 8), (Convolution(4, 5, pool=2), Convolution(4, 5)))
    with pytest.raises(Refused, match="Convolution 0 leaves nothing of images of 2x9"):
        CNNConfig((2, 9), (Convolution(4, 3),))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"channels": 0}, "channels is a whole number from 1; given 0"),
        ({"channels": 2, "kernel": 2.5}, "kernel is a whole number"),
        ({"channels": 2, "padding": -1}, "padding is a whole number from 0"),
        ({"channels": 2, "padding": 3}, "nothing but zeros"),
        ({"channels": 2, "pooling": "mode"}, "no pooling .mode."),
    ],
)
def test_a_convolution_that_cannot_be_is_refused(layer: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        Convolution(**layer)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_shape": (8,)}, r"image_shape is \(rows, columns\)"),
        ({"convolutions": ()}, "at least one convolution"),
        ({"dense": (3, 0)}, "whole number from 1; given 0"),
        ({"activation": "softplus"}, "activation"),
        ({"init_scale": float("nan")}, "init_scale"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        CNNConfig(**({"image_shape": (8, 8), "convolutions": (Convolution(2),)} | changes))


def test_what_does_not_enter_a_layer_is_refused_with_what_does() -> None:
    model = CNN(CNNConfig((6, 6), (Convolution(3, 3, pool=2),), dense=(4,)), seeds=[0, 1])
    with pytest.raises(Refused, match=r"Layer 1 takes inputs \[example, 3, 2, 2\] or \[2 seeds, example, 3"):
        model(torch.zeros(5, 4), start_at_layer=1)
    with pytest.raises(Refused, match=r"Layer 2 takes inputs \[example, 4\]"):
        model(torch.zeros(5, 3, 2, 2), start_at_layer=2)
    with pytest.raises(Refused, match=r"given shape \(3, 5, 36\)"):
        model(torch.zeros(3, 5, 36))


def test_another_size_of_images_is_a_square_or_the_one_known() -> None:
    config = CNNConfig((4, 9), (Convolution(2, 3),))
    assert config.resized(inputs=36, outputs=3).image_shape == (4, 9)
    assert config.resized(inputs=64, outputs=3) == CNNConfig((8, 8), (Convolution(2, 3),), outputs=3)
    with pytest.raises(Refused, match="37 pixels make no square"):
        shape_of(37, (4, 9))
