"""A thousand random edits, each with one random mistake: all of them clear errors, and no hook is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hand_network import HandNetwork, hooks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import (
    Edit,
    add_noise,
    edited,
    freeze,
    mean,
    patch,
    project_out,
    resample,
    scale,
    steer,
    zero,
)
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

TRANSFORMER = TransformerConfig(vocabulary=11, context=5, layers=1, d_model=8, heads=2, d_mlp=6)
NETWORKS: dict[str, tuple[nn.Module, Tensor]] = {
    "mlp": (MLP(MLPConfig((5, 4, 3)), seeds=0), torch.rand(3, 5)),
    "population": (MLP(MLPConfig((5, 4, 3)), seeds=[3, 7]), torch.rand(3, 5)),
    "transformer": (Transformer(TRANSFORMER, seeds=0), torch.arange(12).reshape(3, 4) % 11),
    "own module": (HandNetwork().eval(), torch.rand(3, 2)),
}
ACTIVATIONS = {name: capture(model, inputs, "**") for name, (model, inputs) in NETWORKS.items()}
Build = Callable[..., Edit]


def kinds(name: str, hook: str) -> dict[str, Build]:
    """One right edit of every kind that takes a restriction, to be spoiled."""
    acts = ACTIVATIONS[name]
    return {
        "zero": lambda h=hook, **where: zero(h, **where),
        "patch": lambda h=hook, **where: patch(h, acts[hook], **where),
        "mean": lambda h=hook, **where: mean(h, acts[hook], **where),
        "freeze": lambda h=hook, **where: freeze(h, acts[hook], **where),
        "resample": lambda h=hook, **where: resample(h, **where),
        "scale": lambda h=hook, **where: scale(h, 2.0, **where),
        "add_noise": lambda h=hook, **where: add_noise(h, 1.0, **where),
        "steer": lambda h=hook, **where: steer(h, 1.0, 2.0, **where),
    }


VALUED: list[Callable[[str, Any], Edit]] = [patch, mean, steer, add_noise, freeze, resample, project_out]


@st.composite
def mistaken(draw: st.DrawFn) -> tuple[str, Callable[[], Edit], str]:
    """A network, how to build an edit that is wrong in one way, and which way."""
    name = draw(st.sampled_from(sorted(NETWORKS)))
    writable = [
        h for h in ACTIVATIONS[name] if not getattr(NETWORKS[name][0].hook_dict[h], "read_only", False)
    ]  # type: ignore[index,operator]
    hook = draw(st.sampled_from(writable))
    acts = ACTIVATIONS[name]
    build = draw(st.sampled_from(list(kinds(name, hook).values())))
    axis = draw(st.sampled_from([axis for axis in acts.axes(hook) if axis != "seed"]))
    length = acts[hook].sizes[axis]
    letter = draw(st.integers(0, len(hook) - 1))
    far = draw(st.sampled_from([length, length + 3, -length - 1]))
    wrong_shape = draw(st.sampled_from([(13,), (1, 13), (2, 3, 4, 5, 6), (13, 17)]))
    valued = draw(st.sampled_from(VALUED))
    nonsense = draw(
        st.sampled_from(
            [
                torch.ones(3, dtype=torch.complex64),
                torch.ones(3, dtype=torch.bool),
                np.array(["a", "b"]),
                np.array([None, None]),
                "a string",
                [1.0, 2.0],
                object(),
            ]
        )
    )
    nan = acts.tensor(hook).clone()
    nan.view(-1)[draw(st.integers(0, nan.numel() - 1))] = float("nan")
    choices: dict[str, Callable[[], Edit]] = {
        "typo in the hook": lambda: build(hook[:letter] + "~" + hook[letter + 1 :]),
        "no hook's name": lambda: build(draw_other(hook)),
        "typo in the axis": lambda: build(**{axis + "s": 0}),
        "beyond the axis": lambda: build(**{axis: far}),
        "one of several beyond the axis": lambda: build(**{axis: [0, far]}),
        "a position twice": lambda: build(**{axis: [0, -length]}),
        "nothing chosen": lambda: build(**{axis: []}),
        "no position": lambda: build(**{axis: draw_no_position(far)}),
        "a mask of another length": lambda: build(**{axis: np.ones(length + 1, bool)}),
        "an empty range": lambda: build(**{axis: slice(length, None)}),
        "positions for other examples": lambda: build(**{axis: pd.Series([0] * 7)}),
        "a seed it does not have": lambda: build(seed=5),
        "a value of another shape": lambda: valued(hook, torch.ones(wrong_shape)),
        "a value with a foreign axis": lambda: valued(
            hook, xr.DataArray(np.ones((2, 2)), dims=["up", "down"])
        ),
        "no numbers": lambda: valued(hook, nonsense),
        "NaN": lambda: draw_valued_nan(valued)(hook, nan),
        "a mapping without the hook": lambda: valued(hook, {"other": nan}),
        "no finite number": lambda: scale(hook, float("inf")),
        "too large for the dtype": lambda: patch(hook, torch.tensor(1e300, dtype=torch.float64)),
        "another shape given back": lambda: Edit(hook, lambda x, site: x[..., :0]),
        "another dtype given back": lambda: Edit(hook, lambda x, site: x.double()),
        "nothing given back": lambda: Edit(hook, lambda x, site: None),  # type: ignore[arg-type,return-value]
        "written in place": lambda: Edit(hook, lambda x, site: x.add_(1)),
        "a hook that never runs": lambda: build(),
    }
    mistake = draw(st.sampled_from(sorted(choices)))
    return name, choices[mistake], mistake


def draw_other(hook: str) -> Any:
    return {0: None, 1: 3, 2: "", 3: hook + ".hook", 4: hook.upper()}[len(hook) % 5]


def draw_no_position(far: int) -> Any:
    return [1.5, "last", None, True, [[0]]][far % 5]


def draw_valued_nan(valued: Callable[[str, Any], Edit]) -> Callable[[str, Any], Edit]:
    """Activations with NaN are a value of these; the others are refused for the shape already."""
    return valued if valued in (patch, mean, freeze) else patch


def run(model: nn.Module, inputs: Tensor | None, build: Callable[[], Edit]) -> None:
    with edited(model, build()):
        if inputs is not None:
            model(inputs)


@settings(max_examples=1000)
@given(mistaken())
def test_a_mistaken_edit_is_a_clear_error_and_leaves_no_hook(
    case: tuple[str, Callable[[], Edit], str],
) -> None:
    name, build, mistake = case
    model, inputs = NETWORKS[name]
    before = hooks_of(model)
    with pytest.raises(Refused) as error:
        run(model, None if mistake == "a hook that never runs" else inputs, build)
    assert len(str(error.value)) > 25, (mistake, str(error.value))
    assert hooks_of(model) == before
