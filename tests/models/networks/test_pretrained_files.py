"""Folders, names and tokenizers that are not right: each refusal names what is missing. And: offline is offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.networks.pretrained import load_pretrained
from models.refusals import BadFile, Refused


@pytest.fixture
def folder(data_dir: Path, tmp_path: Path) -> Path:
    """A copy of the real model, to be damaged."""
    return Path(shutil.copytree(data_dir / "stories260K", tmp_path / "model"))


def change(file: Path, **entries: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


@pytest.mark.real_data
def test_truncated_weights_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200_000])
    with pytest.raises(BadFile, match=r"model\.safetensors is truncated or altered"):
        load_pretrained(folder)


@pytest.mark.real_data
def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadFile, match=r"there is no model\.safetensors"):
        load_pretrained(folder)


@pytest.mark.real_data
@pytest.mark.parametrize("text", ["", "{", '{"model_type": "no such thing"}', "{}"])
def test_a_config_that_is_none_is_named(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(BadFile, match=r"config\.json"):
        load_pretrained(folder)


@pytest.mark.real_data
def test_weights_that_lack_a_layer_are_refused_and_not_made_up(folder: Path) -> None:
    change(folder / "config.json", num_hidden_layers=6)
    with pytest.raises(BadFile, match=r"missing model\.layers\.5"):
        load_pretrained(folder)


@pytest.mark.real_data
def test_weights_with_a_layer_too_many_are_refused(folder: Path) -> None:
    change(folder / "config.json", num_hidden_layers=4)
    with pytest.raises(BadFile, match=r"surplus model\.layers\.4"):
        load_pretrained(folder)


@pytest.mark.real_data
def test_weights_of_another_width_are_refused(folder: Path) -> None:
    change(folder / "config.json", intermediate_size=100)
    with pytest.raises(BadFile, match="weights"):
        load_pretrained(folder)


@pytest.mark.real_data
def test_a_tokenizer_that_does_not_fit_the_weights_is_refused(folder: Path) -> None:
    file = folder / "tokenizer.json"
    record = json.loads(file.read_text())
    record["added_tokens"] += [record["added_tokens"][0] | {"id": 512, "content": "<one too many>"}]
    file.write_text(json.dumps(record))
    with pytest.raises(Refused, match=r"513 tokens, they have\s+512"):
        load_pretrained(folder)


@pytest.mark.real_data
def test_a_damaged_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BadFile, match="tokenizer"):
        load_pretrained(folder)


@pytest.mark.real_data
def test_a_folder_without_a_tokenizer_still_reads_tokens(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    model = load_pretrained(str(folder))
    assert model.tokenizer is None
    assert model(torch.tensor([[1, 2]])).shape == (1, 2, 512)


def test_an_empty_folder_and_one_that_is_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"has no config\.json"):
        load_pretrained(tmp_path)
    for wrong in (tmp_path / "nothing", str(tmp_path / "nothing"), "./nothing"):
        with pytest.raises(BadFile, match="There is no folder"):
            load_pretrained(wrong)


def test_a_name_that_is_not_in_the_cache_is_refused_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("INTERP_OFFLINE", "1")
    with pytest.raises(BadFile, match="no-such-model-here"):
        load_pretrained("no-such-model-here")


WITHOUT_SOCKETS = """
import socket, sys
def refuse(*_, **__): raise SystemExit("a socket was opened")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import models
assert "torch" not in sys.modules and "transformers" not in sys.modules
from models.refusals import BadFile
try:
    models.load_pretrained("no-such-model-here")
except BadFile as error:
    assert "INTERP_OFFLINE" in str(error), error
from huggingface_hub import constants
assert constants.HF_HUB_OFFLINE is False
for folder in sys.argv[1:]:
    del __import__("os").environ["INTERP_OFFLINE"]
    print(models.load_pretrained(folder).config.layers)
"""


@pytest.mark.real_data
def test_offline_and_for_folders_no_socket_is_opened(data_dir: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_SOCKETS, str(data_dir / "stories260K")],
        env=kept | {"INTERP_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "5\n", "")


MEMORY = """
import resource, sys, torch
from pathlib import Path
from interp.reading.capture import capture
from models.networks.pretrained import load_pretrained

torch.set_num_threads(1)
model, folder = load_pretrained(sys.argv[1]), Path(sys.argv[2])
for run, examples in enumerate((512, 512, 2048)):
    tokens = torch.randint(512, (examples, 24), generator=torch.Generator().manual_seed(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    acts = capture(model, tokens, "blocks.*.hook_resid_post", to=folder / str(run), batch_size=32)
    assert acts.examples.shape[0] == examples
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.real_data
def test_memory_stays_flat_as_examples_grow(data_dir: Path, tmp_path: Path) -> None:
    """In shards of 4 MiB: four times as many examples, 63 MB of activations, no more memory than before."""
    shrunk = MEMORY.replace(
        "torch.set", "import interp.reading.keepers as k; k.SHARD_BYTES = 2**22; torch.set", 1
    )
    ran = subprocess.run(
        [sys.executable, "-c", shrunk, str(data_dir / "stories260K"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    grown_kib = int(ran.stdout)
    assert grown_kib < 16 * 1024


@pytest.mark.real_data
def test_entries_that_belong_to_nothing_are_passed_over(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    old_buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file(weights | old_buffer, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_pretrained(folder).config.layers == 5
