"""Activations: an immutable mapping of labelled arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from interp.reading.activations import Activations
from interp.refusals import Refused

AXES = {"layers.0.hook_post": ("seed", "example", "neuron"), "hook_input": ("example", "pixel")}


def example_activations(dtype: torch.dtype = torch.float32) -> Activations:
    values = {
        "layers.0.hook_post": torch.arange(12.0).reshape(2, 3, 2).to(dtype),
        "hook_input": torch.zeros(3, 4),
    }
    examples = pd.DataFrame({"digit": [7, 7, 1], "writer": ["a", "b", "a"]}, index=[10, 20, 30])
    return Activations(values, axes=AXES, examples=examples, seeds=(5, 6))


def test_it_is_a_mapping_in_the_order_given() -> None:
    acts = example_activations()
    assert list(acts) == list(acts.names) == list(AXES)
    assert len(acts) == 2
    assert "hook_input" in acts
    assert "hook_inptu" not in acts
    assert acts.get("hook_inptu") is None
    assert acts.axes("hook_input") == ("example", "pixel")


def test_arrays_carry_axes_seeds_and_what_is_known_of_the_examples() -> None:
    array = example_activations()["layers.0.hook_post"]
    assert array.dims == ("seed", "example", "neuron")
    assert array.sel(seed=6).values.tolist() == [[6, 7], [8, 9], [10, 11]]
    means = array.groupby("digit").mean("example").sel(seed=5, digit=7)
    assert means.values.tolist() == [1, 2]
    assert array.isel(example=array.writer == "a").sizes["example"] == 2


def test_the_tensor_and_the_array_share_memory() -> None:
    acts = example_activations()
    tensor = acts.tensor("hook_input")
    tensor[0, 0] = 5
    assert acts["hook_input"][0, 0] == 5
    assert acts["hook_input"] is acts["hook_input"]


def test_nothing_in_it_can_be_replaced_or_overwritten() -> None:
    acts = example_activations()
    with pytest.raises(TypeError):
        acts["hook_input"] = torch.zeros(3, 4)  # type: ignore[index]
    with pytest.raises(ValueError, match="destination is"):
        acts["hook_input"][0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        acts["hook_input"].values += 1
    examples = acts.examples
    examples["digit"] = 0
    assert acts.examples["digit"].tolist() == [7, 7, 1]


def test_a_table_changed_later_changes_nothing() -> None:
    examples = pd.DataFrame({"digit": [1, 2, 3]})
    acts = Activations({"h": torch.zeros(3)}, axes={"h": ("example",)}, examples=examples)
    examples["digit"] = 0
    examples["late"] = 1
    assert acts.examples["digit"].tolist() == [1, 2, 3]
    assert list(acts["h"].coords) == ["digit"]


def test_bfloat16_is_shown_as_float32() -> None:
    acts = example_activations(torch.bfloat16)
    assert acts["layers.0.hook_post"].dtype == np.float32
    assert acts.tensor("layers.0.hook_post").dtype == torch.bfloat16


def test_a_mistyped_name_is_refused_with_the_nearest() -> None:
    acts = example_activations()
    for ask in (acts.__getitem__, acts.tensor, acts.axes):
        with pytest.raises(
            Refused, match=r"no captured hook 'layers.0.hook_pst'. Nearest: layers.0.hook_post"
        ):
            ask("layers.0.hook_pst")


@pytest.mark.parametrize(
    ("shape", "seeds", "said"),
    [
        ((2, 4, 2), (5, 6), "3 examples and 2 seeds"),
        ((2, 3, 2), (5,), "3 examples and 1 seeds"),
        ((3, 2), (5, 6), r"axes \[seed, example, neuron\]"),
    ],
)
def test_lengths_that_contradict_the_table_or_the_seeds_are_refused(
    shape: tuple[int, ...], seeds: tuple[int, ...], said: str
) -> None:
    examples = pd.DataFrame(index=range(3))
    with pytest.raises(Refused, match=said):
        Activations(
            {"h": torch.zeros(shape)}, axes={"h": AXES["layers.0.hook_post"]}, examples=examples, seeds=seeds
        )


def test_it_shows_itself_as_a_table() -> None:
    acts = example_activations()
    page = acts._repr_html_()
    assert page.count("<tr>") == 3
    assert "<td>seed, example, neuron</td><td>2 × 3 × 2</td><td>float32</td>" in page
    assert "3 examples, 2 seeds" in repr(acts)
