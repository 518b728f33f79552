"""Logit lens and tuned lens: against the weights, on a network whose rest is known to be affine, on a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy, rankdata
from torch import Tensor
from torch.nn import functional as F

from interp.locating.lens import read_lens
from interp.locating.tuned_lens import TunedLens, open_tuned_lens, train_tuned_lens
from interp.refusals import BadFile, Refused
from models.networks.pretrained import load_pretrained
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.networks.vit import ViT
from models.networks.vit_config import ViTConfig


def transformer(seeds: Any = 0, **changes: Any) -> Transformer:
    settings = {"layers": 2, "d_model": 8, "heads": 2, "d_mlp": 12, **changes}
    return Transformer(TransformerConfig(11, 6, **settings), seeds=seeds).double()


def affine(seeds: Any = 0) -> Transformer:
    """MLPs whose neurons are always on: every layer is an affine map of the stream, and far from none."""
    model = transformer(seeds, heads=0, activation="relu", normalization="none", init_scale=2.0)
    for block in model.blocks:
        block.mlp.b_in.data += 50
    return model


def tokens(examples: int = 7, length: int = 5, seed: int = 1) -> Tensor:
    return torch.randint(11, (examples, length), generator=torch.Generator().manual_seed(seed))


def test_the_logit_lens_is_the_end_of_the_network_on_an_early_stream() -> None:
    model, truth = transformer(), tokens(seed=2)
    truth[0, 0] = -1
    found = read_lens(model, tokens(), truth=truth, batch_size=3)
    assert dict(found.sizes) == {"layer": 3, "example": 7, "pos": 5}
    with torch.no_grad():
        stream = model(tokens(), stop_at_layer=1)
        normed = F.layer_norm(stream, (8,), model.ln_final.w, model.ln_final.b, 1e-5)
        seen, output = (normed @ model.unembed.W_U).softmax(-1).numpy(), model(tokens()).softmax(-1).numpy()
    layer = found.sel(layer=1)
    np.testing.assert_allclose(layer["entropy"], entropy(seen, axis=-1), rtol=1e-9)
    np.testing.assert_allclose(layer["kl"], entropy(output, seen, axis=-1), rtol=1e-9)
    np.testing.assert_array_equal(layer["top"], seen.argmax(-1))
    ranks = rankdata(-seen, axis=-1) - 1
    for example, pos in [(0, 1), (3, 4), (6, 2)]:
        token = int(truth[example, pos])
        assert float(layer["rank"][example, pos]) == ranks[example, pos, token]
        np.testing.assert_allclose(layer["surprisal"][example, pos], -np.log(seen[example, pos, token]))
    assert np.isnan(layer["rank"][0, 0])
    assert np.isnan(layer["surprisal"][0, 0])


def test_the_last_layer_is_the_output_itself() -> None:
    found = read_lens(transformer([3, 7]), tokens())
    assert found["kl"].dims == ("seed", "layer", "example", "pos")
    assert abs(found["kl"].sel(layer=2)).max() == 0
    assert (found["kl"].sel(layer=[0, 1]) > 0).all()
    assert "rank" not in found


def test_the_seeds_get_what_each_alone_gets() -> None:
    model = transformer([3, 7])
    lens = train_tuned_lens(model, tokens(40), steps=5)
    found = read_lens(model, tokens(), tuned=lens, truth=tokens(seed=2))
    for seed in (3, 7):
        alone = model.member(seed)
        expected = read_lens(
            alone, tokens(), tuned=train_tuned_lens(alone, tokens(40), steps=5), truth=tokens(seed=2)
        )
        for name in ("entropy", "kl", "rank", "surprisal"):
            np.testing.assert_allclose(found[name].sel(seed=seed), expected[name], rtol=1e-6, atol=1e-9)


def test_translators_undo_layers_that_are_affine() -> None:
    model = affine([3, 7])
    lens = train_tuned_lens(model, tokens(200), steps=200, rate=0.03)
    plain, tuned = read_lens(model, tokens(50, seed=9)), read_lens(model, tokens(50, seed=9), tuned=lens)
    before = plain["kl"].sel(layer=[0, 1]).mean(("example", "pos"))
    after = tuned["kl"].sel(layer=[0, 1]).mean(("example", "pos"))
    assert (before > 0.1).all()
    assert (after < before / 30).all()


def test_translators_start_as_the_logit_lens() -> None:
    model = transformer()
    lens = train_tuned_lens(model, tokens(), steps=1, rate=1e-12)
    np.testing.assert_allclose(
        read_lens(model, tokens(), tuned=lens)["kl"], read_lens(model, tokens())["kl"], atol=1e-9
    )


def test_training_leaves_the_network_and_its_gradients_alone() -> None:
    model = transformer().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, same, other = (train_tuned_lens(model, tokens(40), steps=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.A, same.A)
    assert not torch.equal(one.A, other.A)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(value.grad is None and value.requires_grad for value in model.parameters())


def test_a_lens_is_saved_and_opened(tmp_path: Path) -> None:
    model = transformer([3, 7])
    lens = train_tuned_lens(model, tokens(40), steps=3)
    lens.save(tmp_path / "lens.safetensors")
    again = open_tuned_lens(tmp_path / "lens.safetensors")
    assert torch.equal(lens.A, again.A)
    assert torch.equal(lens.b, again.b)
    assert read_lens(model, tokens(), tuned=again).equals(read_lens(model, tokens(), tuned=lens))
    assert [path.name for path in tmp_path.iterdir()] == ["lens.safetensors"]


def test_what_is_no_lens_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lens.safetensors"
    with pytest.raises(BadFile, match=r"lens\.safetensors"):
        open_tuned_lens(path)
    train_tuned_lens(transformer(), tokens(), steps=1).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(BadFile, match=r"lens\.safetensors"):
        open_tuned_lens(path)
    path.write_bytes(whole.replace(b"tuned lens 1", b"tuned lens 0"))
    with pytest.raises(BadFile, match="format"):
        open_tuned_lens(path)


def test_a_lens_of_another_network_is_refused() -> None:
    lens = train_tuned_lens(transformer(), tokens(), steps=1)
    with pytest.raises(Refused, match="another network"):
        read_lens(transformer(1), tokens(), tuned=lens)


def test_what_cannot_be_meant_is_refused() -> None:
    model = transformer()
    with pytest.raises(Refused, match="for each example and position"):
        read_lens(model, tokens(), truth=tokens()[:, 1:])
    with pytest.raises(Refused, match="above 0"):
        train_tuned_lens(model, tokens(), steps=0)
    with pytest.raises(Refused, match="needs no translators"):
        train_tuned_lens(transformer(layers=0), tokens())
    assert isinstance(train_tuned_lens(model, tokens(), steps=1), TunedLens)


@pytest.mark.real_data
def test_translators_see_more_than_the_logit_lens_in_a_pretrained_network(data_dir: Path) -> None:
    model = load_pretrained(data_dir / "stories260K")
    text = (data_dir / "text" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    story = torch.cat([model.encode(text[start : start + 400])[0, :97] for start in range(0, 40_000, 400)])
    rows = story[: 97 * 90].reshape(-1, 97)
    train, test = rows[:70], rows[70:]
    lens = train_tuned_lens(model, train[:, :32], steps=20, rate=0.006, batch_size=16)
    plain, tuned = (read_lens(model, test[:, :32], tuned=one, truth=test[:, 1:33]) for one in (None, lens))
    over = ("example", "pos")
    gain = plain["kl"].mean(over) - tuned["kl"].mean(over)
    assert (gain[:5] > 0.05).all()
    assert (tuned["kl"].mean(over).diff("layer") < 0).all()
    assert float(plain["surprisal"].sel(layer=5).mean()) < float(plain["surprisal"].sel(layer=0).mean())


def test_recurrent_networks_and_image_networks_have_no_lens() -> None:
    config = RecurrentConfig(vocabulary=11, layers=2, units=6, d_model=5, outputs=11, answers="each")
    with pytest.raises(Refused, match=r"Recurrent cannot be taken apart .* `blocks\.0\.` on"):
        read_lens(Recurrent(config), tokens())
    images = ViT(ViTConfig((8, 8), 4, layers=2, d_model=8, heads=2, d_mlp=8))
    with pytest.raises(Refused, match="they have no `pos`"):
        read_lens(images, torch.rand(7, 64))
