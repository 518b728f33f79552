"""Values meet the hook's axes by name, or by the one reading their shape allows."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.refusals import Refused
from interp.writing.aligning import aligned
from interp.writing.sites import Site
from interp.writing.values import Value, value_of

AXES, SHAPE = ("seed", "example", "neuron"), (2, 3, 4)
LIKE = torch.zeros(SHAPE)


def site(**positions: list[int]) -> Site:
    return Site("h", AXES, (7, 11), positions)


def spread(value: Any, **positions: list[int]) -> Tensor:
    return aligned(value_of(value, "h"), LIKE, site(**positions)).expand(SHAPE)


def numbered(*shape: int) -> Tensor:
    return torch.arange(float(np.prod(shape))).reshape(shape)


@given(st.sets(st.sampled_from(AXES), min_size=1), st.randoms(use_true_random=False))
def test_named_dimensions_are_put_in_order_and_missing_ones_broadcast(
    chosen: set[str], randomness: Any
) -> None:
    dims = sorted(chosen)
    randomness.shuffle(dims)
    value = xr.DataArray(numbered(*(SHAPE[AXES.index(d)] for d in dims)).numpy(), dims=dims)
    expected = value.broadcast_like(xr.DataArray(np.zeros(SHAPE), dims=AXES)).transpose(*AXES)
    np.testing.assert_array_equal(spread(value), expected)


@pytest.mark.parametrize(
    ("shape", "view"),
    [((2, 3, 4), (2, 3, 4)), ((3, 4), (1, 3, 4)), ((2, 4), (2, 1, 4)), ((4,), (1, 1, 4)), ((), (1, 1, 1))],
)
def test_an_unnamed_tensor_is_read_in_the_one_way_its_shape_allows(shape: Any, view: Any) -> None:
    value = numbered(*shape)
    torch.testing.assert_close(spread(value), value.reshape(view).expand(SHAPE))


def test_two_readings_are_refused() -> None:
    square = Site("h", AXES, (7, 11), {})
    with pytest.raises(
        Refused, match=r"could be \[example, neuron\] or \[seed, neuron\]: give it as an xarray"
    ):
        aligned(Value(numbered(2, 4)), torch.zeros(2, 2, 4), square)


@pytest.mark.parametrize("shape", [(3,), (1, 4), (2, 1, 4), (4, 3), (2, 3), (2, 3, 4, 1)])
def test_nothing_broadcasts_by_position(shape: tuple[int, ...]) -> None:
    with pytest.raises(Refused, match=r"does not fit 'h' \[seed 2, example 3, neuron 4\]"):
        spread(torch.zeros(shape))


def test_a_dimension_the_hook_does_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(Refused, match=r"'h' has no axis 'neurons': .*Nearest: neuron"):
        spread(xr.DataArray(np.zeros(4), dims=["neurons"]))


def test_a_named_dimension_of_another_length_is_refused() -> None:
    with pytest.raises(Refused, match=r"A value \[neuron 1\] does not fit"):
        spread(xr.DataArray(np.zeros(1), dims=["neuron"]))


def test_other_seeds_or_another_order_of_them_are_refused() -> None:
    values = np.zeros((2, 4))
    spread(xr.DataArray(values, dims=["seed", "neuron"], coords={"seed": [7, 11]}))
    with pytest.raises(Refused, match=r"is of seeds \(11, 7\)"):
        spread(xr.DataArray(values, dims=["seed", "neuron"], coords={"seed": [11, 7]}))
    with pytest.raises(Refused, match=r"is of seeds \(11,\)"):
        spread(xr.DataArray(values[:1], dims=["seed", "neuron"], coords={"seed": [11]}), seed=[0])


def test_along_a_restricted_axis_a_value_is_whole_or_has_one_entry_per_position() -> None:
    whole = spread(numbered(4), neuron=[3, 1])
    assert whole[0, 0].tolist() == [0, 1, 2, 3]
    chosen = spread(torch.tensor([30.0, 10.0]), neuron=[3, 1])
    assert chosen[0, 0, [1, 3]].tolist() == [10, 30]
    of_one_seed = spread(numbered(3, 4), seed=[1])
    assert torch.equal(of_one_seed[1], numbered(3, 4))


def test_a_value_takes_the_tensors_dtype() -> None:
    assert aligned(Value(np.float64(0.5) * np.ones(4)), LIKE.half(), site()).dtype == torch.float16


def test_nan_is_refused() -> None:
    with pytest.raises(Refused, match="holds NaN"):
        spread(float("nan"))


@pytest.mark.parametrize("value", ["mean", None, [1.0], torch.tensor([True]), torch.tensor([1j])])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises(Refused, match=r"is no value for 'h'|is no activation"):
        value_of(value, "h")


def test_of_a_mapping_the_entry_of_the_hook_is_meant() -> None:
    assert value_of({"h": numbered(4)}, "h") == Value(numbered(4))
    with pytest.raises(Refused, match=r"no hook in the activations given 'h'. Nearest: hh"):
        value_of({"hh": 1.0}, "h")


def test_values_compare_by_content() -> None:
    names = [xr.DataArray(np.zeros((4, 4)), dims=dims) for dims in permutations(["example", "neuron"])]
    assert Value(names[0]) == Value(names[0].copy())
    assert Value(names[0]) != Value(names[1])
    assert Value(numbered(4)) != Value(numbered(4).double())
    assert hash(Value(numbered(4))) == hash(Value(numbered(4)))
    assert [repr(Value(v)) for v in (2.5, numbered(2, 4), names[0])] == [
        "2.5",
        "[2, 4]",
        "[example 4, neuron 4]",
    ]


def test_a_value_along_all_positions_in_another_order_is_refused() -> None:
    whole = xr.DataArray(numbered(4).numpy(), dims="neuron")
    with pytest.raises(Refused, match="selects all 4 in another order"):
        spread(whole, neuron=[3, 2, 1, 0])
    assert spread(whole, neuron=[0, 1, 2, 3])[0, 0].tolist() == [0, 1, 2, 3]
    three = spread(xr.DataArray(numbered(3).numpy(), dims="neuron"), neuron=[3, 2, 1])
    assert three[0, 0, 1:].tolist() == [2, 1, 0]
    captured = Value(whole)
    captured.whole = True  # as Activations are
    assert spread(captured, neuron=[3, 2, 1, 0])[0, 0].tolist() == [0, 1, 2, 3]
    assert spread(5.0, neuron=[3, 2, 1, 0]).unique().tolist() == [5]


@pytest.mark.parametrize("order", [[7, 11], [11, 7]])
def test_labelled_seeds_are_found_by_their_labels_in_whichever_order(order: list[int]) -> None:
    value = xr.DataArray(np.array(order, np.float32), dims="seed", coords={"seed": order})
    places = [(7, 11).index(seed) for seed in order]
    assert spread(value, seed=places)[:, 0, 0].tolist() == [7, 11]
    in_order = xr.DataArray(np.array([7, 11], np.float32), dims="seed", coords={"seed": [7, 11]})
    assert spread(in_order, seed=places)[:, 0, 0].tolist() == [7, 11]


class Raced(Value):
    """Whoever looks at `laid` a third time finds what another thread has laid there since."""

    looks = 0

    @property  # type: ignore[override]
    def laid(self) -> Any:
        self.looks += 1
        return self.kept if self.looks < 3 else (None, torch.zeros(1, 1, 1))

    @laid.setter
    def laid(self, given: Any) -> None:
        self.kept, self.looks = given, 0


def test_what_another_thread_lays_in_between_is_not_taken() -> None:
    value = Raced(xr.DataArray(numbered(4).numpy(), dims="neuron"))
    for _ in range(2):  # the second time it is laid already
        value.looks = 0
        assert aligned(value, LIKE, site()).flatten().tolist() == [0, 1, 2, 3]
