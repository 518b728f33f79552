"""Grids of patches and ablations, path patching and causal tracing, against transformer-lens and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from transformer_lens import patching

from interp.locating.patching import ablation, activation_patching
from interp.locating.paths import Paths, path_patching
from interp.locating.tracing import Corruption, causal_tracing, embedding_std
from interp.measuring.statistics import benjamini_hochberg, measured, sign_flip_p
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import add_noise, edited, zero
from models.networks.native_bridge import to_native_bridge
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

LENGTH = 6


def transformer(seeds: Any = 0, **changes: Any) -> Transformer:
    config: dict[str, Any] = {
        "vocabulary": 11,
        "context": LENGTH,
        "layers": 2,
        "d_model": 8,
        "heads": 2,
        "d_mlp": 10,
    }
    return Transformer(TransformerConfig(**config | changes), seeds=seeds).eval()


def tokens(seed: int, examples: int = 4) -> Tensor:
    return torch.randint(11, (examples, LENGTH), generator=torch.Generator().manual_seed(seed))


def difference(logits: Tensor) -> Tensor:
    return logits[..., 1] - logits[..., 2]


CORRUPTED, CLEAN = tokens(1), tokens(2)


@pytest.mark.parametrize(
    ("theirs", "hook", "along"),
    [
        ("get_act_patch_resid_pre", "hook_resid_pre", ("pos",)),
        ("get_act_patch_attn_out", "hook_attn_out", ("pos",)),
        ("get_act_patch_mlp_out", "hook_mlp_out", ("pos",)),
        ("get_act_patch_attn_head_out_by_pos", "attn.hook_z", ("pos", "head")),
        ("get_act_patch_attn_head_v_all_pos", "attn.hook_v", ("head",)),
    ],
)
def test_grids_equal_those_of_transformer_lens(theirs: str, hook: str, along: tuple[str, ...]) -> None:
    model = transformer()
    bridge = to_native_bridge(model)
    with torch.no_grad():
        cache = bridge.run_with_cache(CLEAN)[1]
        expected = getattr(patching, theirs)(
            bridge, CORRUPTED, cache, lambda out: difference(out[:, -1]).mean()
        )
    effects = activation_patching(
        model, CORRUPTED, CLEAN, difference, hooks=f"blocks.*.{hook}", along=along, at=-1
    )
    grid = effects.grid("layer", *along) + float(effects.untouched.mean())
    np.testing.assert_allclose(grid.values, expected.numpy(), atol=1e-5)


def test_the_whole_stream_at_the_position_that_is_read_recovers_everything() -> None:
    effects = activation_patching(
        transformer((3, 7)), CORRUPTED, CLEAN, difference, hooks="blocks.1.hook_resid_post", at=-1
    )
    np.testing.assert_allclose(effects.recovered.sel(edit=LENGTH - 1), 1, atol=1e-4)
    np.testing.assert_allclose(effects.recovered.isel(edit=slice(0, LENGTH - 1)), 0, atol=1e-5)
    assert effects.grid("pos", share=True).dims == ("pos",)


def test_a_network_without_the_usual_hooks_is_asked_for_some_and_any_whole_number_is_a_position() -> None:
    model = Recurrent(RecurrentConfig(4, 11, cell="gru", vocabulary=11, d_model=3, answers="each"))
    with pytest.raises(
        Refused, match=r"Recurrent has no blocks.*: give hooks=, of hook_embed, layers.0.hook_r"
    ):
        activation_patching(model, CORRUPTED, CLEAN, difference, at=-1)
    with pytest.raises(Refused, match=r"Recurrent has no blocks.*: give hooks=, of hook_embed"):
        causal_tracing(model, CLEAN, Corruption([1], draws=1), difference, at=-1)
    given: dict[str, Any] = {"hooks": "layers.0.hook_h"}
    one, other = (
        activation_patching(model, CORRUPTED, CLEAN, difference, at=at, **given) for at in (-1, np.int64(-1))
    )
    assert one.under.identical(other.under)
    np.testing.assert_array_equal(one.recovered, other.recovered)


def test_components_share_a_grid_and_patterns_are_patched_by_query() -> None:
    hooks = "blocks.*.hook_{attn,mlp}_out"
    effects = activation_patching(transformer(), CORRUPTED, CLEAN, difference, hooks=hooks, at=-1)
    assert dict(effects.grid("component", "layer", "pos").sizes) == {
        "component": 2,
        "layer": 2,
        "pos": LENGTH,
    }
    patterns = activation_patching(
        transformer(),
        CORRUPTED,
        CLEAN,
        difference,
        hooks="blocks.0.attn.hook_pattern",
        along=("head", "pos"),
        at=-1,
    )
    assert dict(patterns.grid("head", "pos").sizes) == {"head": 2, "pos": LENGTH}
    with pytest.raises(Refused, match=r"Several edits share \['pos', 'layer'\]"):
        effects.grid("pos", "layer")


def test_every_neuron_is_ablated_in_turn() -> None:
    model = transformer()
    effects = ablation(
        model, CLEAN, difference, hooks="blocks.*.mlp.hook_post", along=("neuron",), by="zero", at=-1
    )
    assert dict(effects.grid("layer", "neuron").sizes) == {"layer": 2, "neuron": 10}
    with torch.no_grad(), edited(model, zero("blocks.1.mlp.hook_post", neuron=3)):
        expected = difference(model(CLEAN)[:, -1])
    np.testing.assert_allclose(effects.under.sel(edit=13), expected, atol=1e-5)
    with pytest.raises(Refused, match="recovered"):
        _ = effects.recovered


@pytest.mark.parametrize(
    ("by", "reference", "said"),
    [
        ("mean", None, "needs a"),
        ("zero", CLEAN, "takes no"),
        ("knockout", None, "There is no ablation 'knockout'"),
    ],
)
def test_ablations_that_cannot_be_meant_are_refused(by: str, reference: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        ablation(transformer(), CLEAN, difference, hooks="hook_embed", by=by, reference=reference)


def test_tables_hold_means_intervals_and_corrected_p_values_over_seeds() -> None:
    effects = activation_patching(transformer(range(6)), CORRUPTED, CLEAN, difference, at=-1)
    table = effects.to_dataframe()
    by_seed = effects.change.mean("example").values.astype(float)
    assert list(table["units"].unique()) == [6]
    assert (table["low"][3], table["high"][3]) == measured(by_seed[3]).interval
    expected = [sign_flip_p(values, alternative="two-sided") for values in by_seed]
    assert table["p"].tolist() == expected
    assert table["p_corrected"].tolist() == benjamini_hochberg(expected)
    assert {"hook", "component", "layer", "pos", "effect"} <= set(table)


def test_the_direct_path_to_the_stream_is_what_the_head_writes() -> None:
    """Without normalisation the direct path is linear: the change of z times W_O times W_U."""
    model = transformer(normalization="none").double()
    effects = path_patching(
        model,
        CORRUPTED,
        CLEAN,
        difference,
        Paths(
            [("blocks.0.attn.hook_z", {"head": head}) for head in range(2)],
            [("blocks.1.hook_resid_post", {})],
        ),
        at=-1,
    )
    z = "blocks.0.attn.hook_z"
    change = capture(model, CLEAN, z).tensor(z) - capture(model, CORRUPTED, z).tensor(z)
    written = torch.einsum("ehd,hdm->hem", change[:, -1], model.blocks[0].attn.W_O.view(2, 4, 8))
    expected = difference(written @ model.unembed.W_U).detach()
    np.testing.assert_allclose(effects.change.values, expected, atol=1e-10)
    assert effects.under["sender"].values.tolist() == [f"{z} head=0", f"{z} head=1"]


def test_with_every_part_open_a_path_is_activation_patching() -> None:
    model, sender = transformer().double(), ("blocks.0.attn.hook_z", {"head": 1})
    open_paths = path_patching(
        model,
        CORRUPTED,
        CLEAN,
        difference,
        Paths(
            [sender], [("blocks.1.hook_resid_post", {})], ["blocks.*.attn.hook_z", "blocks.*.hook_mlp_out"]
        ),
        at=-1,
    )
    patched = activation_patching(
        model, CORRUPTED, CLEAN, difference, hooks=sender[0], along=("head",), at=-1
    )
    np.testing.assert_allclose(open_paths.change.values[0], patched.change.sel(edit=1), atol=1e-10)


def test_a_sender_behind_every_receiver_is_refused() -> None:
    with pytest.raises(Refused, match="No receiver lies behind the sender"):
        path_patching(
            transformer(),
            CORRUPTED,
            CLEAN,
            difference,
            Paths([("hook_logits", {})], [("blocks.1.attn.hook_q", {"head": 0})]),
        )


def test_tracing_restores_the_clean_run_where_all_is_restored() -> None:
    model, subject = transformer((3, 7)), pd.Series([1, 2, 1, 3])
    effects = causal_tracing(model, CLEAN, Corruption(subject, draws=3), difference, at=-1)
    assert dict(effects.grid("layer", "pos").sizes) == {"layer": 2, "pos": LENGTH}
    last = effects.under.sel(edit=2 * LENGTH - 1)
    np.testing.assert_allclose(last, effects.other, atol=1e-5)
    np.testing.assert_allclose(effects.change.sel(edit=LENGTH), 0, atol=1e-5)


def test_the_noise_is_calibrated_to_the_networks_own_embeddings() -> None:
    model = transformer()
    std = embedding_std(model, CLEAN)
    assert std == pytest.approx(
        float(capture(model, CLEAN, "hook_embed").tensor("hook_embed").std()), rel=1e-5
    )
    seed = int(np.random.SeedSequence(0).generate_state(1)[0])
    with torch.no_grad(), edited(model, add_noise("hook_embed", 3 * std, draw=seed, pos=1)):
        expected = difference(model(CLEAN)[:, -1])
    effects = causal_tracing(model, CLEAN, Corruption(1, draws=1), difference, at=-1)
    np.testing.assert_allclose(effects.untouched, expected, atol=1e-5)
