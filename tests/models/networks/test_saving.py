from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.saving import load_model, save_model
from models.refusals import BadFile, Refused


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(MLP(MLPConfig((4, 3, 2)), seeds=(0, 1)), tmp_path)
    return tmp_path


def test_a_folder_may_be_given_as_text(tmp_path: Path) -> None:
    save_model(MLP(MLPConfig((4, 3, 2)), seeds=(0, 1)), f"{tmp_path}/made")
    assert load_model(f"{tmp_path}/made").seeds == (0, 1)


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    strange = MLP(MLPConfig((4, 3, 2)), seeds=0)
    strange.config = "gpt2"
    for wrong in (strange, "model"):
        with pytest.raises(Refused, match=r"such as `trained\.model`; given .*save_pretrained"):
            save_model(wrong, tmp_path / "made")  # type: ignore[arg-type]
    assert not (tmp_path / "made").exists()


def test_nothing_but_weights_and_config_is_written(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "weights.safetensors"]


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
@pytest.mark.parametrize("kept", [0, 10, -1])
def test_a_truncated_file_is_named(saved: Path, name: str, kept: int) -> None:
    path = saved / name
    path.write_bytes(path.read_bytes()[: kept if kept >= 0 else -3])
    with pytest.raises(BadFile, match=name):
        load_model(saved)


def test_altered_weights_are_named(saved: Path) -> None:
    path = saved / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadFile, match=r"weights\.safetensors is truncated or altered"):
        load_model(saved)


def test_a_missing_folder_and_a_foreign_one_are_named(saved: Path) -> None:
    with pytest.raises(BadFile, match="nowhere"):
        load_model(saved / "nowhere")
    (saved / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(BadFile, match="was not written by this laboratory"):
        load_model(saved)


@pytest.mark.parametrize(
    "change",
    [{"sizes": [4, 3, 3]}, {"activation": "sine"}, {"unheard_of": 1}, {"family": "cnn"}],
    ids=lambda change: next(iter(change)),
)
def test_a_config_that_does_not_fit_is_refused(saved: Path, change: dict[str, object]) -> None:
    record = json.loads((saved / "config.json").read_text())
    record["network"] |= change
    (saved / "config.json").write_text(json.dumps(record))
    with pytest.raises(BadFile, match="does not hold a network of this version"):
        load_model(saved)


@pytest.mark.parametrize("change", [{"dtype": "nn"}, {"dtype": 3}, {"seeds": "first"}, {"network": 4}])
def test_a_record_that_makes_no_sense_is_refused(saved: Path, change: dict[str, object]) -> None:
    record = json.loads((saved / "config.json").read_text()) | change
    (saved / "config.json").write_text(json.dumps(record))
    with pytest.raises(BadFile, match="does not hold a network of this version"):
        load_model(saved)


def test_a_seed_that_is_not_there_is_refused(saved: Path) -> None:
    with pytest.raises(Refused, match="no seed '2'"):
        load_model(saved).member(2)
