from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.networks.mlp import MLP, initial_weights, sigmoid
from models.networks.mlp_config import MLPConfig
from models.refusals import Refused
from models.seeds import generator

TORCH = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "identity": nn.Identity}


def test_the_network_of_the_videos_has_13002_parameters() -> None:
    config = MLPConfig((784, 16, 16, 10), activation="sigmoid", output="sigmoid")
    assert config.parameter_count == 13_002
    assert sum(p.numel() for p in MLP(config).parameters()) == 13_002


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    activation=st.sampled_from(sorted(TORCH)),
    output=st.sampled_from(["identity", "sigmoid", "softmax"]),
    bias=st.booleans(),
)
def test_it_computes_what_torch_nn_computes(
    sizes: list[int], activation: str, output: str, bias: bool
) -> None:
    model = MLP(MLPConfig(tuple(sizes), activation=activation, output=output, bias=bias), seeds=1).double()
    layers = [*model.layers, model.unembed]
    stack: list[nn.Module] = []
    for layer in layers:
        linear = nn.Linear(*layer.W.shape, bias=bias, dtype=torch.float64)
        linear.weight = nn.Parameter(layer.W.T)
        if bias:
            linear.bias = nn.Parameter(layer.b)
        stack += [linear, TORCH[activation]()]
    last = {"identity": nn.Identity(), "sigmoid": nn.Sigmoid(), "softmax": nn.Softmax(dim=-1)}[output]
    x = torch.rand(4, sizes[0], generator=generator(0, "x"), dtype=torch.float64)
    torch.testing.assert_close(model(x), nn.Sequential(*stack[:-1], last)(x), rtol=1e-12, atol=1e-12)


def test_a_sigmoid_is_the_same_bits_wherever_it_stands() -> None:
    x = 5 * torch.randn(200, generator=generator(0, "x"))
    whole = sigmoid(x)
    torch.testing.assert_close(whole, torch.sigmoid(x))
    assert all(torch.equal(sigmoid(x[:n]), whole[:n]) for n in range(1, 200))


@pytest.mark.parametrize(
    ("initialisation", "std"),
    [("normal", 1.0), ("lecun", 400**-0.5), ("xavier", (2 / 900) ** 0.5), ("kaiming", (2 / 400) ** 0.5)],
)
def test_initial_weights_have_the_stated_spread(initialisation: str, std: float) -> None:
    config = MLPConfig((400, 500), initialisation=initialisation, init_scale=0.5)
    ((W, b),) = initial_weights(config, [0, 1])
    assert W.shape == (2, 400, 500)
    assert W.std().item() == pytest.approx(0.5 * std, rel=0.02)
    assert b is not None
    assert b.std().item() == pytest.approx(0.5 if initialisation == "normal" else 0.0, rel=0.1)


def test_uniform_weights_lie_where_torch_nn_linear_draws_them() -> None:
    ((W, b),) = initial_weights(MLPConfig((25, 400), initialisation="uniform"), [0])
    assert b is not None
    for values in (W, b):
        assert 0.19 < values.abs().max().item() <= 0.2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": (4,)}, "at least 1"),
        ({"sizes": (4, 0, 2)}, "at least 1"),
        ({"sizes": (4, 2), "activation": "sigmod"}, "Nearest: sigmoid"),
        ({"sizes": (4, 2), "output": "softmx"}, "Nearest: softmax"),
        ({"sizes": (4, 2), "initialisation": "kaimng"}, "Nearest: kaiming"),
        ({"sizes": (4, 2), "init_scale": float("nan")}, "finite"),
    ],
)
def test_a_config_that_means_nothing_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(Refused, match=message):
        MLPConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", [0, [3, 7]])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_rows_that_differ_in_one_column_are_as_if_each_were_run(seeds: int | list[int], layer: int) -> None:
    model = MLP(MLPConfig((5, 4, 6, 3), initialisation="lecun"), seeds=seeds).double()
    given = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    entering = model(given, stop_at_layer=layer)
    examples, columns = torch.tensor([1, 0, 2, 1]), torch.tensor([2, 0, 3, 2])
    values = torch.randn(*entering.shape[:-2], 4, generator=torch.Generator().manual_seed(2)).double()
    together = model(entering, start_at_layer=layer, changed=(examples, columns, values))
    for row, (example, column) in enumerate(zip(examples, columns, strict=True)):
        alone = entering.clone()
        alone[..., example, column] = values[..., row]
        expected = model(alone, start_at_layer=layer)[..., example, :]
        torch.testing.assert_close(together[..., row, :], expected, rtol=0, atol=1e-12)


def test_rows_are_changed_only_where_a_pass_starts() -> None:
    model, changed = MLP(MLPConfig((5, 4, 3))), (torch.tensor([0]), torch.tensor([0]), torch.zeros(1))
    for limits in ({}, {"start_at_layer": 0, "stop_at_layer": 0}):
        with pytest.raises(Refused, match="give start_at_layer, and a layer to run"):
            model(torch.zeros(2, 5), changed=changed, **limits)
