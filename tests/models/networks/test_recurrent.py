"""Recurrent networks: torch's own modules are the witness; edits are felt forward in time and nowhere else."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from interp.reading.capture import capture
from interp.writing.edits import edited, patch, steer, zero
from interp.writing.sweep import sweep
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.recurrent_torch import copy_from_torch, to_torch
from models.refusals import Refused
from models.seeds import generator

CELLS = ("rnn", "lstm", "gru")
POINTS = {
    "rnn": ("hook_h",),
    "lstm": tuple(f"hook_{gate}" for gate in "ifgoch"),
    "gru": tuple(f"hook_{gate}" for gate in "rznh"),
}
AT = 2


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network(cell: Any, seeds: Any = 0, **changes: Any) -> Recurrent:
    config = RecurrentConfig(
        **{"units": 6, "outputs": 2, "cell": cell, "features": 3, "layers": 2, **changes}
    )
    return Recurrent(config, seeds=seeds).double()


def sequences(*shape: int) -> Tensor:
    return torch.rand(*(shape or (4, 7, 3)), generator=generator(0, "sequences"), dtype=torch.float64) * 2 - 1


def trajectories(model: Recurrent, inputs: Tensor, *edits: Any) -> dict[str, Tensor]:
    with edited(model, list(edits)) if edits else nullcontext():
        found = capture(model, inputs, "layers.*.hook_*")
    return {name: found.tensor(name) for name in found}


def padded(inputs: Tensor, lengths: list[int], padding: float) -> SimpleNamespace:
    """The sequences cut to these lengths and filled up, as data."""
    mask = torch.arange(inputs.shape[1]) < torch.tensor(lengths)[:, None]
    filled = torch.where(mask if inputs.ndim == 2 else mask[..., None], inputs, padding)
    table = pd.DataFrame({"length": lengths})
    return SimpleNamespace(inputs=filled.to(inputs.dtype), examples=table, mask=mask)


@pytest.mark.parametrize("seeds", [0, [3, 5]], ids=["one network", "population"])
@pytest.mark.parametrize("reads", ["numbers", "tokens"])
def test_what_answers_once_answers_at_the_last_real_position(cell: str, reads: str, seeds: Any) -> None:
    tokens = reads == "tokens"
    model = network(cell, seeds, answers="last", **({"features": 0, "vocabulary": 5} if tokens else {}))
    whole = torch.randint(5, (4, 7), generator=generator(0, "tokens")) if tokens else sequences()
    lengths = [7, 3, 1, 5]
    data = padded(whole, lengths, 1)
    read = capture(model, data, "hook_logits", batch_size=3).tensor("hook_logits")
    for number, length in enumerate(lengths):
        alone = model(whole[number : number + 1, :length])
        torch.testing.assert_close(read[..., number : number + 1, :], alone, rtol=0, atol=1e-12)
    assert not torch.allclose(model(data.inputs)[..., 1, :], read[..., 1, :])


def test_a_mask_that_pads_in_front_is_refused(cell: str) -> None:
    mask = torch.arange(7).expand(4, 7) > 2
    with pytest.raises(Refused, match="padding stands at the end"):
        network(cell)(sequences(), mask=mask)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_layers_are_those_of_torch(cell: str, dtype: torch.dtype) -> None:
    model, inputs = network(cell).to(dtype), sequences().to(dtype)
    theirs, _ = to_torch(model)(inputs)
    for heard in ("layers.1.hook_h", f"layers.0.{POINTS[cell][0]}"):
        handle = model.hook_dict[heard].register_forward_hook(lambda *_: None)
        ours = model(inputs, stop_at_layer=2)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-12)
        handle.remove()


def test_gradients_are_those_of_torch(cell: str) -> None:
    model, inputs = network(cell), sequences()
    module = to_torch(model)
    ours = torch.autograd.grad(model(inputs, stop_at_layer=2).square().sum(), list(model.layers.parameters()))
    theirs = torch.autograd.grad(module(inputs)[0].square().sum(), list(module.parameters()))
    expected = dict(zip((name for name, _ in module.named_parameters()), theirs, strict=True))
    torch.testing.assert_close(ours[0], expected["weight_ih_l0"].mT, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours[5], expected["weight_hh_l1"].mT, rtol=0, atol=1e-10)


def test_weights_of_torch_come_in_and_go_out_unchanged(cell: str) -> None:
    with torch.random.fork_rng(devices=[]):
        module = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](3, 6, 2, batch_first=True).double()
    model, inputs = network(cell), sequences()
    copy_from_torch(model, module)
    torch.testing.assert_close(model(inputs, stop_at_layer=2), module(inputs)[0], rtol=0, atol=1e-12)
    again = to_torch(model).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in module.state_dict().items())


def test_a_module_of_another_kind_is_refused_with_both() -> None:
    with pytest.raises(Refused, match=r"LSTM\(input 3, hidden 6, layers 2\).*given LSTM\(3, 5"):
        copy_from_torch(network("lstm"), nn.LSTM(3, 5, 2))
    with pytest.raises(Refused, match="one-way"):
        copy_from_torch(network("lstm"), nn.LSTM(3, 6, 2, bidirectional=True))
    with pytest.raises(Refused, match=r"give model\.member\(seed\)"):
        to_torch(network("gru", seeds=(0, 1)))


def test_a_population_agrees_with_torch_member_by_member(cell: str) -> None:
    model, own = network(cell, seeds=(5, 2)), sequences(2, 4, 7, 3)
    for place, seed in enumerate((5, 2)):
        member = model.member(seed)
        assert isinstance(member, Recurrent)
        theirs, _ = to_torch(member)(own[place])
        torch.testing.assert_close(model(own, stop_at_layer=2)[place], theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seeds", [0, (3, 1)], ids=["one", "population"])
def test_an_edit_at_a_position_changes_what_follows_and_nothing_before(cell: str, seeds: Any) -> None:
    model, inputs = network(cell, seeds), sequences()
    plain = trajectories(model, inputs)
    for point in POINTS[cell]:
        moved = trajectories(model, inputs, zero(f"layers.0.{point}", pos=AT))
        differs = {name: (moved[name] != plain[name]).movedim(-2, 0).flatten(1).any(dim=1) for name in plain}
        for hook in ("layers.0.hook_h", "layers.1.hook_h"):
            assert not differs[hook][:AT].any()
            assert differs[hook][AT:].all(), (point, hook)
        assert (moved[f"layers.0.{point}"][..., AT, :] == 0).all()


@pytest.mark.parametrize("seeds", [0, (3, 1)], ids=["one", "population"])
def test_edits_at_many_positions_build_on_each_other(cell: str, seeds: Any) -> None:
    """A step at a time, by hand: what is added at one position is there when the next is computed."""
    model, inputs = network(cell, seeds, layers=1), sequences()
    direction = torch.linspace(-1, 1, 6, dtype=torch.float64)
    moved = trajectories(model, inputs, steer("layers.0.hook_h", direction, 0.3))["layers.0.hook_h"]
    states: Any = None
    for pos in range(7):
        _, states = model.continued(inputs[:, pos : pos + 1], states)
        states = ((states[0][0] + 0.3 * direction, *states[0][1:]),)
        torch.testing.assert_close(moved[..., pos, :], states[0][0], rtol=0, atol=1e-12)


def test_what_is_held_fast_stays_while_what_is_before_it_changes() -> None:
    model, inputs = network("lstm", layers=1), sequences()
    plain = trajectories(model, inputs)
    held = patch("layers.0.hook_c", plain["layers.0.hook_c"], pos=[3, 4])
    moved = trajectories(model, inputs, zero("layers.0.hook_h", pos=1), held)
    cells = (moved["layers.0.hook_c"] - plain["layers.0.hook_c"]).abs().amax(dim=(0, 2))
    assert (cells[[0, 1, 3, 4]] == 0).all()
    assert cells[2] > 0
    assert cells[5] > 0


def test_no_gate_can_leak_the_future(cell: str) -> None:
    model, inputs = network(cell), sequences()
    other = inputs.clone()
    other[:, 4:] += 1
    plain, moved = trajectories(model, inputs), trajectories(model, other)
    assert all(torch.equal(plain[name][:, :4], moved[name][:, :4]) for name in plain)
    assert all(not torch.equal(plain[name][:, 4:], moved[name][:, 4:]) for name in plain)


def test_two_parts_of_a_sequence_give_what_the_whole_gives(cell: str) -> None:
    for seeds in (0, (3, 1)):
        model, inputs = network(cell, seeds, answers="each"), sequences()
        whole, last = model.continued(inputs)
        first, states = model.continued(inputs[:, :3])
        second, end = model.continued(inputs[:, 3:], states)
        torch.testing.assert_close(torch.cat([first, second], dim=-2), whole, rtol=0, atol=1e-12)
        torch.testing.assert_close(end[1][0], last[1][0], rtol=0, atol=1e-12)
        torch.testing.assert_close(model(inputs[:, 3:], states=states), second, rtol=0, atol=1e-12)


def test_states_that_do_not_fit_are_refused_with_their_shapes() -> None:
    model, inputs = network("lstm"), sequences()
    with pytest.raises(
        Refused, match=r"each of 2 layers, \(h, c\), each \(4, 6\); given shapes \[\[\(4, 5\)\]\]"
    ):
        model(inputs, states=[(torch.zeros(4, 5),)])


@pytest.mark.parametrize("seeds", [0, (3, 1)], ids=["one", "population"])
def test_a_read_trajectory_has_the_gradient_through_later_steps(cell: str, seeds: Any) -> None:
    """Against finite differences: half a step up less half a step down, at one unit of one early position."""
    model, inputs = network(cell, seeds), sequences()
    for point in POINTS[cell]:
        hook, kept = f"layers.0.{point}", []
        handle = model.hook_dict[hook].register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))
        metric = model(inputs)[..., 0].sum()
        handle.remove()
        gradient = torch.autograd.grad(metric, kept[0])[0][..., 1, 3].sum()
        step = torch.zeros(6, dtype=torch.float64)
        step[3] = 1e-5
        ends = []
        for sign in (1, -1):
            with edited(model, steer(hook, step, sign, pos=1)):
                ends.append(model(inputs)[..., 0].sum())
        np.testing.assert_allclose(
            gradient.item(), (ends[0] - ends[1]).item() / 2e-5, rtol=1e-6, atol=1e-9, err_msg=hook
        )


def test_reading_leaves_the_weights_gradients_as_they_are(cell: str) -> None:
    model, inputs = network(cell), sequences()
    expected = torch.autograd.grad(model(inputs).square().sum(), list(model.parameters()))
    kept: list[Tensor] = []
    handles = [
        point.register_forward_hook(lambda _, __, out: kept.append(out)) for point in model.hook_dict.values()
    ]
    found = torch.autograd.grad(model(inputs).square().sum(), list(model.parameters()))
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    kept.clear()
    model(inputs)
    direct = torch.autograd.grad(kept[-2].square().sum(), list(model.layers.parameters()))
    for handle in handles:
        handle.remove()
    plain_h = model(inputs, stop_at_layer=2)
    for ours, plain in zip(
        direct, torch.autograd.grad(plain_h.square().sum(), list(model.layers.parameters())), strict=True
    ):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


def test_an_edit_that_is_listened_to_is_recorded_once_as_it_came_to_be(cell: str) -> None:
    model, inputs = network(cell, layers=1), sequences()
    with edited(model, zero("layers.0.hook_h", unit=0)):
        h = capture(model, inputs, "layers.0.hook_h").tensor("layers.0.hook_h")
        out = model(inputs, stop_at_layer=1)
    torch.testing.assert_close(h, out, rtol=0, atol=1e-12)
    assert (h[..., 0] == 0).all()


def test_what_is_recorded_of_a_random_edit_is_what_the_network_went_on_with(cell: str) -> None:
    model, inputs, draws = network(cell, layers=1), sequences(), generator(0, "draws")

    def shaken(module: nn.Module, args: Any, h: Tensor) -> Tensor:
        return h + torch.randn(h.shape, generator=draws, dtype=h.dtype)

    kept: list[Tensor] = []
    with torch.no_grad():
        point = model.hook_dict["layers.0.hook_h"]
        reader = Reader(kept)
        handles = [point.register_forward_hook(shaken), point.register_forward_hook(reader)]
        out = model(inputs, stop_at_layer=1)
        for handle in handles:
            handle.remove()
    assert len(kept) == 1
    assert torch.equal(kept[0], out)


@pytest.mark.parametrize("seeds", [0, (3, 1)], ids=["one", "population"])
def test_a_sweep_gives_what_one_edit_at_a_time_gives(cell: str, seeds: Any) -> None:
    model, inputs = network(cell, seeds), sequences()
    edits = [zero(f"layers.0.{point}", pos=pos) for point in POINTS[cell] for pos in (0, 3, 6)]
    edits += [zero("layers.1.hook_h", unit=2), steer("layers.0.hook_h", torch.ones(6).double(), 0.1)]
    swept = sweep(model, inputs, edits, lambda output: output[..., 0])
    for number, edit in enumerate(edits):
        with torch.no_grad(), edited(model, edit):
            alone = model(inputs)[..., 0]
        np.testing.assert_allclose(swept.isel(edit=number).to_numpy(), alone, rtol=0, atol=1e-12)


class Reader:
    """A hook that promises to change nothing."""

    reads_only = True

    def __init__(self, kept: list[Tensor]) -> None:
        self.kept = kept

    def __call__(self, module: nn.Module, args: Any, out: Tensor) -> None:
        self.kept.append(out)


def test_a_hook_that_writes_into_the_trajectory_is_refused() -> None:
    model, inputs = network("gru"), sequences()
    for mode in (torch.no_grad(), torch.inference_mode()):
        handle = model.hook_dict["layers.0.hook_h"].register_forward_hook(lambda _, __, out: out.zero_())
        with mode, pytest.raises(Refused, match="return a new tensor"):
            model(inputs)
        handle.remove()


def test_a_backward_hook_is_refused_with_the_way_to_a_gradient() -> None:
    model, inputs = network("gru"), sequences()
    handle = model.hook_dict["layers.0.hook_h"].register_full_backward_hook(lambda *_: None)
    with pytest.raises(Refused, match=r"torch\.autograd\.grad"):
        model(inputs)
    handle.remove()


def test_the_forget_bias_lifts_the_forget_gate_alone() -> None:
    plain, lifted = network("lstm").layers[0].b_x, network("lstm", forget_bias=1.0).layers[0].b_x
    torch.testing.assert_close((lifted - plain).view(4, 6).mean(dim=1).tolist(), [0.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("reads", "count"), [({"features": 3}, 3), ({"vocabulary": 9, "features": 0, "d_model": 4}, 9)]
)
def test_parameters_are_counted(cell: str, reads: dict[str, int], count: int) -> None:
    model = network(cell, **reads)
    assert model.config.parameter_count == sum(value.numel() for value in model.parameters())
    assert model.config.resized(inputs=count, outputs=5).outputs == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 0}, "either numbers .* or tokens"),
        ({"vocabulary": 5}, "either numbers .* or tokens"),
        ({"d_model": 5}, "reads numbers"),
        ({"cell": "gru", "forget_bias": 1.0}, "Only an LSTM"),
        ({"cell": "lstn"}, "Nearest: lstm"),
        ({"units": 0}, "units is a whole number from 1"),
        ({"init_scale": float("nan")}, "init_scale is a finite number"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        network(**{"cell": "lstm", **changes})
