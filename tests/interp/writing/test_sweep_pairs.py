"""Edits and sweeps of an encoder-decoder, which can be run as a whole only."""

from __future__ import annotations

import pytest
import torch

from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import edited, zero
from interp.writing.sweep import sweep
from models.networks.seq2seq import Seq2Seq
from models.networks.seq2seq_config import Seq2SeqConfig

PAIRS = torch.tensor([[1, 2, 3, 1, 4], [5, 0, 0, 1, 2], [3, 4, 0, 1, 0]])
HOOKS = [
    "encoder.hook_embed",
    "encoder.blocks.0.mlp.hook_post",
    "decoder.blocks.0.cross_attn.hook_v",
    "decoder.blocks.0.cross_attn.hook_pattern",
    "decoder.ln_final.hook_normalized",
]


@pytest.mark.parametrize("seeds", [0, (1, 2)], ids=["one network", "population"])
def test_a_sweep_gives_what_one_edit_at_a_time_gives(seeds: int | tuple[int, ...]) -> None:
    model = Seq2Seq(Seq2SeqConfig(6, 3, 6, 2, d_model=8, heads=2, d_mlp=8), seeds=seeds).double()

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return logits[..., 0, 2] - logits[..., 0, 3]

    effects = sweep(model, PAIRS, [zero(hook) for hook in HOOKS], metric)
    for place, hook in enumerate(HOOKS):
        with torch.no_grad(), edited(model, [zero(hook)]):
            expected = metric(model(PAIRS))
        found = torch.tensor(effects.isel(edit=place).to_numpy())
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("targets", [1, 2])
def test_a_position_is_one_of_the_targets(targets: int) -> None:
    model = Seq2Seq(Seq2SeqConfig(6, 3, 6, 2, d_model=8, heads=2, d_mlp=8))
    with pytest.raises(Refused, match=f"at=2 is beyond the output, which has {targets} positions"):
        sweep(model, PAIRS[:, : 3 + targets], [zero(HOOKS[0])], lambda logits: logits[..., 2], at=2)


def test_captured_patterns_are_of_source_and_target_as_they_are() -> None:
    model = Seq2Seq(Seq2SeqConfig(6, 3, 6, 2, d_model=8, heads=2, d_mlp=8), seeds=(1, 2))
    acts = capture(model, PAIRS, "{encoder,decoder}.blocks.*.{attn,cross_attn}.hook_pattern")
    cross = acts["decoder.blocks.0.cross_attn.hook_pattern"]
    assert dict(cross.sizes) == {"seed": 2, "example": 3, "head": 2, "query_pos": 2, "key_pos": 3}
    assert (cross.isel(example=1, key_pos=slice(1, None)) == 0).all()
    assert dict(acts["encoder.blocks.0.attn.hook_pattern"].sizes)["query_pos"] == 3
