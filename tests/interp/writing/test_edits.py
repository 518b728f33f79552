"""Edits in force inside a `with`: what the network then computes, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hand_network import Exploding, HandNetwork, Point, hooks_of
from torch import Tensor

from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import Edit, edited, mean, patch, project_out, resample, steer, zero
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig

INPUTS = torch.arange(6.0).reshape(3, 2)
DOUBLE, PLUS = "double.hook_post", "plus.hook_post"
HOOK = "layers.0.hook_post"


def small_mlp(seeds: int | list[int] = 0) -> MLP:
    return MLP(MLPConfig(sizes=(5, 4, 3, 2), activation="tanh"), seeds=seeds)


def random_inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def output(model: torch.nn.Module, edits: Any, inputs: Tensor = INPUTS) -> Tensor:
    with torch.no_grad(), edited(model.eval(), edits):
        result: Tensor = model(inputs)
    return result


def at(model: torch.nn.Module, edits: Any, hook: str, inputs: Tensor) -> Tensor:
    """What passes a hook while the edits are in force."""
    with edited(model, edits):
        return capture(model, inputs, hook).tensor(hook)


def test_each_edit_does_what_it_says() -> None:
    model = HandNetwork()
    assert output(model, zero(DOUBLE)).tolist() == [2, 2, 2]
    assert output(model, zero(DOUBLE, feature=0)).tolist() == [4, 8, 12]
    assert output(model, patch(DOUBLE, 10.0, feature=-1)).tolist() == [11 + 1, 11 + 5, 11 + 9]
    assert output(model, steer(DOUBLE, torch.tensor([1.0, -3.0]), 2.0)).tolist() == [0, 8, 16]
    assert output(model, mean(DOUBLE, 2 * INPUTS)).tolist() == [12, 12, 12]
    assert output(model, mean(DOUBLE, torch.tensor([4.0, 6.0]))).tolist() == [12, 12, 12]
    assert output(model, project_out(DOUBLE, torch.tensor([0.0, 5.0]))).tolist() == [2, 6, 10]


def test_edits_of_one_hook_compose_in_the_order_given() -> None:
    model, ones = HandNetwork(), torch.ones(2)
    assert output(model, [zero(DOUBLE), steer(DOUBLE, ones)]).tolist() == [4, 4, 4]
    assert output(model, [steer(DOUBLE, ones), zero(DOUBLE)]).tolist() == [2, 2, 2]


def test_edits_of_several_hooks_ride_together() -> None:
    assert output(HandNetwork(), [zero(DOUBLE), steer(PLUS, torch.ones(2), 4.0)]).tolist() == [10, 10, 10]


def test_the_inner_of_two_blocks_acts_after_the_outer() -> None:
    model = HandNetwork()
    with edited(model.eval(), zero(DOUBLE)):
        assert output(model, steer(DOUBLE, torch.ones(2))).tolist() == [4, 4, 4]
        assert model(INPUTS).tolist() == [2, 2, 2]
    assert model(INPUTS).tolist() == [4, 12, 20]


def test_outside_the_restriction_every_bit_is_kept() -> None:
    model, inputs = small_mlp([3, 7]), random_inputs(6, 5)
    before = capture(model, inputs, HOOK).tensor(HOOK)
    after = at(
        model, steer(HOOK, torch.ones(4), 0.1, neuron=[1, 3], example=slice(0, 2), seed=7), HOOK, inputs
    )
    changed = torch.zeros_like(before, dtype=torch.bool)
    changed[1, :2, [1, 3]] = True
    assert torch.equal(before[~changed], after[~changed])
    torch.testing.assert_close(after[changed], before[changed] + 0.1)


def test_an_edit_of_one_seed_leaves_the_others_alone() -> None:
    model, inputs = small_mlp([3, 7]), random_inputs(6, 5)
    plain, zeroed = model(inputs), output(model, zero(HOOK, seed=7), inputs)
    assert torch.equal(zeroed[0], plain[0])
    torch.testing.assert_close(zeroed[1], output(model.member(7), zero(HOOK), inputs))


def test_a_patched_activation_gives_the_other_runs_output() -> None:
    model, clean, corrupt = small_mlp([3, 7]), random_inputs(6, 5), random_inputs(6, 5).flip(0)
    acts = capture(model, clean, "**")
    torch.testing.assert_close(output(model, patch(HOOK, acts), corrupt), model(clean))
    assert torch.equal(output(model, patch("hook_logits", acts.tensor("hook_logits")), corrupt), model(clean))


def test_mean_takes_reference_activations_of_any_number_of_examples() -> None:
    model, reference, inputs = small_mlp([3, 7]), random_inputs(50, 5), random_inputs(6, 5)
    acts = capture(model, reference, HOOK)
    expected = acts.tensor(HOOK).mean(dim=1, keepdim=True).expand(2, 6, 4)
    for given in (acts, acts[HOOK], acts.tensor(HOOK), acts[HOOK].mean("example")):
        torch.testing.assert_close(at(model, mean(HOOK, given), HOOK, inputs), expected)


def test_a_mean_that_could_lack_seed_or_example_is_refused() -> None:
    with pytest.raises(Refused, match="no certain `example` axis"):
        output(small_mlp([3, 7]), mean(HOOK, torch.zeros(2, 4)), random_inputs(6, 5))


def test_resampling_within_the_batch_gives_every_example_another_ones() -> None:
    model, inputs = small_mlp([3, 7]), random_inputs(40, 5)
    before = capture(model, inputs, HOOK).tensor(HOOK)
    after = at(model, resample(HOOK), HOOK, inputs)
    donors = (after[:, :, None] == before[:, None]).all(dim=-1)
    assert torch.equal(donors[0], donors[1])
    assert (donors.sum(dim=1) == 1).all()
    assert (donors.sum(dim=2) == 1).all()
    assert not donors[0].diagonal().any()


def test_resampling_from_a_source_draws_its_examples_by_seed() -> None:
    model, inputs = small_mlp(), random_inputs(30, 5)
    acts = capture(model, random_inputs(10, 5), HOOK)
    once, again = (at(model, resample(HOOK, acts, draw=4), HOOK, inputs) for _ in range(2))
    other = at(model, resample(HOOK, acts.tensor(HOOK), draw=5), HOOK, inputs)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    known = {tuple(row) for row in acts.tensor(HOOK).tolist()}
    assert {tuple(row) for row in torch.cat([once, other]).tolist()} <= known


def test_a_generator_goes_on_from_block_to_block() -> None:
    model, inputs, randomness = small_mlp(), random_inputs(30, 5), torch.Generator().manual_seed(0)
    first, second = (at(model, resample(HOOK, draw=randomness), HOOK, inputs) for _ in range(2))
    assert not torch.equal(first, second)


def test_one_example_has_no_other_to_draw_from() -> None:
    with pytest.raises(Refused, match="at least 2 examples; it has 1"):
        output(small_mlp(), resample(HOOK), random_inputs(1, 5))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("per_seed", [False, True])
def test_projection_removes_the_span_as_least_squares_does(rank: int, per_seed: bool) -> None:
    model, inputs = small_mlp([3, 7]), random_inputs(6, 5)
    directions = random_inputs(2, rank, 4) if per_seed else random_inputs(rank, 4)
    if not per_seed and rank == 2:
        directions = xr.DataArray(
            directions.numpy(), dims=["rank", "neuron"]
        )  # [2, 4] alone could be one per seed
    before = capture(model, inputs, HOOK).tensor(HOOK).numpy()
    after = at(model, project_out(HOOK, directions), HOOK, inputs).numpy()
    for place in range(2):
        basis = np.asarray(directions)[place] if per_seed else np.asarray(directions)
        fitted = np.linalg.lstsq(basis.T, before[place].T, rcond=None)[0]
        np.testing.assert_allclose(after[place], before[place] - fitted.T @ basis, atol=1e-6)


def test_projection_about_the_mean_keeps_the_mean() -> None:
    model, inputs = small_mlp([3, 7]), random_inputs(50, 5)
    acts, directions = capture(model, inputs, HOOK), random_inputs(2, 2, 4)
    before = acts.tensor(HOOK)
    for about in (acts, acts[HOOK], before, acts[HOOK].mean("example")):
        after = at(model, project_out(HOOK, directions, about=about), HOOK, inputs)
        torch.testing.assert_close(after.mean(dim=1), before.mean(dim=1))
        along = (after - after.mean(dim=1, keepdim=True)) @ directions.mT
        assert along.abs().max() < 1e-5


def test_dependent_directions_count_once_and_projection_twice_is_once() -> None:
    model, inputs, direction = small_mlp(), random_inputs(6, 5), random_inputs(4)
    once = at(model, project_out(HOOK, direction), HOOK, inputs)
    torch.testing.assert_close(
        at(model, project_out(HOOK, torch.stack([direction, -3 * direction])), HOOK, inputs), once
    )
    torch.testing.assert_close(at(model, [project_out(HOOK, direction)] * 2, HOOK, inputs), once)


@pytest.mark.parametrize(
    ("directions", "where", "said"),
    [
        (torch.zeros(4), {}, "are all zero"),
        (torch.full((4,), float("nan")), {}, "hold NaN or infinity"),
        (torch.ones(3), {}, r"Directions \[3\] do not fit"),
        (torch.ones(2, 4), {}, "could be one for each of 2 seeds, or 2 for all"),
        (torch.ones(3, 1, 4), {}, r"Directions \[3, 1, 4\] do not fit"),
        (torch.ones(1, 1, 1, 4), {}, "given shape"),
        (torch.ones(4), {"neuron": 1}, "lie along 'neuron', so the edit cannot be restricted on it"),
        (xr.DataArray(np.ones(6), dims=["example"]), {}, "do not fit"),
        (xr.DataArray(np.ones((1, 4)), dims=["a", "neurom"]), {}, "has no axis|do not fit"),
    ],
)
def test_directions_that_cannot_be_meant_are_refused(
    directions: Any, where: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        output(small_mlp([3, 7]), project_out(HOOK, directions, **where), random_inputs(6, 5))


def test_gradients_pass_through_edits() -> None:
    model, direction = small_mlp(), random_inputs(4).requires_grad_()
    inputs = random_inputs(6, 5).requires_grad_()
    with edited(
        model, [steer(HOOK, direction, 2.0), zero(HOOK, neuron=0), project_out(HOOK, torch.eye(4)[1])]
    ):
        model(inputs).sum().backward()
    assert direction.grad is not None
    assert direction.grad[:2].tolist() == [0, 0]
    assert (direction.grad[2:] != 0).all()
    assert inputs.grad is not None
    assert (inputs.grad != 0).any()


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        (lambda: zero("double.hook_pots"), r"Nearest: double\.hook_post"),
        (lambda: zero("double.*"), "There is no hook"),
        (lambda: zero(DOUBLE, featur=1), "'double.hook_post' has no axis 'featur': .*Nearest: feature"),
        (lambda: zero(DOUBLE, seed=0), "'double.hook_post' has no axis 'seed'"),
        (lambda: zero("hook_output"), "'hook_output' is read-only"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_before_the_network_runs(
    edits: Callable[[], Edit], said: str
) -> None:
    model = HandNetwork()
    with pytest.raises(Refused, match=said), edited(model, [steer(DOUBLE, torch.ones(2)), edits()]):
        pytest.fail("the block was entered")
    assert not any(hooks_of(model).values())


def test_an_edit_that_never_fired_is_an_error() -> None:
    model = HandNetwork(fault="silent").eval()
    with (
        pytest.raises(Refused, match=r"No edit fired \(double.hook_post\): run the network"),
        edited(model, zero(DOUBLE)),
    ):
        pass
    with pytest.raises(Refused, match=r"'plus.hook_post' did not fire, though the network ran"):
        output(model, [zero(DOUBLE), zero(PLUS)])
    assert not any(hooks_of(model).values())


def test_no_edits_at_all_change_nothing() -> None:
    assert output(HandNetwork(), []).tolist() == [4, 12, 20]


def test_the_blocks_own_exception_is_what_the_user_sees() -> None:
    model = HandNetwork()
    with pytest.raises(Exploding), edited(model, zero(DOUBLE)):
        raise Exploding
    assert not any(hooks_of(model).values())


def test_after_an_exception_in_the_pass_the_users_hooks_are_there_in_order() -> None:
    model, order = HandNetwork().train(), []
    point = model.hook_dict[DOUBLE]
    point.register_forward_hook(lambda *_: order.append("first"))

    def explode(*_: Any) -> None:
        raise Exploding

    point.register_forward_hook(lambda *_: order.append("second"))
    model.hook_dict[PLUS].register_forward_hook(explode)
    before = hooks_of(model)
    with pytest.raises(Exploding), edited(model, [zero(DOUBLE), zero(PLUS)]):
        model(INPUTS)
    assert hooks_of(model) == before
    assert order == ["first", "second"]
    assert model.training
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x, site: x[:, :1], "changed the shape"),
        (lambda x, site: x.double(), "changed the dtype from torch.float32 to torch.float64"),
        (lambda x, site: x.to("meta"), "changed the device"),
        (lambda x, site: None, "gave a NoneType, not a tensor"),
        (lambda x, site: x.mul_(0), "wrote into the tensor it was given"),
    ],
)
def test_a_change_of_ones_own_must_keep_the_rules(change: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        output(HandNetwork(), Edit(DOUBLE, change))


def test_a_new_kind_of_edit_is_one_function() -> None:
    assert output(HandNetwork(), Edit(DOUBLE, lambda x, site: 3 * x)).tolist() == [8, 32, 56]


def test_points_without_axes_can_be_edited_by_number() -> None:
    assert output(HandNetwork(axes=False), zero(DOUBLE, axis_1=1)).tolist() == [2, 6, 10]
    with pytest.raises(Refused, match="Nearest: axis_1"):
        output(HandNetwork(axes=False), zero(DOUBLE, axis_2=1))


def test_what_passes_must_be_a_tensor() -> None:
    with pytest.raises(Refused, match=r"'plus.hook_post' is a tuple"):
        output(HandNetwork(fault="tuple"), zero(PLUS))


def test_a_network_that_is_run_twice_is_edited_twice() -> None:
    model = HandNetwork().eval()
    with edited(model, patch(DOUBLE, 0.0)):
        assert model(INPUTS).tolist() == [*model(INPUTS[:2]).tolist(), 2] == [2, 2, 2]


def test_edits_are_frozen_compare_by_content_and_read_well() -> None:
    edit = steer(DOUBLE, torch.ones(2), 3.0, feature=[0, 1])
    assert edit == steer(DOUBLE, torch.ones(2), 3.0, feature=[0, 1])
    assert len({edit, steer(DOUBLE, torch.ones(2), 3.0, feature=[0, 1]), zero(DOUBLE)}) == 2
    assert edit != steer(DOUBLE, torch.zeros(2), 3.0, feature=[0, 1])
    assert repr(edit) == "Edit('double.hook_post', Add(direction=[2], strength=3.0), feature=[0, 1])"
    with pytest.raises(FrozenInstanceError):
        edit.hook = PLUS  # type: ignore[misc]


@pytest.mark.parametrize("hook", ["hook_input", HOOK, "layers.1.hook_pre", "hook_logits"])
def test_each_point_of_the_mlp_takes_every_kind_of_edit(hook: str) -> None:
    model, inputs = small_mlp([3, 7]), random_inputs(6, 5)
    acts = capture(model, inputs.flip(0), "**")
    plain, width = model(inputs), acts.tensor(hook).shape[-1]
    edits = [zero(hook), mean(hook, acts), resample(hook), patch(hook, acts), steer(hook, torch.ones(width))]
    for edit in [*edits, project_out(hook, torch.ones(width))]:
        assert not torch.allclose(output(model, edit, inputs), plain)
    assert torch.equal(model(inputs), plain)


def test_plain_points_of_a_users_module_need_no_axes_to_be_read_and_written() -> None:
    model = HandNetwork(axes=False)
    assert all(isinstance(point, Point) for point in model.hook_dict.values())
    acts = capture(model, INPUTS + 1, DOUBLE)
    assert output(model, patch(DOUBLE, acts)).tolist() == (2 * (INPUTS + 1) + 1).sum(dim=1).tolist()


@pytest.mark.parametrize(
    "edit",
    [
        zero(HOOK),
        patch(HOOK, torch.ones(2, 5, 4)),
        mean(HOOK, torch.ones(2, 7, 4), neuron=[1]),
        resample(HOOK),
        resample(HOOK, torch.ones(2, 7, 4)),
        steer(HOOK, torch.ones(4), seed=7),
        project_out(HOOK, torch.eye(4)[None, :2].expand(2, 2, 4), about=torch.ones(2, 7, 4)),
    ],
    ids=lambda edit: type(edit.change).__name__,
)
def test_values_on_the_processor_act_on_a_network_on_another_device(edit: Edit) -> None:
    model = MLP(MLPConfig(sizes=(3, 4, 2)), seeds=[3, 7]).to("meta")
    with edited(model, edit):
        assert model(torch.zeros(5, 3, device="meta")).device == torch.device("meta")
