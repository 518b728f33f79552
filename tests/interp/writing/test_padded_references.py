"""Means and donors from padded sequences: padding is left out of the one and refused as the other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import Tensor

from interp.reading.activations import Activations
from interp.reading.capture import capture
from interp.reading.store import open_activations
from interp.refusals import BadFile, Refused
from interp.writing.edits import Edit, edited, mean, project_out, resample, scale
from interp.writing.sweep import sweep
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

LENGTHS = torch.tensor([6, 2, 4, 1, 5])
MASK = torch.arange(6) < LENGTHS[:, None]
HOOK, PATTERN = "blocks.0.hook_resid_post", "blocks.0.attn.hook_pattern"


def network(seeds: Any = 0) -> Transformer:
    config = TransformerConfig(5, 6, layers=2, d_model=8, heads=2, d_mlp=4)
    return Transformer(config, seeds=seeds).double().eval()


def padded(mask: Tensor = MASK) -> Any:
    tokens = torch.randint(5, (5, 6), generator=torch.Generator().manual_seed(0))
    return SimpleNamespace(inputs=tokens, examples=pd.DataFrame(index=range(5)), mask=mask)


def output(model: Transformer, edit: Edit) -> Tensor:
    with torch.no_grad(), edited(model, edit):
        return model(padded().inputs)


@pytest.mark.parametrize("seeds", [0, (3, 7)])
@pytest.mark.parametrize("hook", [HOOK, PATTERN])
def test_means_are_over_the_examples_that_are_real_at_a_position(hook: str, seeds: Any) -> None:
    model = network(seeds)
    acts = capture(model, padded(), hook)
    axis = "query_pos" if hook == PATTERN else "pos"
    real = xr.DataArray(MASK.numpy(), dims=("example", axis))
    expected = acts[hook].where(real).mean("example")
    about = mean(hook, expected), scale(hook, 0.5, about=expected)
    for edit, other in zip((mean(hook, acts), scale(hook, 0.5, about=acts)), about, strict=True):
        torch.testing.assert_close(output(model, edit), output(model, other), rtol=0, atol=1e-12)
    off = project_out(HOOK, torch.arange(8.0), about=capture(model, padded(), HOOK))
    assert not torch.equal(output(model, off), output(model, project_out(HOOK, torch.arange(8.0))))


def test_no_mean_is_made_where_no_example_is_real() -> None:
    model, acts = network(), capture(network(), padded(MASK & (torch.arange(6) < 5)), HOOK)
    with pytest.raises(Refused, match=r"The mean of 'blocks.0.hook_resid_post', pos 5, would be of padding"):
        output(model, mean(HOOK, acts))
    assert output(model, mean(HOOK, acts, pos=4)).isfinite().all()


def test_donors_that_are_padding_are_refused() -> None:
    model, acts = network(), capture(network(), padded(), HOOK)
    with pytest.raises(
        Refused, match=r"A donor at 'blocks.0.hook_resid_post', pos 1, 2, 3, 4, 5, would be of padding"
    ):
        output(model, resample(HOOK, acts))
    first = output(model, resample(HOOK, acts, pos=0))
    torch.testing.assert_close(first, output(model, resample(HOOK, acts[HOOK], pos=0)))
    by_example = pd.Series([0, 0, 0, 0, 2])
    with pytest.raises(Refused, match="pos 2, would be of padding"):
        output(model, resample(HOOK, acts, pos=by_example))


def test_a_sweep_refuses_donors_from_a_padded_batch() -> None:
    model, data = network(), padded()
    for where in ({}, {"pos": 1}, {"pos": pd.Series([0, 0, 0, 1, 0])}):
        with pytest.raises(
            Refused, match=r"A donor at 'blocks.0.hook_resid_post', pos 1.* would be of padding"
        ):
            sweep(model, data, [resample(HOOK, **where)], lambda logits: logits[..., 0], at=0)
    swept = sweep(model, data, [resample(HOOK, pos=0)], lambda logits: logits[..., 0], at=0)
    with torch.no_grad(), edited(model, resample(HOOK, pos=0)):
        np.testing.assert_allclose(swept[0], model(data.inputs)[:, 0, 0], atol=1e-12)


def test_the_mask_comes_back_from_disk(tmp_path: Path) -> None:
    capture(network(), padded(), HOOK, to=tmp_path / "acts", batch_size=2)
    mask = open_activations(tmp_path / "acts", verify=True).mask
    assert mask is not None
    assert torch.equal(mask, MASK)
    assert capture(network(), padded(MASK | True), HOOK).mask is None
    (tmp_path / "acts" / "mask.safetensors").unlink()
    with pytest.raises(BadFile, match=r"mask\.safetensors is missing"):
        open_activations(tmp_path / "acts")


def test_a_mask_of_other_data_or_another_length_is_refused() -> None:
    values, axes = {"h": torch.zeros(5, 3, 2)}, {"h": ("example", "pos", "unit")}
    with pytest.raises(Refused, match=r"A mask is truth values .* for 4 examples"):
        Activations({"h": torch.zeros(4, 3, 2)}, axes=axes, examples=pd.DataFrame(index=range(4)), mask=MASK)
    short = Activations(values, axes=axes, examples=pd.DataFrame(index=range(5)), mask=MASK)
    whole = capture(network(), padded(), HOOK)
    with pytest.raises(Refused, match="padded sequences of 6 positions, and has 3"):
        output(network(), mean(HOOK, {HOOK: short["h"]} | {HOOK: relabelled(short)}))
    assert mean(HOOK, whole) == mean(HOOK, whole)
    assert mean(HOOK, whole) != mean(HOOK, whole[HOOK])


def relabelled(acts: Activations) -> Any:
    from interp.writing.values import value_of

    return value_of(acts, "h")
