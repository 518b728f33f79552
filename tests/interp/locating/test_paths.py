"""Path patching against the exact effects of edges, and from senders inside a part against the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.locating.edges import edge_effects
from interp.locating.paths import Paths, path_patching
from interp.reading.capture import capture
from interp.refusals import Refused
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.seq2seq import Seq2Seq
from models.networks.seq2seq_config import Seq2SeqConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig

QUERY = "blocks.2.attn.hook_q"


def transformer(seeds: Any = 0, **changes: Any) -> Transformer:
    sizes = {"layers": 3, "d_model": 12, "heads": 2, "d_mlp": 10, "init_scale": 2.0, **changes}
    return Transformer(TransformerConfig(11, 8, **sizes), seeds=seeds).double()


def tokens(seed: int) -> Tensor:
    return torch.randint(11, (4, 6), generator=torch.Generator().manual_seed(seed))


def metric(logits: Tensor) -> Tensor:
    return logits[..., -1, 3] - logits[..., -1, 1]


CLEAN, CORRUPT = tokens(1), tokens(2)


def change(
    model: Any, sender: tuple[str, Any], receiver: tuple[str, Any], runs: Any = (CLEAN, CORRUPT)
) -> Any:
    """The change of the metric for one sender, `[*seed, example]`."""
    paths = Paths([sender], [receiver])
    return path_patching(model, *runs, metric, paths).change.isel(edit=0).values


@pytest.mark.parametrize("key_heads", [2, 1])
@pytest.mark.parametrize("seeds", [0, [3, 7]])
def test_paths_into_queries_keys_values_and_the_mlp_are_edges(seeds: Any, key_heads: int) -> None:
    model = transformer(seeds, key_heads=key_heads)
    edges = edge_effects(model, CLEAN, CORRUPT, metric)
    senders = {
        "embed": ("hook_embed", {}),
        "blocks.0.attn[1]": ("blocks.0.attn.hook_z", {"head": 1}),
        "blocks.1.mlp": ("blocks.1.hook_mlp_out", {}),
    }
    last = key_heads - 1
    receivers = {
        "blocks.2.attn[1].q": (QUERY, {"head": 1}),
        f"blocks.2.attn[{last}].k": ("blocks.2.attn.hook_k", {"key_head": last}),
        f"blocks.2.attn[{last}].v": ("blocks.2.attn.hook_v", {"key_head": last}),
        "blocks.2.mlp": ("blocks.2.mlp.hook_pre", {}),
    }
    for sender, here in senders.items():
        for receiver, there in receivers.items():
            expected = edges.sel(edge=f"{sender} -> {receiver}").values
            assert np.abs(expected).max() > 1e-6, (sender, receiver)
            np.testing.assert_allclose(
                change(model, here, there), expected, atol=1e-10, err_msg=f"{sender} -> {receiver}"
            )


def heard_by_the_query(model: Transformer, written: Tensor) -> Any:
    """The metric's change when the queries of layer 2, and nothing else, read what was written besides."""
    point, reads = model.hook_dict[QUERY], []
    with torch.no_grad():
        keep = point.register_forward_hook(lambda _, __, out: reads.append(out))
        model(model(CLEAN, stop_at_layer=2) + written, start_at_layer=2)
        keep.remove()
        untouched = metric(model(CLEAN))
        put = point.register_forward_hook(lambda _, __, out: reads[0])
        changed = metric(model(CLEAN))
        put.remove()
    return (changed - untouched).numpy()


def test_a_neuron_is_heard_through_its_row_of_the_output_matrix() -> None:
    model, hook = transformer(), "blocks.0.mlp.hook_post"
    fired = [capture(model, inputs, hook).tensor(hook)[..., 5, None] for inputs in (CORRUPT, CLEAN)]
    expected = heard_by_the_query(model, (fired[0] - fired[1]) * model.blocks[0].mlp.W_out[5])
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(change(model, (hook, {"neuron": 5}), (QUERY, {})), expected, atol=1e-10)


@pytest.mark.parametrize("kind", ["v", "pattern"])
def test_a_value_and_a_pattern_are_heard_through_their_head(kind: str) -> None:
    model, attention = transformer(), "blocks.0.attn"
    hooks = {one: f"{attention}.hook_{one}" for one in ("v", "pattern")}
    clean, corrupt = (capture(model, inputs, list(hooks.values())) for inputs in (CLEAN, CORRUPT))
    parts = {
        one: clean.tensor(name)[:, :, 1] if one == "v" else clean.tensor(name)[:, 1]
        for one, name in hooks.items()
    }
    own = corrupt.tensor(hooks[kind])
    differ = (own[:, :, 1] if kind == "v" else own[:, 1]) - parts[kind]
    moved = torch.einsum("eqk,ekh->eqh", *({**parts, kind: differ}[one] for one in ("pattern", "v")))
    expected = heard_by_the_query(model, moved @ model.blocks[0].attn.W_O.view(2, 6, 12)[1])
    assert np.abs(expected).max() > 1e-4
    axis = "key_head" if kind == "v" else "head"
    np.testing.assert_allclose(change(model, (hooks[kind], {axis: 1}), (QUERY, {})), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("inside", "whole"),
    [
        ("blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out"),
        ("blocks.1.mlp.hook_pre", "blocks.1.hook_mlp_out"),
        ("blocks.1.ln1.hook_normalized", "blocks.1.attn.hook_z"),
    ],
)
def test_all_that_a_part_goes_on_from_says_what_the_part_says(inside: str, whole: str) -> None:
    model = transformer()
    expected = change(model, (whole, {}), (QUERY, {}))
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(change(model, (inside, {}), (QUERY, {})), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("inside", "whole", "receiver"),
    [
        (
            "encoder.blocks.0.mlp.hook_post",
            "encoder.blocks.0.hook_mlp_out",
            "decoder.blocks.0.cross_attn.hook_k",
        ),
        ("decoder.blocks.0.ln_cross.hook_normalized", None, "decoder.blocks.1.attn.hook_q"),
        ("decoder.blocks.0.cross_attn.hook_v", None, "decoder.blocks.1.attn.hook_q"),
    ],
)
def test_senders_inside_the_parts_of_two_stacks_are_heard(
    inside: str, whole: str | None, receiver: str
) -> None:
    config = Seq2SeqConfig(11, 5, 11, 4, layers=2, d_model=12, heads=2, d_mlp=8, init_scale=2.0)
    model = Seq2Seq(config).double()
    runs = [torch.randint(2, 11, (4, 8), generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    heard = change(model, (inside, {}), (receiver, {}), runs=runs)
    assert np.abs(heard).max() > 1e-6
    if whole is not None:
        np.testing.assert_allclose(heard, change(model, (whole, {}), (receiver, {}), runs=runs), atol=1e-10)


def test_a_network_without_attentions_or_mlps_to_freeze_is_refused() -> None:
    recurrent = Recurrent(
        RecurrentConfig(vocabulary=11, layers=2, units=6, d_model=5, outputs=11, answers="each")
    )
    with pytest.raises(Refused, match=r"attn\.hook_z and hook_mlp_out.* Recurrent has none"):
        change(recurrent, ("layers.0.hook_h", {}), ("layers.1.hook_h", {}))
    mlp, (clean, corrupt) = MLP(MLPConfig((5, 4, 4, 4, 3))), torch.rand(2, 6, 5)
    paths = Paths([("layers.0.hook_post", {})], [("layers.2.hook_post", {})])
    with pytest.raises(Refused, match="MLP has none"):
        path_patching(mlp, clean, corrupt, lambda out: out[:, 0], paths)
