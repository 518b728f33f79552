"""The data set: splits, choices of rows, digests, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from models.data.dataset import Dataset
from models.refusals import Refused

SPLIT = ["network", "network", "probe", "test", "network", "test"]


def own(**changes: Any) -> Dataset:
    arrays: dict[str, Any] = {
        "inputs": np.arange(12, dtype=np.float64).reshape(6, 2) / 12,
        "targets": [0, 1, 2, 0, 1, 2],
        "split": SPLIT,
    } | changes
    return Dataset.from_arrays(arrays.pop("inputs"), arrays.pop("targets"), **arrays)


def test_a_split_holds_its_rows_in_order() -> None:
    data = own()
    assert data.network.inputs.tolist() == data.inputs[[0, 1, 4]].tolist()
    assert data.probe.targets.tolist() == [2]
    assert data.test.examples["label"].tolist() == [0, 2]
    assert data.test.examples.index.tolist() == [0, 1]
    assert (len(data), len(data.network), len(data.probe), len(data.test)) == (6, 3, 1, 2)
    assert data.network is data.network
    assert data.classes == data.probe.classes == 3


def test_an_empty_split_is_refused_with_the_figures() -> None:
    data = own(split=["network"] * 5 + ["test"])
    with pytest.raises(Refused, match="no example in the split 'probe': network 5, probe 0, test 1"):
        _ = data.probe


@pytest.mark.parametrize(
    "which",
    [
        [3, 1],
        np.array([3, 1]),
        torch.tensor([3, 1]),
        pd.Series([3, 1]),
    ],
)
def test_rows_are_picked_in_the_order_given(which: Any) -> None:
    assert own().subset(which).targets.tolist() == [0, 1]


def test_a_mask_from_the_table_picks_rows() -> None:
    data = own()
    assert data.subset(data.examples["label"] == 2).inputs.tolist() == data.inputs[[2, 5]].tolist()
    assert len(data.subset([True, False, False, False, False, True])) == 2
    assert len(data.subset(data.targets == 1)) == 2


def test_neighbouring_rows_share_memory_and_others_do_not() -> None:
    data = own()
    assert data.subset([1, 2, 3]).inputs.data_ptr() == data.inputs[1].data_ptr()
    assert data.subset([1, 3]).inputs.untyped_storage().data_ptr() != data.inputs.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([True, False], "2 entries for 6 examples"),
        ([False] * 6, "None of the 6 examples"),
        ([], "None of the 6 examples"),
        ([0, 6], "from 0 to 6 do not fit: allowed are 0 to 5"),
        ([-1], "from -1 to -1 do not fit"),
        ([0.5], "type float64"),
        ([[0]], r"shape \[1, 1\]"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(which: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        own().subset(which)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": [0, 1]}, "inputs 6, targets 2, examples 6, split 6"),
        ({"split": SPLIT[:5]}, "split 5"),
        ({"examples": pd.DataFrame({"writer": [1, 2]})}, "examples 2"),
        ({"inputs": np.full((6, 2), np.nan)}, "6 of 6 inputs have NaN or Inf, the first in row 0"),
        ({"inputs": np.array([[0.0, 1.0]] * 5 + [[np.inf, 0.0]])}, "1 of 6 inputs .* row 5"),
        ({"split": ["training", *SPLIT[1:]]}, "no split 'training'"),
        ({"split": ["tset", *SPLIT[1:]]}, "Nearest: test"),
        ({"targets": [-1, 0, 0, 0, 0, 0]}, "from -1 to 0; 1 classes are 0 to 0"),
        (
            {"targets": [0.0, 1.0, 2.0, np.nan, 0.0, 0.0]},
            "1 of 6 targets have NaN or Inf, the first in row 3",
        ),
        ({"targets": np.zeros((6, 2), dtype=int)}, "Targets have the shape"),
        ({"inputs": np.zeros((6, 2), dtype=np.uint8)}, "divided by 255 first"),
        ({"inputs": np.zeros(6)}, r"shape \[6\]"),
        ({"inputs": np.zeros((6, 0))}, r"\[6, 0\]"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        own(**changes)


def test_a_table_that_does_not_fit_is_refused() -> None:
    data = own()
    cases = {
        "index": data.examples.set_index(pd.Index(range(1, 7))),
        "no column 'split'": data.examples.drop(columns="split"),
        "columns of one name": pd.concat([data.examples, data.examples], axis=1),
    }
    for message, table in cases.items():
        with pytest.raises(Refused, match=message):
            Dataset("own", data.inputs, data.targets, table, None, 3, "")


def test_an_image_shape_must_have_as_many_pixels() -> None:
    data = own()
    with pytest.raises(Refused, match="3 x 3 do not have 2 pixels"):
        Dataset("own", data.inputs, data.targets, data.examples, (3, 3), 3, "")


def test_images_are_flattened_row_by_row_and_given_back() -> None:
    pictures = np.random.default_rng(0).random((6, 3, 4))
    data = own(inputs=pictures)
    assert data.image_shape == (3, 4)
    assert data.inputs[2, 5] == pytest.approx(pictures[2, 1, 1])
    assert np.allclose(data.images.numpy(), pictures)
    with pytest.raises(Refused, match="no images"):
        _ = own().images


def test_numbers_to_predict_become_columns() -> None:
    data = own(targets=[0.5] * 6)
    assert data.targets.shape == (6, 1)
    assert data.classes == 0
    assert "label" not in data.examples


def test_the_users_arrays_stay_the_users() -> None:
    inputs, table = np.zeros((6, 2)), pd.DataFrame({"writer": range(6)})
    data = own(inputs=inputs, examples=table)
    inputs[:], table["writer"] = 1, 0
    assert data.inputs.sum() == 0
    assert data.examples["writer"].tolist() == list(range(6))
    table = data.examples.copy()
    again = Dataset("own", data.inputs, data.targets, table, None, 3, "")
    table["writer"] = -1
    assert again.examples["writer"].tolist() == list(range(6))


def test_a_digest_depends_on_every_part_and_only_on_contents() -> None:
    table = pd.DataFrame({"writer": range(6), "name": list("abcdef"), "slant": [0.5] * 6})
    base = own(examples=table)
    assert own(examples=table, name="another", source="elsewhere").digest == base.digest
    assert own(examples=table[["slant", "name", "writer"]]).digest == base.digest
    others = [
        own(examples=table, inputs=base.inputs.numpy() + np.float32(1e-6)),
        own(examples=table, targets=[0, 1, 2, 0, 2, 1]),
        own(examples=table, split=[*SPLIT[:5], "probe"]),
        own(examples=table.assign(writer=0)),
        own(examples=table.assign(name="a")),
        own(examples=table.assign(slant=0.6)),
        own(examples=table.rename(columns={"writer": "author"})),
        own(),
        base.network,
    ]
    assert len({data.digest for data in [base, *others]}) == len(others) + 1


def test_last_bits_of_a_measure_do_not_change_the_digest() -> None:
    measured = [own(examples=pd.DataFrame({"slant": [value] * 6})) for value in (0.1 + 0.2, 0.3, 0.31)]
    assert measured[0].digest == measured[1].digest != measured[2].digest


def test_a_digest_is_the_sum_of_the_bytes_it_says() -> None:
    data = own(inputs=[[0.0, 1.0]], targets=[0], split=["test"])
    by_hand = hashlib.sha256(b"[null, 1]")
    by_hand.update(b'["<f4", [1, 2]]' + bytes.fromhex("00000000 0000803f"))
    by_hand.update(b'["<i8", [1]]' + bytes(8))
    by_hand.update(b'"label"' + b'["<i8", [1]]' + bytes(8))
    by_hand.update(json.dumps("split").encode() + b'["test"]')
    assert data.digest == by_hand.hexdigest()


def test_a_notebook_shows_figures_and_escapes_text() -> None:
    data = own(name="<b>mine</b>")
    html = data._repr_html_()
    assert "<b>mine</b>" not in html.replace("&lt;b&gt;mine&lt;/b&gt;", "")
    assert "3 classes" in html
    assert "network 3, probe 1, test 2" in repr(data)


def test_targets_that_are_names_are_refused_with_what_to_do() -> None:
    with pytest.raises(Refused, match=r"given <U3\. `pandas\.factorize` numbers"):
        Dataset.from_arrays([[0.0], [1.0]], ["cat", "dog"], split=["network", "test"])
