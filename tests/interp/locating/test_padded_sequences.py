"""What is averaged over positions leaves padding out: whatever stands there, nothing changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from interp.locating.edges import edge_effects
from interp.locating.patching import ablation
from interp.locating.tracing import embedding_std
from interp.locating.tuned_lens import train_tuned_lens
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import edited, patch
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

MASK = torch.arange(6) < torch.tensor([6, 2, 4, 1, 5])[:, None]
HOOK = "blocks.0.hook_resid_post"


def network(seeds: Any = 0) -> Transformer:
    config = TransformerConfig(7, 6, layers=2, d_model=8, heads=2, d_mlp=4, normalization="none")
    return Transformer(config, seeds=seeds).double().eval()


def padded(filler: int) -> Any:
    """Sequences that end early, with this token behind their ends."""
    tokens = torch.randint(1, 6, (5, 6), generator=torch.Generator().manual_seed(0))
    inputs = tokens.masked_fill(~MASK, filler)
    return SimpleNamespace(inputs=inputs, examples=pd.DataFrame(index=range(5)), mask=MASK)


def first(logits: Tensor) -> Tensor:
    return logits[..., 0, 1] - logits[..., 0, 2]


def test_the_noise_of_a_trace_is_calibrated_to_real_tokens() -> None:
    model, entries = network((0, 1)), []
    acts = capture(model, padded(0), "hook_embed")["hook_embed"].values
    for seed, example, pos in np.ndindex(acts.shape[:3]):
        if MASK[example, pos]:
            entries.append(acts[seed, example, pos])
    assert embedding_std(model, padded(0)) == pytest.approx(np.concatenate(entries).std(ddof=1), rel=1e-12)
    assert embedding_std(model, padded(0)) == embedding_std(model, padded(6))


@pytest.mark.parametrize("seeds", [0, (0, 1)])
def test_a_tuned_lens_is_fitted_on_real_positions(seeds: Any) -> None:
    lenses = [train_tuned_lens(network(seeds), padded(filler), steps=5) for filler in (0, 6)]
    torch.testing.assert_close(lenses[0].A, lenses[1].A, rtol=0, atol=1e-12)
    assert lenses[0].A.abs().max() > 0


def test_senders_are_averaged_over_real_positions() -> None:
    effects = [edge_effects(network(), padded(filler), "mean", first) for filler in (0, 6)]
    np.testing.assert_allclose(effects[0], effects[1], atol=1e-12)
    assert np.abs(effects[0]).max() > 1e-3


def test_mean_ablation_takes_the_mean_over_real_positions_and_resampling_refuses_padding() -> None:
    model, data = network(), padded(0)
    real = capture(model, data, HOOK).tensor(HOOK)[MASK[:, 1], 1].mean(0)
    given: dict[str, Any] = {"hooks": HOOK, "along": ("pos",), "reference": data}
    found = ablation(model, data, lambda logits: logits[..., 1, 1], by="mean", **given)
    with torch.no_grad(), edited(model, patch(HOOK, real, pos=1)):
        expected = model(data.inputs)[:, 1, 1]
    np.testing.assert_allclose(found.under.isel(edit=1), expected, atol=1e-12)
    with pytest.raises(Refused, match="would be of padding"):
        ablation(model, data, first, by="resample", **given)
    with pytest.raises(Refused, match="would be of padding"):
        ablation(model, data, first, by="resample", hooks=HOOK)
