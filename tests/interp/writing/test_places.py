"""Restrictions along named axes, against plain numpy indexing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from interp.refusals import Refused
from interp.writing.edits import zero
from interp.writing.places import Where, mask_of
from interp.writing.sweep import sweep
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

AXES, SHAPE, SEEDS = ("seed", "example", "pos", "neuron"), (3, 4, 5, 6), (7, 11, 13)


def selected(where: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Which entries of the tensor a restriction selects."""
    chosen = Where.of(where)
    positions, by_example = chosen.positions(AXES, SHAPE, SEEDS), chosen.by_example(AXES, SHAPE)
    return mask_of(positions, dict(zip(AXES, SHAPE, strict=True)), by_example).expand(SHAPE).numpy()


@st.composite
def choice(draw: st.DrawFn, length: int) -> Any:
    """A position, several, a mask or a slice that selects something."""
    positions = st.integers(-length, length - 1)
    several = st.lists(positions, min_size=1, max_size=length, unique_by=lambda n: n % length)
    masks = st.lists(st.booleans(), min_size=length, max_size=length).filter(any).map(np.array)
    slices = st.builds(slice, st.none() | positions, st.none() | positions, st.sampled_from([None, 1, 2]))
    kept = slices.filter(lambda s: len(range(length)[s]) > 0)
    return draw(st.one_of(positions, several, several.map(torch.tensor), masks, kept))


@given(pos=choice(5), neuron=choice(6), seed=st.sets(st.sampled_from(range(3)), min_size=1))
def test_a_restriction_selects_what_numpy_indexing_would(pos: Any, neuron: Any, seed: set[int]) -> None:
    expected = np.zeros(SHAPE, bool)
    along = [
        np.arange(n)[np.atleast_1d(k) if not isinstance(k, slice) else k] for n, k in ((5, pos), (6, neuron))
    ]
    expected[np.ix_(sorted(seed), range(4), *along)] = True
    where = {"pos": pos, "neuron": neuron, "seed": [SEEDS[place] for place in sorted(seed)]}
    np.testing.assert_array_equal(selected(where), expected)


def test_no_restriction_selects_everything() -> None:
    assert selected({}).all()


def test_seeds_are_named_not_counted() -> None:
    np.testing.assert_array_equal(selected({"seed": 11}).any(axis=(1, 2, 3)), [False, True, False])


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"pos": 5}, "pos=5 is beyond the axis: it has 5 positions, 0 to 4"),
        ({"pos": -6}, "pos=-6 is beyond"),
        ({"pos": [0, -5]}, r"pos=\[0, -5\] names a position twice"),
        ({"pos": []}, "is no choice along an axis"),
        ({"pos": slice(3, 3)}, r"pos=slice\(3, 3\) selects nothing of 5"),
        ({"pos": True}, "pos=True selects nothing"),
        ({"pos": None}, "pos=None selects nothing"),
        ({"pos": 1.5}, "is no choice along an axis"),
        ({"pos": [[1]]}, "is no choice along an axis"),
        ({"pos": "last"}, "is no choice along an axis"),
        ({"neuron": [True, False]}, "mask of 1 of 2: a mask has one entry per position, and the axis has 6"),
        ({"neuron": np.zeros(6, bool)}, "is no choice along an axis"),
        ({"seed": 8}, "There is no seed '8'"),
        ({"seed": slice(0, 2)}, "seeds are named one by one"),
    ],
)
def test_what_would_act_elsewhere_or_nowhere_is_refused(where: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        selected(where)


def test_restrictions_compare_by_content_and_can_be_hashed() -> None:
    assert Where.of({"neuron": [1, 3]}) == Where.of({"neuron": torch.tensor([1, 3])})
    assert len({Where.of({"neuron": np.array([1, 0])}), Where.of({"neuron": [1, 0]})}) == 1
    assert Where.of({"neuron": [1, 0]}) != Where.of({"neuron": [True, False]})
    assert hash(Where.of({"pos": slice(1, 2)})) == hash(Where.of({"pos": slice(1, 2)}))
    assert repr(Where.of({"pos": -1, "neuron": slice(1, None)})) == "pos=-1, neuron=slice(1, None)"


def test_a_series_of_other_examples_or_in_another_order_is_refused_where_theirs_are_known() -> None:
    model = Transformer(TransformerConfig(5, 4, layers=1, d_model=8, heads=2, d_mlp=4)).double().eval()
    tokens = torch.randint(5, (4, 4), generator=torch.Generator().manual_seed(0))
    table = pd.DataFrame({"last": [1, 3, 0, 2]}, index=[10, 11, 12, 13])
    data = SimpleNamespace(inputs=tokens, examples=table)

    def swept(last: Any, inputs: Any = data) -> Any:
        return sweep(model, inputs, [zero("hook_embed", pos=last)], lambda logits: logits[:, -1, 0]).values

    expected = swept(xr.DataArray(table["last"].to_numpy(), dims="example"))
    for fitting in (table["last"], pd.Series([1, 3, 0, 2])):
        np.testing.assert_array_equal(swept(fitting), expected)
    np.testing.assert_array_equal(swept(table["last"], tokens), expected)
    for foreign in (table["last"].sort_values(), table["last"].set_axis([0, 2, 4, 6])):
        with pytest.raises(Refused, match=r"is not that of the examples \(10, 11, 12, 13\)"):
            swept(foreign)


def test_keys_and_values_are_said_to_have_key_heads() -> None:
    axes = ("example", "pos", "key_head", "d_head")
    with pytest.raises(
        Refused, match=r"has no axis 'head': its axes are \[example, pos, key_head, d_head\]. Keys and"
    ):
        Where.of({"head": 0}).check_axes("blocks.0.attn.hook_k", axes)
    with pytest.raises(Refused, match=r"has no axis 'd_haed': .* Nearest: d_head\."):
        Where.of({"d_haed": 0}).check_axes("blocks.0.attn.hook_k", axes)
