"""What a decoding lets one state: every statement beside the controls it names."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import interp
from interp.locating.decoding import LABELS, NETWORKS
from interp.refusals import Refused


@pytest.fixture
def decoding() -> interp.Decoding:
    """Two hooks, eight seeds; every condition has an accuracy of its own: a tenth for each step along an axis."""
    coords = {
        "hook": ["layers.0.hook_post", "layers.1.hook_post"],
        "network": list(NETWORKS),
        "labels": list(LABELS),
        "seed": list(range(8)),
    }
    weights = (0.1, -0.2, -0.05, 0.001)
    shape = [len(values) for values in coords.values()]
    places = np.indices(shape)
    accuracy = 0.8 + sum(weight * place for weight, place in zip(weights, places, strict=True))
    return interp.Decoding("digit", tuple(range(10)), xr.DataArray(accuracy, coords, list(coords)), {})


def test_every_hook_has_three_statements_about_the_label(decoding: interp.Decoding) -> None:
    stated = [evidence.statement for evidence in interp.decodability(decoding, called="the digit")]
    assert stated[:3] == [
        "Training makes the digit easier to decode from layers.0.hook_post.",
        "The digit is easier to decode from layers.0.hook_post than from the input.",
        "The probe at layers.0.hook_post reads the digit rather than what inputs look like.",
    ]
    assert len(stated) == 6
    assert "'digit'" in interp.decodability(decoding)[0].statement


def test_controls_are_the_conditions_they_name(decoding: interp.Decoding) -> None:
    learned, beyond_input, selective = interp.decodability(decoding)[3:]
    first = {name: values[0] for name, values in learned.controls.items()}
    assert learned.values[0] == pytest.approx(0.9)
    assert first == pytest.approx({"untrained network": 0.7, "shuffled labels": 0.85})
    assert {name: values[0] for name, values in beyond_input.controls.items()} == pytest.approx(
        {"raw input": 0.5}
    )
    assert selective.values[0] == pytest.approx(0.1)
    assert {name: values[0] for name, values in selective.controls.items()} == pytest.approx(
        {"untrained network": 0.1, "raw input": 0.1, "no selectivity": 0.0}
    )


def test_a_condition_has_its_name(decoding: interp.Decoding) -> None:
    assert decoding.under("layers.0.hook_post", "shuffled labels")[3] == pytest.approx(0.753)
    with pytest.raises(Refused, match="Nearest: raw input"):
        decoding.under("layers.0.hook_post", "raw_input")
