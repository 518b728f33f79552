"""Activations on disk: the same numbers as in memory, and whole or refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from boltons.fileutils import atomic_save
from hand_network import Exploding, HandNetwork
from hypothesis import given
from hypothesis import strategies as st

from interp.reading import keepers, store
from interp.reading.activations import Activations
from interp.reading.capture import capture
from interp.reading.store import open_activations
from interp.refusals import BadFile, Refused
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig

HOOK = "layers.0.hook_post"
SHARD_ROWS = 6


def labelled_data(count: int = 20) -> Any:
    inputs = torch.randn(count, 5, generator=torch.Generator().manual_seed(2))
    return SimpleNamespace(inputs=inputs, examples=pd.DataFrame({"digit": [i % 3 for i in range(count)]}))


def stored(folder: Path, *, dtype: str | None = None) -> tuple[Activations, Activations]:
    """The same capture in memory and on disk, there in shards of six examples."""
    model = MLP(MLPConfig(sizes=(5, 4, 2), activation="tanh"), seeds=[3, 7])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keepers, "SHARD_BYTES", SHARD_ROWS * 2 * 4 * (2 if dtype == "float16" else 4))
        on_disk = capture(model, labelled_data(), HOOK, to=folder, batch_size=3, dtype=dtype)
    return capture(model, labelled_data(), HOOK, batch_size=3, dtype=dtype), on_disk


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Activations, Activations]:
    return stored(tmp_path_factory.mktemp("store") / "acts")


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_the_disk_holds_what_the_memory_would(tmp_path: Path, dtype: str | None) -> None:
    in_memory, on_disk = stored(tmp_path / "acts", dtype=dtype)
    assert len(list((tmp_path / "acts").glob("shard-*.safetensors"))) == (2 if dtype == "bfloat16" else 4)
    assert torch.equal(on_disk.tensor(HOOK), in_memory.tensor(HOOK))
    np.testing.assert_array_equal(on_disk[HOOK], in_memory[HOOK])
    assert on_disk[HOOK].dims == ("seed", "example", "neuron")
    last = {"seed": 1, "example": -1}
    np.testing.assert_array_equal(on_disk[HOOK].isel(last).values, in_memory[HOOK].isel(last).values)
    assert on_disk.seeds == (3, 7)
    pd.testing.assert_frame_equal(on_disk.examples, in_memory.examples)
    means = on_disk[HOOK].groupby("digit").mean("example")
    np.testing.assert_array_equal(means, in_memory[HOOK].groupby("digit").mean("example"))


@st.composite
def axis_index(draw: st.DrawFn, length: int) -> Any:
    positions = st.integers(-length, length - 1)
    bounds = st.none() | st.integers(-length - 2, length + 2)
    steps = st.none() | st.sampled_from([-2, -1, 1, 2, 7])
    return draw(
        st.one_of(positions, st.builds(slice, bounds, bounds, steps), st.lists(positions, max_size=6))
    )


@given(index=st.tuples(axis_index(2), axis_index(20), axis_index(4)))
def test_any_selection_reads_what_numpy_would_give(pair: Any, index: tuple[Any, ...]) -> None:
    in_memory, on_disk = pair
    where = {
        dim: np.array(i, int) if i == [] else i for dim, i in zip(on_disk[HOOK].dims, index, strict=True)
    }
    np.testing.assert_array_equal(on_disk[HOOK].isel(where).values, in_memory[HOOK].isel(where).values)


def test_an_empty_selection_is_empty(pair: Any) -> None:
    _, on_disk = pair
    nobody = on_disk[HOOK].isel(example=np.zeros(20, bool))
    assert nobody.shape == (2, 0, 4)
    assert nobody.values.size == 0


def test_pointwise_selection_works(pair: Any) -> None:
    in_memory, on_disk = pair
    where = {
        "example": xr.DataArray([19, 0, 7], dims="chosen"),
        "neuron": xr.DataArray([3, 1, 0], dims="chosen"),
    }
    np.testing.assert_array_equal(on_disk[HOOK].isel(where), in_memory[HOOK].isel(where))


def test_opening_reads_no_numbers(tmp_path: Path) -> None:
    _, on_disk = stored(tmp_path / "acts")
    assert not on_disk[HOOK].variable._in_memory
    assert not on_disk[HOOK].isel(example=[1, 2]).variable._in_memory


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    stored(tmp_path / "acts")
    shard = tmp_path / "acts" / "shard-00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(
        BadFile, match=r"shard-00001.safetensors is truncated or altered: \d+ bytes instead of"
    ):
        open_activations(tmp_path / "acts")


def test_a_shard_with_a_ruined_header_is_named(tmp_path: Path) -> None:
    stored(tmp_path / "acts")
    shard = tmp_path / "acts" / "shard-00000.safetensors"
    shard.write_bytes(b"\xff" * 40 + shard.read_bytes()[40:])
    with pytest.raises(BadFile, match=r"shard-00000.safetensors is truncated or altered"):
        open_activations(tmp_path / "acts")


def test_a_changed_byte_is_found_on_verification(tmp_path: Path) -> None:
    stored(tmp_path / "acts")
    assert open_activations(tmp_path / "acts", verify=True).names == (HOOK,)
    shard = tmp_path / "acts" / "shard-00002.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(BadFile, match=r"shard-00002.safetensors was altered"):
        open_activations(tmp_path / "acts", verify=True)


@pytest.mark.parametrize("name", ["shard-00003.safetensors", "examples.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    stored(tmp_path / "acts")
    (tmp_path / "acts" / name).unlink()
    with pytest.raises(BadFile, match=f"{name} is missing"):
        open_activations(tmp_path / "acts")


def test_a_store_without_a_manifest_is_incomplete(tmp_path: Path) -> None:
    stored(tmp_path / "acts")
    (tmp_path / "acts" / "manifest.json").unlink()
    with pytest.raises(BadFile, match="is incomplete"):
        open_activations(tmp_path / "acts")
    in_memory, on_disk = stored(tmp_path / "acts")
    assert torch.equal(on_disk.tensor(HOOK), in_memory.tensor(HOOK))


@pytest.mark.parametrize(
    "change",
    [{"format": "something else"}, {"surprise": 1}, {"version": 2}, {"hooks": {"h": {"axes": ["example"]}}}],
)
def test_a_foreign_manifest_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    stored(tmp_path / "acts")
    path = tmp_path / "acts" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadFile, match=r"manifest.json is not a manifest of activations"):
        open_activations(tmp_path / "acts")


def test_a_manifest_that_promises_more_than_the_shards_hold_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "acts")
    path = tmp_path / "acts" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["hooks"][HOOK]["shape"] = [2, 21, 4]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadFile, match=r"do not hold 'layers.0.hook_post'"):
        open_activations(tmp_path / "acts")


def test_nowhere_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="holds no activations"):
        open_activations(tmp_path / "nowhere")


def test_a_folder_in_use_is_not_written_to(tmp_path: Path) -> None:
    stored(tmp_path / "acts")
    with pytest.raises(Refused, match="already holds activations"):
        capture(HandNetwork(), torch.zeros(3, 2), "**", to=tmp_path / "acts")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(Refused, match=r"is not empty \(thesis.tex\)"):
        capture(HandNetwork(), torch.zeros(3, 2), "**", to=tmp_path / "mine")


def test_a_capture_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, passes = HandNetwork(), []

    def explode(*_: Any) -> None:
        passes.append(1)
        if len(passes) == 3:
            raise Exploding

    model.register_forward_hook(explode)
    monkeypatch.setattr(keepers, "SHARD_BYTES", 1)
    with pytest.raises(Exploding):
        capture(model, torch.zeros(6, 2), "**", to=tmp_path / "a" / "acts", batch_size=1)
    assert not (tmp_path / "a" / "acts").exists()


def test_what_will_not_fit_on_the_disk_is_refused_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "available_disk", lambda folder: 100)
    with pytest.raises(
        Refused, match="2 hooks for 30 examples need 480 bytes on disk, and 100 bytes is free"
    ):
        capture(HandNetwork(), torch.zeros(30, 2), ["hook_input", "plus.hook_post"], to=tmp_path / "acts")
    assert not (tmp_path / "acts").exists()


def test_nan_is_said_once_for_all_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "SHARD_BYTES", 1)
    inputs = torch.zeros(6, 2)
    inputs[0, 0] = inputs[5, 1] = float("nan")
    with pytest.warns(RuntimeWarning, match="hook_input: 2"):
        capture(HandNetwork(), inputs, "hook_input", to=tmp_path / "acts", batch_size=1)


@pytest.mark.parametrize("file", ["examples.json", "manifest.json"])
def test_a_disk_that_fills_up_at_the_very_end_leaves_nothing(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, **settings: Any) -> Any:
        if path.endswith(file):
            raise OSError(28, "No space left on device", path)
        return atomic_save(path, **settings)

    monkeypatch.setattr(store, "atomic_save", full)
    with pytest.raises(OSError, match="No space left"):
        stored(tmp_path / "acts")
    assert not (tmp_path / "acts").exists()
