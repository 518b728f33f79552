"""Attribution by gradients: against captum, against hand-computed values, and complete."""

from __future__ import annotations

import copy
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from hand_network import HandNetwork, hooks_of
from torch import Tensor, nn

from interp.locating.attribution import gradient_x_input, integrated_gradients
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import edited, scale, zero
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig


def mlp(seeds: Any = 0, activation: Any = "tanh") -> MLP:
    return MLP(MLPConfig((5, 8, 6, 3), activation=activation), seeds=seeds).double()


def transformer(seeds: Any = 0) -> Transformer:
    config = TransformerConfig(11, 6, layers=2, d_model=32, heads=2, d_mlp=12)
    return Transformer(config, seeds=seeds).double()


def recurrent(seeds: Any = 0, *, cell: Any = "rnn") -> Recurrent:
    sizes: dict[str, Any] = {"layers": 2, "units": 6, "d_model": 5, "outputs": 8, "answers": "each"}
    config = RecurrentConfig(vocabulary=11, cell=cell, init_scale=2.0, **sizes)
    return Recurrent(config, seeds=seeds).double()


def rows(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def tokens(examples: int = 7, length: int = 5, seed: int = 1) -> Tensor:
    return torch.randint(11, (examples, length), generator=torch.Generator().manual_seed(seed))


def first_class(output: Tensor) -> Tensor:
    return output[..., 0]


def last_token_three(logits: Tensor) -> Tensor:
    return logits[..., -1, 3].tanh()


class AsSum(nn.Module):
    """A network followed by a metric: what captum takes."""

    def __init__(self, model: nn.Module, metric: Any) -> None:
        super().__init__()
        self.model, self.metric = model, metric

    def forward(self, inputs: Tensor) -> Tensor:
        return self.metric(self.model(inputs))  # type: ignore[no-any-return]


def test_gradient_times_input_is_worked_out_by_hand() -> None:
    found = gradient_x_input(
        HandNetwork(), torch.arange(6.0).reshape(3, 2), lambda out: out**2, "*hook_input"
    )
    # output = 2a + 2b + 2; the square's gradient is 2 output * 2; 4 * output * input
    assert found["hook_input"].values.tolist() == [
        [0, 4 * 4],
        [4 * 12 * 2, 4 * 12 * 3],
        [4 * 20 * 4, 4 * 20 * 5],
    ]


def test_gradient_times_input_is_what_captum_gives() -> None:
    model, inputs = mlp(), rows(7, 5)
    ours = gradient_x_input(model, inputs, first_class, ["hook_input", "layers.1.hook_pre"])
    witness = AsSum(model, first_class)
    theirs = captum.attr.InputXGradient(witness).attribute(inputs.clone().requires_grad_())
    torch.testing.assert_close(ours.tensor("hook_input"), theirs.detach(), rtol=1e-10, atol=1e-12)
    inside = captum.attr.LayerGradientXActivation(witness, model.layers[1].hook_pre).attribute(inputs)
    torch.testing.assert_close(ours.tensor("layers.1.hook_pre"), inside.detach(), rtol=1e-10, atol=1e-12)


def test_integrated_gradients_are_what_captum_gives() -> None:
    model, inputs, baseline = mlp(), rows(7, 5), rows(7, 5, seed=2)
    ours = integrated_gradients(model, inputs, first_class, "hook_input", baseline=baseline, steps=20)
    theirs = captum.attr.IntegratedGradients(AsSum(model, first_class)).attribute(
        inputs, baseline, n_steps=20, method="gausslegendre"
    )
    np.testing.assert_allclose(ours.attributions, theirs.numpy(), rtol=1e-8, atol=1e-10)


def test_integrated_gradients_at_a_hook_are_what_captum_gives_for_that_layer() -> None:
    model, inputs, others = transformer(), tokens(), tokens(seed=2)
    hook = "blocks.0.hook_resid_post"
    start = capture(model, others, hook)
    ours = integrated_gradients(model, inputs, last_token_three, hook, baseline=start, steps=20)
    layer = captum.attr.LayerIntegratedGradients(
        AsSum(model, last_token_three), model.blocks[0].hook_resid_post
    )
    theirs = layer.attribute(inputs, others, n_steps=20, method="gausslegendre")
    np.testing.assert_allclose(ours.attributions, theirs.detach().numpy(), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("hook", ["hook_embed", "blocks.0.attn.hook_pattern", "blocks.1.mlp.hook_post"])
def test_integrated_gradients_sum_to_the_difference_from_the_baseline(hook: str) -> None:
    model = transformer([3, 7])
    start = capture(model, tokens(seed=2), hook)
    found = integrated_gradients(model, tokens(), last_token_three, hook, baseline=start, steps=64)
    assert found.attributions.dims[:2] == ("seed", "example")
    assert abs(found.difference).max() > 1e-3
    assert abs(found.gap).max() < 1e-6


@pytest.mark.parametrize("seeds", [0, [3, 7]])
@pytest.mark.parametrize(
    ("cell", "hook"),
    [
        ("rnn", "hook_embed"),
        ("rnn", "layers.0.hook_h"),
        ("lstm", "layers.0.hook_h"),
        ("lstm", "layers.0.hook_c"),
        ("lstm", "layers.1.hook_f"),
        ("gru", "layers.0.hook_h"),
        ("gru", "layers.0.hook_z"),
    ],
)
def test_on_states_cells_and_gates_of_recurrent_networks_they_sum_to_the_difference_too(
    cell: Any, hook: str, seeds: Any
) -> None:
    model = recurrent(seeds, cell=cell)
    start = capture(model, tokens(seed=2), hook)
    found = integrated_gradients(model, tokens(), last_token_three, hook, baseline=start, steps=64)
    assert float(abs(found.difference).max()) > 1e-2
    assert float(abs(found.gap).max()) < 1e-6
    others = [dim for dim in found.attributions.dims if dim != "pos"]
    assert (abs(found.attributions).sum(others)[:-1] > 0).any()  # the last position is not all there is


def test_the_line_of_an_edited_recurrent_network_ends_at_what_it_is_under_the_edit() -> None:
    model, hook = recurrent(cell="gru"), "layers.0.hook_h"
    with edited(model, scale(hook, 1.5, pos=1)):
        expected = last_token_three(model(tokens())).detach()
        found = integrated_gradients(model, tokens(), last_token_three, hook, steps=64)
    with torch.no_grad(), edited(model, zero(hook)):
        expected = expected - last_token_three(model(tokens()))
    np.testing.assert_allclose(found.difference, expected, atol=1e-12)
    assert float(abs(found.gap).max()) < 1e-6


@pytest.mark.parametrize("edit_at", ["layers.0.hook_h", "layers.0.hook_r"])
def test_gradients_in_an_edited_recurrent_layer_are_refused(edit_at: str) -> None:
    model = recurrent(cell="gru")
    with (
        edited(model, scale(edit_at, 1.1, pos=1)),
        pytest.raises(Refused, match=r"fired twice .* step by step"),
    ):
        gradient_x_input(model, tokens(), last_token_three, "layers.0.hook_h")
    with edited(model, scale("layers.0.hook_r", 1.1, pos=1)):
        assert gradient_x_input(model, tokens(), last_token_three, "layers.1.hook_h")


def test_too_few_steps_leave_a_gap_that_is_told() -> None:
    model, inputs = mlp(), 4 * rows(7, 5)
    coarse = integrated_gradients(model, inputs, first_class, "hook_input", steps=1)
    fine = integrated_gradients(model, inputs, first_class, "hook_input", steps=64)
    assert float(abs(coarse.gap).max()) > 1e-2 > 1e-6 > float(abs(fine.gap).max())


@pytest.mark.parametrize("make", [mlp, transformer])
def test_members_of_a_population_get_what_each_alone_gets(make: Any) -> None:
    model = make([3, 7])
    inputs, metric = (rows(7, 5), first_class) if make is mlp else (tokens(), last_token_three)
    hook = "hook_input" if make is mlp else "hook_embed"
    together = integrated_gradients(model, inputs, metric, hook, steps=5).attributions
    gradients = gradient_x_input(model, inputs, metric, hook)[hook]
    for seed in model.seeds:
        alone = model.member(seed)
        expected = integrated_gradients(alone, inputs, metric, hook, steps=5).attributions
        np.testing.assert_allclose(together.sel(seed=seed), expected, rtol=1e-8, atol=1e-12)
        expected = gradient_x_input(alone, inputs, metric, hook)[hook]
        np.testing.assert_allclose(gradients.sel(seed=seed), expected, rtol=1e-8, atol=1e-12)


def test_what_the_metric_does_not_depend_on_is_refused() -> None:
    with pytest.raises(Refused, match="does not depend on what passes"):
        gradient_x_input(mlp(), rows(7, 5), lambda out: rows(7).requires_grad_(), "layers.1.hook_pre")
    with pytest.raises(Refused, match="read-only"):
        gradient_x_input(HandNetwork(), torch.zeros(3, 2), lambda out: out, "hook_output")


def test_a_metric_that_averages_is_refused() -> None:
    with pytest.raises(Refused, match=r"one number for each example, \[7\]"):
        gradient_x_input(mlp(), rows(7, 5), lambda out: out.mean(), "hook_input")
    with pytest.raises(Refused, match="seed and example"):
        gradient_x_input(mlp([1, 2]), rows(7, 5), lambda out: out[0, :, 0], "hook_input")
    with pytest.raises(Refused, match="NaN"):
        gradient_x_input(mlp(), rows(7, 5), lambda out: out[:, 0] / 0, "hook_input")


def test_a_baseline_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Refused, match="does not fit"):
        integrated_gradients(mlp(), rows(7, 5), first_class, "hook_input", baseline=rows(4))
    with pytest.raises(Refused, match="at least 1"):
        integrated_gradients(mlp(), rows(7, 5), first_class, "hook_input", steps=0)


def test_the_network_is_left_as_it_was() -> None:
    model, inputs = transformer(), tokens()
    model.train()
    before, hooks = copy.deepcopy(model.state_dict()), hooks_of(model)
    integrated_gradients(model, inputs, last_token_three, "hook_embed", steps=2)
    with pytest.raises(ZeroDivisionError):
        gradient_x_input(model, inputs, lambda out: out / (1 // 0), "hook_embed")
    assert hooks_of(model) == hooks
    assert model.training
    assert all(value.requires_grad and value.grad is None for value in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
