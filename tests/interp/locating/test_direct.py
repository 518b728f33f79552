"""Direct logit attribution: the parts sum to the logit, and each is what the weights say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hand_network import HandNetwork
from torch import Tensor

from interp.locating.direct import direct_logit_attribution
from interp.reading.capture import capture
from interp.refusals import Refused
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.pretrained import load_pretrained
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.networks.vit import ViT
from models.networks.vit_config import ViTConfig

KINDS: dict[str, dict[str, Any]] = {
    "layernorm": {},
    "rmsnorm, rotary, gated, shared keys": {
        "normalization": "rmsnorm",
        "positions": "rotary",
        "gated": True,
        "key_heads": 1,
        "activation": "silu",
    },
    "no normalisation, tied, bias": {"normalization": "none", "tied": True, "unembedding_bias": True},
    "attention only": {"d_mlp": 0},
    "mlps only": {"heads": 0},
    "no layers": {"layers": 0},
}


def transformer(seeds: Any = 0, **changes: Any) -> Transformer:
    model = Transformer(
        TransformerConfig(11, 6, **{"layers": 2, "d_model": 8, "heads": 2, "d_mlp": 12, **changes}),
        seeds=seeds,
    )
    randomness = torch.Generator().manual_seed(5)
    for parameter in model.parameters():  # biases are drawn as 0
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=randomness)
    return model


def tokens(seed: int = 1) -> Tensor:
    return torch.randint(11, (7, 5), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("neurons", [False, True], ids=["components", "neurons"])
@pytest.mark.parametrize("seeds", [0, [3, 7]], ids=["one", "population"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_sum_to_the_logit(kind: str, seeds: Any, neurons: bool) -> None:
    model = transformer(seeds, **KINDS[kind])
    found = direct_logit_attribution(model, tokens(), tokens(2), neurons=neurons)
    expected = model(tokens()).gather(-1, tokens(2).expand(*model(tokens()).shape[:-1])[..., None])[..., 0]
    np.testing.assert_allclose(found["logit"], expected.detach(), atol=1e-5)
    np.testing.assert_allclose(found["contribution"].sum("part"), expected.detach(), atol=1e-5)


def test_every_part_is_what_the_weights_say() -> None:
    model = transformer().double()
    acts = tensors(model)
    scale = acts["ln_final.hook_scale"]

    def read(written: Tensor) -> Tensor:
        centred = (written - written.mean(-1, keepdim=True)) / scale * model.ln_final.w
        return (centred @ model.unembed.W_U).gather(-1, tokens(2)[..., None])[..., 0]

    found = direct_logit_attribution(model, tokens(), tokens(2), neurons=True)["contribution"]
    block = model.blocks[1]
    neuron = acts["blocks.1.mlp.hook_post"][..., 4, None] * block.mlp.W_out[4]
    expected = {
        "embed": read(acts["hook_embed"]),
        "blocks.0.attn[1]": read(acts["blocks.0.attn.hook_result"][..., 1, :]),
        "blocks.1.attn.bias": read(block.attn.b_O.expand(7, 5, 8)),
        "blocks.1.mlp[4]": read(neuron),
        "blocks.1.mlp.bias": read(block.mlp.b_out.expand(7, 5, 8)),
        "output.bias": (model.ln_final.b @ model.unembed.W_U)[tokens(2)],
    }
    assert len(found.part) == 2 + 2 * (2 + 1 + 12 + 1) + 1
    for part, value in expected.items():
        np.testing.assert_allclose(found.sel(part=part), value.detach(), atol=1e-12, err_msg=part)


def tensors(model: Transformer) -> dict[str, Tensor]:
    acts = capture(model, tokens(), "**")
    return {name: acts.tensor(name) for name in acts}


def test_a_logit_difference_is_the_difference_of_the_parts() -> None:
    model = transformer([3, 7]).double()
    one, other = (direct_logit_attribution(model, tokens(), tokens(seed)) for seed in (2, 3))
    both = direct_logit_attribution(model, tokens(), tokens(2), against=tokens(3))
    for name in ("contribution", "logit"):
        np.testing.assert_allclose(both[name], one[name] - other[name], atol=1e-12)


@pytest.mark.real_data
def test_the_parts_of_a_pretrained_network_sum_to_its_logits(data_dir: Path) -> None:
    model = load_pretrained(data_dir / "stories260K")
    story = torch.randint(3, 512, (2, 12), generator=torch.Generator().manual_seed(1))
    found = direct_logit_attribution(model, story[:, :-1], story[:, 1:])
    plain = model(story[:, :-1]).gather(-1, story[:, 1:, None])[..., 0].detach()
    np.testing.assert_allclose(found["contribution"].sum("part"), plain, atol=1e-4)
    assert found.sizes["part"] == 1 + 5 * (8 + 1 + 1) + 1


def test_what_cannot_be_taken_apart_is_refused() -> None:
    model = transformer()
    with pytest.raises(Refused, match="cannot be taken apart"):
        direct_logit_attribution(MLP(MLPConfig((5, 3))), torch.zeros(7, 5), tokens())
    with pytest.raises(Refused, match="cannot be taken apart"):
        direct_logit_attribution(HandNetwork(), torch.zeros(7, 2), tokens())
    with pytest.raises(Refused, match="tokens below 11"):
        direct_logit_attribution(model, tokens(), tokens(2) + 1)
    with pytest.raises(Refused, match="for each example and position"):
        direct_logit_attribution(model, tokens(), tokens(2)[:, :2])


def test_layers_by_another_name_are_refused() -> None:
    config = RecurrentConfig(vocabulary=11, layers=2, units=6, d_model=5, outputs=11, answers="each")
    with pytest.raises(Refused, match=r"Recurrent cannot be taken apart .* `blocks\.0\.` on"):
        direct_logit_attribution(Recurrent(config), tokens(), tokens(2))


def test_logits_without_positions_are_refused() -> None:
    model = ViT(ViTConfig((8, 8), 4, layers=1, d_model=8, heads=2, d_mlp=8))
    with pytest.raises(Refused, match=r"logits of a ViT are \['example', 'class'\]: they have no `pos`"):
        direct_logit_attribution(model, torch.rand(7, 64), tokens())


def test_a_way_to_the_logits_that_is_not_affine_is_refused() -> None:
    class Capped(Transformer):
        def forward(self, inputs: Tensor, *, start_at_layer: Any = None, stop_at_layer: Any = None) -> Tensor:  # type: ignore[override]
            out = super().forward(inputs, start_at_layer=start_at_layer, stop_at_layer=stop_at_layer)
            return out if stop_at_layer is not None else out.tanh()

    with pytest.raises(Refused, match="parts miss the logit"):
        direct_logit_attribution(Capped(transformer().config), tokens(), tokens(2))
