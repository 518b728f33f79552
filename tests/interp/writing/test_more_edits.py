"""Freeze, scale and noise; positions that differ from example to example; edits on a pretrained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hand_network import HandNetwork, hooks_of
from torch import Tensor

from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import add_noise, edited, freeze, patch, scale, steer, zero
from interp.writing.verifying import verify_effect
from models.networks.pretrained import load_pretrained
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

INPUTS = torch.arange(6.0).reshape(3, 2)
INPUT, DOUBLE, PLUS = "hook_input", "double.hook_post", "plus.hook_post"
Z, RESID = "blocks.1.attn.hook_z", "blocks.0.hook_resid_post"


def small_transformer(seeds: Any = 0) -> Transformer:
    config = TransformerConfig(vocabulary=11, context=6, layers=2, d_model=8, heads=2, d_mlp=10)
    return Transformer(config, seeds=seeds)


def some_tokens(examples: int = 3, length: int = 6) -> Tensor:
    return torch.randint(11, (examples, length), generator=torch.Generator().manual_seed(5))


def output(model: torch.nn.Module, edits: Any, inputs: Tensor) -> Tensor:
    with torch.no_grad(), edited(model.eval(), edits):
        result: Tensor = model(inputs)
    return result


def test_scaling_multiplies_the_distance_from_its_centre() -> None:
    model = HandNetwork()
    assert output(model, scale(DOUBLE, 0.5), INPUTS).tolist() == [3, 7, 11]
    assert output(model, scale(DOUBLE, 0.0, about=torch.tensor([1.0, 2.0])), INPUTS).tolist() == [5, 5, 5]
    assert output(model, scale(DOUBLE, 3.0, about=2 * INPUTS, feature=1), INPUTS).tolist() == [-4, 12, 28]


def test_what_is_frozen_stays_whatever_changes_before_it() -> None:
    model = HandNetwork()
    acts = capture(model, INPUTS, DOUBLE)
    assert output(model, [steer(INPUT, torch.ones(2)), freeze(DOUBLE, acts)], INPUTS).tolist() == [4, 12, 20]
    half = [steer(INPUT, torch.ones(2)), freeze(DOUBLE, acts, feature=0)]
    assert output(model, half, INPUTS).tolist() == [6, 14, 22]


def test_one_value_for_all_examples_freezes_nothing() -> None:
    with pytest.raises(Refused, match="no `example` axis"):
        output(HandNetwork(), freeze(DOUBLE, torch.ones(2)), INPUTS)


def test_noise_has_its_standard_deviation_and_its_seed() -> None:
    model, inputs = HandNetwork(), torch.zeros(4000, 2)
    with edited(model, add_noise(INPUT, 3.0, draw=1)):
        noisy = capture(model, inputs, INPUT).tensor(INPUT)
        again = capture(model, inputs, INPUT, batch_size=4000).tensor(INPUT)
    assert abs(float(noisy.std()) - 3) < 0.15
    assert not torch.equal(noisy, again)
    first, second, other = (output(model, add_noise(DOUBLE, 1.0, draw=draw), inputs) for draw in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_second_pass_in_a_block_draws_other_noise_and_another_block_the_same() -> None:
    def both() -> list[Tensor]:
        with edited(model, add_noise(DOUBLE, 1.0)):
            return [model(INPUTS) for _ in range(2)]

    model = HandNetwork().eval()
    (first, second), again = both(), both()
    assert not torch.equal(first, second)
    assert torch.equal(torch.stack(again), torch.stack([first, second]))
    assert not any(hooks_of(model).values())


def test_noise_may_differ_in_size_from_place_to_place_and_is_alike_for_every_seed() -> None:
    model = small_transformer([3, 7])
    std = xr.DataArray([0.0, 1.0] * 4, dims="d_model")
    before = capture(model, some_tokens(), RESID).tensor(RESID)
    with edited(model, add_noise(RESID, std)):
        added = capture(model, some_tokens(), RESID).tensor(RESID) - before
    assert (added[..., ::2] == 0).all()
    assert (added[..., 1::2] != 0).all()
    torch.testing.assert_close(added[0], added[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("last", [pd.Series([1, 4, -1]), xr.DataArray([1, 4, 5], dims="example")])
def test_a_position_of_its_own_for_every_example(last: Any) -> None:
    model, tokens = small_transformer([3, 7]), some_tokens()
    before = capture(model, tokens, Z).tensor(Z)
    with edited(model, zero(Z, pos=last, head=1)):
        after = capture(model, tokens, Z).tensor(Z)
    expected = before.clone()
    for example, pos in enumerate((1, 4, 5)):
        expected[:, example, pos, 1] = 0
    assert torch.equal(after, expected)


def test_a_span_of_its_own_for_every_example() -> None:
    model, tokens = small_transformer(), some_tokens()
    spans = np.zeros((6, 3), bool)
    spans[1:3, 0], spans[4:, 2] = True, True
    before = capture(model, tokens, RESID).tensor(RESID)
    with edited(model, scale(RESID, -1.0, pos=xr.DataArray(spans, dims=["pos", "example"]))):
        after = capture(model, tokens, RESID).tensor(RESID)
    expected = torch.where(torch.from_numpy(spans.T)[..., None], -before, before)
    assert torch.equal(after, expected)


def test_one_value_for_every_example_lands_at_its_own_position() -> None:
    model, tokens, values = small_transformer(), some_tokens(), torch.randn(3, 8)
    with edited(model, patch(RESID, values, pos=pd.Series([0, 2, 5]))):
        after = capture(model, tokens, RESID).tensor(RESID)
    assert torch.equal(after[range(3), [0, 2, 5]], values)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"pos": pd.Series([1, 2])}, "one for each example is needed, and there are 3"),
        ({"pos": pd.Series([1, 2, 6])}, "pos=6 is beyond"),
        ({"pos": pd.Series([1.0, 2.0, 3.0])}, "one whole number each"),
        ({"pos": xr.DataArray(np.zeros((3, 6), bool), dims=["example", "pos"])}, "of which one is true"),
        ({"pos": xr.DataArray(np.ones((3, 5), bool), dims=["example", "pos"])}, "5 truth values each"),
        ({"pos": xr.DataArray(np.ones((3, 6), bool), dims=["example", "head"])}, r"along \[example, head\]"),
        ({"example": pd.Series([1, 2, 0])}, "cannot differ from example to example"),
    ],
)
def test_positions_by_example_that_cannot_be_meant_are_refused(where: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        output(small_transformer(), zero(RESID, **where), some_tokens())


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda: scale(DOUBLE, float("nan")), "is a finite number; given nan"),
        (lambda: steer(DOUBLE, torch.ones(2), float("inf")), "strength at 'double.hook_post' is a finite"),
        (lambda: add_noise(DOUBLE, -1.0), "below 0"),
        (lambda: add_noise(DOUBLE, 1.0, draw="no"), "draw is a seed"),  # type: ignore[arg-type]
        (lambda: zero(3), "A hook is named by its name, a string; given 3"),  # type: ignore[arg-type]
        (lambda: patch(DOUBLE, np.array(["a"])), "dtype"),
        (lambda: patch(DOUBLE, torch.ones(2, dtype=torch.float64) * 1e300), "too large for the network's"),
        (lambda: DOUBLE, "is no edit: make one"),
    ],
)
def test_what_is_no_edit_is_refused(edit: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        output(HandNetwork(), [edit()], INPUTS)


def test_verified_effects_are_the_largest_changes_when_an_edit_is_left_out() -> None:
    model = HandNetwork()
    effects = verify_effect(model, INPUTS, [zero(DOUBLE, feature=0), steer(PLUS, torch.ones(2))])
    assert effects.dims == ("edit", "example")
    assert effects.values.tolist() == [[0, 4, 8], [2, 2, 2]]
    assert not any(hooks_of(model).values())


def test_edits_without_effect_are_named() -> None:
    acts = capture(HandNetwork(), INPUTS, DOUBLE)
    same, overwritten = patch(DOUBLE, acts), scale(INPUT, 2.0)
    with pytest.raises(Refused, match=r"1 of 1 edits change .* none of the 3 examples: Edit\('double"):
        verify_effect(HandNetwork(), INPUTS, same)
    with pytest.raises(Refused, match=r"1 of 2 edits .* Edit\('hook_input'"):
        verify_effect(HandNetwork(), INPUTS, [overwritten, zero(DOUBLE)])
    assert (verify_effect(HandNetwork(), INPUTS, [overwritten, freeze(DOUBLE, acts, feature=0)]) >= 0).all()


def test_a_position_that_the_output_never_sees_has_no_effect() -> None:
    model, tokens = small_transformer([3, 7]), some_tokens()
    assert verify_effect(model, tokens, zero(RESID, pos=5)).dims == ("edit", "seed", "example")
    with pytest.raises(Refused, match="none of the 3 examples"):
        verify_effect(model, tokens, zero("blocks.0.attn.hook_pattern", query_pos=0, key_pos=3))


@pytest.mark.real_data
def test_each_point_of_a_pretrained_network_takes_every_edit(data_dir: Path) -> None:
    model = load_pretrained(data_dir / "stories260K")
    tokens = model.encode("Once upon a time there was").repeat(2, 1)
    tokens[1] = tokens[1].flip(0)
    other = capture(model, tokens.flip(0), "**")
    hooks_before = hooks_of(model)
    for name in (name for name in model.hook_dict if ".2." in name or "." not in name):
        last = {"query_pos": -1} if "query_pos" in other[name].dims else {"pos": -1}
        for edit in (patch(name, other), scale(name, 1.5), patch(name, other, **last)):
            verify_effect(model, tokens, edit)
    assert hooks_of(model) == hooks_before
