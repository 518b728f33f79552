"""Capture: the numbers that passed, whatever the batches; and a network left as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hand_network import Exploding, HandNetwork, hooks_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from interp.reading import headroom
from interp.reading.capture import capture
from interp.reading.feeding import feed_of, taken_by
from interp.refusals import Refused
from interp.writing.edits import zero
from interp.writing.sweep import sweep
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

INPUTS = torch.arange(12.0).reshape(6, 2)


def small_mlp(seeds: int | list[int] = 0) -> MLP:
    return MLP(MLPConfig(sizes=(5, 4, 3, 2), activation="tanh"), seeds=seeds)


def random_inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_what_passes_each_point_is_kept() -> None:
    acts = capture(HandNetwork(), INPUTS, "**")
    assert acts.names == ("hook_input", "double.hook_post", "plus.hook_post", "hook_output")
    np.testing.assert_array_equal(acts["double.hook_post"], 2 * INPUTS)
    np.testing.assert_array_equal(acts["plus.hook_post"], 2 * INPUTS + 1)
    np.testing.assert_array_equal(acts["hook_output"], (2 * INPUTS + 1).sum(dim=1))


@given(st.integers(1, 8))
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    acts = capture(HandNetwork(), INPUTS, "plus.hook_post", batch_size=batch_size)
    np.testing.assert_array_equal(acts["plus.hook_post"], 2 * INPUTS + 1)


def test_an_activation_overwritten_later_in_the_pass_is_kept_as_it_was() -> None:
    model = HandNetwork()
    model.dropout = nn.ReLU(inplace=True)
    acts = capture(model, -INPUTS, "double.hook_post", batch_size=4)
    np.testing.assert_array_equal(acts["double.hook_post"], -2 * INPUTS)


def test_a_population_has_a_seed_axis_in_front() -> None:
    model, inputs = small_mlp([3, 7, 11]), random_inputs(6, 5)
    acts = capture(model, inputs, "**", batch_size=4)
    assert acts["layers.1.hook_post"].dims == ("seed", "example", "neuron")
    assert acts["hook_input"].dims == ("example", "pixel")
    for seed in model.seeds or ():
        alone = capture(model.member(seed), inputs, "layers.1.hook_post")["layers.1.hook_post"]
        np.testing.assert_allclose(acts["layers.1.hook_post"].sel(seed=seed), alone, rtol=1e-6)


def test_members_of_a_population_may_have_inputs_of_their_own() -> None:
    model, inputs = small_mlp([3, 7]), random_inputs(2, 6, 5)
    acts = capture(model, inputs, ["hook_input", "layers.0.hook_post"], batch_size=4)
    assert acts["hook_input"].dims == ("seed", "example", "pixel")
    alone = capture(model.member(7), inputs[1], "layers.0.hook_post")["layers.0.hook_post"]
    np.testing.assert_allclose(acts["layers.0.hook_post"].sel(seed=7), alone, rtol=1e-6)


def test_the_pass_stops_after_the_last_layer_asked_for() -> None:
    model, seen = small_mlp(), []
    model.hook_logits.register_forward_hook(lambda *_: seen.append("logits"))
    capture(model, random_inputs(4, 5), "layers.1.hook_pre")
    assert seen == []


def test_the_examples_travel_along() -> None:
    data = SimpleNamespace(inputs=INPUTS, examples=pd.DataFrame({"digit": [0, 1, 0, 1, 0, 1]}))
    acts = capture(HandNetwork(), data, "double.hook_post", batch_size=4)
    means = acts["double.hook_post"].groupby("digit").mean("example")
    np.testing.assert_array_equal(means, [[8, 10], [12, 14]])


def test_no_gradient_is_recorded_and_the_tensor_can_be_used_with_one() -> None:
    model, recording = small_mlp(), []
    model.layers[0].hook_pre.register_forward_hook(lambda *_: recording.append(torch.is_grad_enabled()))
    acts = capture(model, random_inputs(4, 5), "layers.0.hook_post", batch_size=2)
    assert recording == [False, False]
    weight = torch.ones(4, requires_grad=True)
    (acts.tensor("layers.0.hook_post") @ weight).sum().backward()
    assert weight.grad is not None


def test_dropout_rests_during_a_capture_and_each_module_is_back_in_its_mode() -> None:
    model = HandNetwork().train()
    model.points.eval()
    before = {name: module.training for name, module in model.named_modules()}
    acts = capture(model, INPUTS, "plus.hook_post")
    np.testing.assert_array_equal(acts["plus.hook_post"], 2 * INPUTS + 1)
    assert {name: module.training for name, module in model.named_modules()} == before


def test_a_users_own_hook_stays_and_its_edit_is_seen() -> None:
    model = HandNetwork()
    model.hook_dict["double.hook_post"].register_forward_hook(lambda module, args, output: output + 100)
    before = hooks_of(model)
    acts = capture(model, INPUTS, "double.hook_post")
    np.testing.assert_array_equal(acts["double.hook_post"], 2 * INPUTS + 100)
    assert hooks_of(model) == before


def test_after_an_exception_the_model_is_as_it_was() -> None:
    model = small_mlp().train()
    for parameter in list(model.parameters())[:2]:
        parameter.requires_grad_(False)

    def explode(*_: Any) -> None:
        raise Exploding

    model.layers[1].hook_post.register_forward_hook(explode)
    before, grads = hooks_of(model), [p.requires_grad for p in model.parameters()]
    with pytest.raises(Exploding):
        capture(model, random_inputs(4, 5), "**")
    assert hooks_of(model) == before
    assert [p.requires_grad for p in model.parameters()] == grads
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("silent", "'plus.hook_post' did not fire"),
        ("twice", "'plus.hook_post' fired twice"),
        ("tuple", "'plus.hook_post' is a tuple, not a tensor"),
        (
            "transposed",
            r"'plus.hook_post' \[example, feature\] passed shape \(2, 4\) in a batch of 4 examples",
        ),
        ("grown", r"'plus.hook_post' .* passed shape \(2, 4\) .*so far: \(6, 3\)"),
    ],
)
def test_a_hook_that_does_not_do_what_it_says_is_refused(fault: str, said: str) -> None:
    model = HandNetwork(fault=fault)
    with pytest.raises(Refused, match=said):
        capture(model, INPUTS, "**", batch_size=4)
    assert not any(hooks_of(model).values())


def test_points_without_axes_are_captured_with_numbered_ones() -> None:
    acts = capture(HandNetwork(axes=False), INPUTS, "double.*")
    assert acts["double.hook_post"].dims == ("example", "axis_1")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (torch.zeros(0, 2), r"no examples to capture: the inputs have shape \(0, 2\)"),
        (torch.tensor(1.0), "is not data"),
        ("digits", "A str is not data"),
        (SimpleNamespace(inputs=INPUTS, examples=None), "is not data"),
        (SimpleNamespace(inputs=INPUTS, examples=pd.DataFrame({"a": [1]})), "6 examples, but .* has 1 rows"),
        (
            SimpleNamespace(inputs=INPUTS, examples=pd.DataFrame({"feature": range(6)})),
            "'feature'.* rename it",
        ),
    ],
)
def test_data_that_cannot_be_meant_is_refused(data: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        capture(HandNetwork(), data, "double.hook_post")


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(Refused, match="batch_size is at least 1; given 0"):
        capture(HandNetwork(), INPUTS, "**", batch_size=0)


def test_nan_is_kept_and_said() -> None:
    inputs = INPUTS.clone()
    inputs[1, 0] = inputs[5, 1] = float("nan")
    with pytest.warns(RuntimeWarning, match=r"hold NaN \(examples of 6: hook_input: 2\)"):
        acts = capture(HandNetwork(), inputs, "hook_input", batch_size=4)
    np.testing.assert_array_equal(acts["hook_input"], inputs)


def test_infinities_of_both_signs_are_not_called_nan() -> None:
    inputs = INPUTS.clone()
    inputs[0, 0], inputs[1, 1] = float("inf"), float("-inf")
    acts = capture(HandNetwork(), inputs, "hook_input")
    np.testing.assert_array_equal(acts["hook_input"], inputs)


@pytest.mark.parametrize("dtype", ["float16", torch.bfloat16, "float64"])
def test_activations_can_be_kept_in_another_dtype(dtype: str | torch.dtype) -> None:
    acts = capture(HandNetwork(), INPUTS / 3, "hook_input", dtype=dtype, batch_size=4)
    expected = (INPUTS / 3).to(getattr(torch, str(dtype).removeprefix("torch.")))
    assert torch.equal(acts.tensor("hook_input"), expected)
    np.testing.assert_array_equal(acts["hook_input"].values.astype(float), expected.double())


def test_a_value_too_large_for_the_dtype_is_refused() -> None:
    with pytest.raises(Refused, match=r"reaches 1e\+05, more than torch.float16 holds"):
        capture(HandNetwork(), torch.full((3, 2), 1e5), "hook_input", dtype="float16")


def test_an_unknown_dtype_is_refused_with_the_nearest() -> None:
    with pytest.raises(Refused, match=r"Nearest: .*float16"):
        capture(HandNetwork(), INPUTS, "**", dtype="flaot16")


def test_what_will_not_fit_in_memory_is_refused_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    model = HandNetwork()
    model.register_forward_hook(lambda *_: passes.append(1))
    monkeypatch.setattr("interp.reading.keepers.available_ram", lambda: 10_000)
    wide = torch.zeros(2_000, 1).expand(-1, 10)
    with pytest.raises(
        Refused, match=r"2 hooks for 2,000 examples need 1[0-9.]+ kB of memory, and 10.0 kB is av"
    ):
        capture(model, wide, ["hook_input", "plus.hook_post"], batch_size=10)
    assert len(passes) == 1


def test_what_the_system_says_is_left_is_plausible(tmp_path: Any) -> None:
    ram, disk = headroom.available_ram(), headroom.available_disk(tmp_path / "not" / "there")
    assert ram is None or 10**7 < ram < 10**14
    assert 0 < disk < 10**17
    assert [headroom.amount(n) for n in (12, 1_500, 81_920_000)] == ["12 bytes", "1.5 kB", "81.9 MB"]


@pytest.mark.parametrize("run", [lambda model: capture(model, torch.zeros(3, 5), "**", batch_size=2)])
def test_a_capture_reads_and_changes_no_random_state(run: Callable[[nn.Module], object]) -> None:
    model, before = small_mlp(), torch.get_rng_state()
    run(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_go_to_the_network_in_its_own_dtype_and_token_numbers_stay_whole() -> None:
    model = MLP(MLPConfig(sizes=(5, 4, 2)), seeds=[0, 1]).double()
    acts = capture(model, torch.ones(6, 5), "layers.0.hook_post")
    assert acts.tensor("layers.0.hook_post").dtype == torch.float64
    assert taken_by(model, torch.zeros(2, 3, dtype=torch.int64))[1] == torch.int64
    assert taken_by(nn.Identity(), torch.zeros(2, dtype=torch.float16))[1] == torch.float16
    assert taken_by(nn.Linear(1, 1, device="meta"), torch.zeros(2)) == (torch.device("meta"), torch.float32)


@pytest.mark.parametrize("causal", [True, False])
def test_padding_changes_nothing_at_real_positions(causal: bool) -> None:
    model = Transformer(TransformerConfig(5, 6, d_model=8, heads=2, d_mlp=4, causal=causal)).double()
    tokens = torch.randint(5, (5, 6), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([6, 2, 4, 1, 5])
    mask = torch.arange(6) < lengths[:, None]
    data = SimpleNamespace(inputs=tokens, examples=pd.DataFrame(index=range(5)), mask=mask)
    acts = capture(model, data, "blocks.*.hook_resid_post", batch_size=2)
    for number, length in enumerate(lengths.tolist()):
        alone = capture(model, tokens[number : number + 1, :length], "blocks.*.hook_resid_post")
        for name in acts:
            np.testing.assert_allclose(acts[name][number, :length], alone[name][0], atol=1e-12)


def test_padding_that_would_be_read_is_refused_by_what_hands_no_mask_on() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    data = SimpleNamespace(
        inputs=torch.zeros(2, 3, dtype=torch.int64), examples=pd.DataFrame(index=range(2)), mask=mask
    )
    config = TransformerConfig(5, 3, d_model=8, heads=2, d_mlp=4)
    looking_back, looking_ahead = Transformer(config), Transformer(dataclasses.replace(config, causal=False))
    last = Recurrent(RecurrentConfig(4, 2, vocabulary=5, d_model=3))
    for model in (looking_ahead, last):
        with pytest.raises(Refused, match="would read the padding"):
            feed_of(model, data, batch_size=None)
        assert feed_of(model, data, batch_size=None, masked=True).mask is mask
    assert feed_of(looking_back, data, batch_size=None).mask is None
    edits = [zero("blocks.0.mlp.hook_post", neuron=0)]
    with pytest.raises(Refused, match="at=-1 is padding in 1 of 2 sequences"):
        sweep(looking_back, data, edits, lambda logits: logits[..., 0], at=-1)
    assert sweep(looking_back, data, edits, lambda logits: logits[..., 0], at=0).shape == (1, 2)


def test_a_network_that_takes_no_mask_is_given_none() -> None:
    mask = torch.tensor([[True, False]] * 6)
    data = SimpleNamespace(inputs=INPUTS, examples=pd.DataFrame(index=range(6)), mask=mask)
    np.testing.assert_array_equal(
        capture(HandNetwork(), data, "double.hook_post")["double.hook_post"], 2 * INPUTS
    )
