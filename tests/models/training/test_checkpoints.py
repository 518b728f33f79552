from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import killed_runs
import pandas as pd
import pytest
import torch

from models.data.dataset import Dataset
from models.refusals import BadFile, Refused
from models.training.checkpoints import load_checkpoint, save_checkpoint
from models.training.metrics import cut_back
from models.training.population import Population
from models.training.recipes import Recipe
from models.training.runs import load_run, trained
from models.training.train import Diverged, train

HERE = Path(__file__).parent


@pytest.mark.parametrize(("name", "kills"), [("adam", 16), ("momentum", 8)])
def test_a_run_killed_at_random_moments_ends_with_the_same_bits(
    name: str, kills: int, tmp_path: Path
) -> None:
    command = [sys.executable, str(HERE / "killed_runs.py"), name, str(tmp_path / "killed"), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parents[2])
    outcome = json.loads(done.stdout)
    assert len(outcome["left"]) == kills, "the run ended before it was killed often enough"
    assert outcome["exit"] == 0
    assert len(set(outcome["left"])) > kills / 3, "the kills did not fall at different steps"
    whole = train(killed_runs.RECIPES[name], seeds=4, data=killed_runs.points(), folder=tmp_path / "whole")
    _, killed = load_run(tmp_path / "killed")
    assert killed.divergences == whole.divergences
    assert same_bits(killed.model, whole.model)
    assert (tmp_path / "killed" / "metrics.jsonl").read_text() == (
        tmp_path / "whole" / "metrics.jsonl"
    ).read_text()


def same_bits(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.fixture
def recipe() -> Recipe:
    return killed_runs.RECIPES["adam"].but(epochs=3)


@pytest.fixture
def data() -> Dataset:
    return killed_runs.points()


@pytest.fixture
def halfway(recipe: Recipe, data: Dataset) -> Population:
    population = Population(recipe, data.network, (0, 1), torch.device("cpu"))
    for _ in range(7):
        population.advance()
    return population


def test_a_checkpoint_brings_everything_back(
    recipe: Recipe, data: Dataset, halfway: Population, tmp_path: Path
) -> None:
    halfway.plateau.see(torch.tensor([9.0, 1.0], dtype=torch.float64))
    save_checkpoint(halfway, tmp_path / "c", digest="d")
    again = Population(recipe, data.network, (0, 1), torch.device("cpu"))
    load_checkpoint(again, tmp_path / "c", digest="d")
    for population in (halfway, again):
        population.advance()
    assert same_bits(halfway.model, again.model)
    assert torch.equal(halfway.loss_sum, again.loss_sum)
    for kept in ("best", "waited", "factor"):
        assert torch.equal(getattr(halfway.plateau, kept), getattr(again.plateau, kept))


def test_a_torn_checkpoint_is_named_and_anothers_is_refused(
    recipe: Recipe, data: Dataset, halfway: Population, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(halfway, path, digest="d")
    with pytest.raises(Refused, match="another recipe"):
        load_checkpoint(halfway, path, digest="e")
    others = Population(recipe, data.network, (0, 2), torch.device("cpu"))
    with pytest.raises(Refused, match=r"holds seeds \[0, 1\], not \[0, 2\]"):
        load_checkpoint(others, path, digest="d")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BadFile, match=r"checkpoint\.safetensors is truncated"):
        load_checkpoint(halfway, path, digest="d")


def test_the_log_is_cut_back_to_the_checkpoint_and_a_torn_line_goes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"seed": 0, "step": 5}\n{"seed": 0, "step": 10}\n{"seed": 0, "st')
    assert cut_back(path, 5) == [{"seed": 0, "step": 5}]
    assert path.read_text() == '{"seed": 0, "step": 5}\n'


def test_a_folder_with_a_run_is_not_trained_over(recipe: Recipe, data: Dataset, tmp_path: Path) -> None:
    train(recipe, seeds=1, data=data, folder=tmp_path)
    with pytest.raises(Refused, match="holds a run already"):
        train(recipe, seeds=1, data=data, folder=tmp_path)


def test_resuming_a_run_that_has_ended_gives_what_it_gave(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    first = train(recipe, seeds=2, data=data, folder=tmp_path)
    log = (tmp_path / "metrics.jsonl").read_text()
    again = train(recipe, seeds=2, data=data, folder=tmp_path, resume=True)
    assert same_bits(first.model, again.model)
    assert (tmp_path / "metrics.jsonl").read_text() == log


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        train(recipe, seeds=1, data=data, folder=tmp_path / "file" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1]); import killed_runs, torch\n"
        "from pathlib import Path\n"
        "from models.training.checkpoints import save_checkpoint\n"
        "from models.training.population import Population\n"
        "p = Population(killed_runs.RECIPES['adam'], killed_runs.points().network, (0, 1), torch.device('cpu'))\n"
        "path = Path(sys.argv[2]); save_checkpoint(p, path, digest='d'); p.advance()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (999, 999))\n"
        "save_checkpoint(p, path, digest='d')\n"
    )
    path = tmp_path / "checkpoint.safetensors"
    command = [sys.executable, "-c", script, str(HERE), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[2])
    assert "File too large" in done.stderr
    assert killed_runs.step_left(tmp_path) == 0
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_cache_reuses_the_seeds_that_are_there(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    trained(recipe, seeds=[1, 2], data=data)
    (run,) = (tmp_path / "trained").iterdir()
    written = {path: path.stat().st_mtime_ns for path in run.glob("seed-*/*")}
    more = trained(recipe, seeds=4, data=data)
    assert more.model.seeds == (0, 1, 2, 3)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    fresh = train(recipe, seeds=4, data=data)
    assert same_bits(more.model, fresh.model)
    assert more.metrics.groupby("seed").size().tolist() == [4, 4, 4, 4]


def test_another_rate_other_data_or_more_epochs_are_other_cached_networks(
    recipe: Recipe, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    other_data = data.subset(list(range(len(data) - 1)))
    for settings, points in [
        (recipe, data),
        (recipe.but(rate=0.1), data),
        (recipe.but(epochs=1), data),
        (recipe, other_data),
    ]:
        trained(settings, seeds=1, data=points)
    assert len(list((tmp_path / "trained").iterdir())) == 4


def test_a_diverged_seed_stays_named_when_it_comes_from_the_cache(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    first = trained(killed_runs.RECIPES["momentum"], seeds=4, data=data)
    again = trained(killed_runs.RECIPES["momentum"], seeds=4, data=data)
    assert 0 < len(first.divergences) < 4
    assert first.divergences == again.divergences
    assert first.model.seeds == again.model.seeds


@pytest.mark.parametrize("name", ["recipe.json", "metrics.jsonl"])
def test_a_run_with_a_torn_file_is_refused_by_name(
    recipe: Recipe, data: Dataset, name: str, tmp_path: Path
) -> None:
    train(recipe, seeds=1, data=data, folder=tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-9])
    with pytest.raises(BadFile, match=name):
        load_run(tmp_path)


def test_a_run_whose_last_networks_were_not_written_is_refused_and_ends_when_resumed(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    whole = train(recipe, seeds=3, data=data, folder=tmp_path)
    shutil.rmtree(tmp_path / "seed-2")
    with pytest.raises(BadFile, match=r"no network of seeds \[2\]"):
        load_run(tmp_path)
    train(recipe, seeds=3, data=data, folder=str(tmp_path), resume=True)
    assert same_bits(load_run(tmp_path)[1].model, whole.model)


def test_a_run_of_another_recipe_is_not_gone_on_with_even_before_its_first_checkpoint(
    recipe: Recipe, data: Dataset, tmp_path: Path
) -> None:
    train(recipe, seeds=1, data=data, folder=tmp_path)
    (tmp_path / "checkpoint.safetensors").unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    with pytest.raises(Refused, match="another recipe"):
        train(recipe.but(rate=0.1), seeds=1, data=data, folder=tmp_path, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == before


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    return tmp_path / "trained"


def test_the_log_from_the_cache_is_the_log_of_the_training(
    recipe: Recipe, data: Dataset, cache: Path
) -> None:
    fresh = train(recipe, seeds=2, data=data).metrics.sort_values(["seed", "epoch"], ignore_index=True)
    pd.testing.assert_frame_equal(trained(recipe, seeds=2, data=data).metrics, fresh, check_like=True)


def test_seeds_that_diverge_are_left_out_whatever_was_trained_before(data: Dataset, cache: Path) -> None:
    recipe = killed_runs.RECIPES["momentum"]
    at_once = train(recipe, seeds=4, data=data)
    gone = [d.seed for d in at_once.divergences]
    trained(recipe, seeds=[seed for seed in range(4) if seed not in gone], data=data)
    bit_by_bit = trained(recipe, seeds=4, data=data)
    assert bit_by_bit.divergences == at_once.divergences
    assert same_bits(bit_by_bit.model, at_once.model)
    for _ in range(2):
        with pytest.raises(Diverged, match=rf"seed {gone[0]} at step .*, rate .*Try a lower rate"):
            trained(recipe, seeds=gone, data=data)


def test_a_training_that_was_cut_short_leaves_nothing_once_its_seeds_are_there(
    recipe: Recipe, data: Dataset, cache: Path
) -> None:
    trained(recipe, seeds=1, data=data)
    (run,) = cache.iterdir()
    train(recipe, seeds=[1, 2, 3], data=data, folder=run / "training-cut-short")
    trained(recipe, seeds=2, data=data)
    assert sorted(path.name for path in run.iterdir()) == ["lock", "recipe.json", "seed-0", "seed-1"]
