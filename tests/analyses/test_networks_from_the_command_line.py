"""`interp train`, `hooks`, `capture` and `probe`, on one small run, held against the same calls in Python."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typed import Interp

import interp
import models
from interp.reporting.report import read_report

PROBED = ("--hooks", "layers.*.hook_post", "--label", "digit")


def test_training_prints_what_each_seed_reached(cli: Interp) -> None:
    done = cli(
        "train",
        "digits-mlp",
        "--seeds",
        2,
        "--epochs",
        1,
        "--rate",
        0.01,
        "--batch-size",
        100,
        "--out",
        "run",
    )
    assert (done.code, done.err) == (0, "")
    recipe, trained = models.load_run("run")
    assert (recipe.training.epochs, recipe.training.optimizer.rate, recipe.training.batch_size) == (
        1,
        0.01,
        100,
    )
    test = models.load_data("digits").test
    accuracy = (trained.model(test.inputs).argmax(-1) == test.targets).double().mean(-1)
    for seed in (0, 1):
        assert f"{accuracy[seed]:.4f}" in done.out
    assert f"{accuracy.mean():.4f} [" in done.out
    assert "Run: run " in done.out


def test_a_run_that_is_there_is_resumed_only_when_asked(cli: Interp) -> None:
    words = ("train", "digits-mlp", "--seeds", 1, "--epochs", 1, "--out", "run", "--json")
    first = cli(*words)
    again = cli(*words)
    assert (first.code, again.code) == (0, 2)
    assert "--resume" in again.err
    assert cli(*words, "--resume").json == first.json


def test_a_recipe_fits_itself_to_other_data(cli: Interp) -> None:
    recipe = cli("train", "3b1b", "--data", "digits", "--dry-run").json["recipe"]
    assert (recipe["data"], recipe["network"]["sizes"]) == ("digits", [64, 16, 16, 10])


def test_seeds_that_diverge_are_named_and_the_others_go_on(cli: Interp) -> None:
    done = cli("train", "digits-mlp", "--seeds", 3, "--epochs", 1, "--rate", 2.1e11, "--out", "run", "--json")
    assert done.code == 0
    assert "seed 0 diverged at step 1 (rate 2.1e+11); try a lower --rate" in done.err
    assert [row["seed"] for row in done.json["seeds"]] == [1, 2]
    assert [row["seed"] for row in done.json["diverged"]] == [0]


def test_a_run_whose_seeds_all_diverge_fails(cli: Interp) -> None:
    done = cli("train", "digits-mlp", "--seeds", 2, "--epochs", 1, "--rate", 1e20, "--out", "run")
    assert (done.code, done.out) == (1, "")
    assert "Every seed diverged" in done.err


WRONG_TRAINING = {
    "a mistyped recipe": (["digit-mlp"], 2, "no recipe 'digit-mlp'. Nearest: digits-mlp"),
    "mistyped data": (["digits-mlp", "--data", "digit"], 2, "no data set 'digit'. Nearest: digits"),
    "no seeds": (["digits-mlp", "--seeds", "0"], 2, "Seeds are"),
    "a rate below zero": (["digits-mlp", "--rate", "-1"], 2, "rate is a positive number"),
    "a batch too large": (["digits-mlp", "--batch-size", "5000"], 2, "5000"),
    "a device there is none": (["digits-mlp", "--device", "tpu"], 2, "'cuda'"),
    "a file in the way": (["digits-mlp", "--out", "file/run"], 1, "is a file, and a folder is needed"),
}


@pytest.mark.parametrize("case", WRONG_TRAINING)
def test_training_that_cannot_be_meant_is_explained(cli: Interp, tmp_path: Path, case: str) -> None:
    words, code, explained = WRONG_TRAINING[case]
    (tmp_path / "file").touch()
    done = cli("train", *words)
    assert (done.code, done.out) == (code, "")
    assert explained in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_hooks_shows_every_hook_point_with_axes_and_shape(cli: Interp, run_folder: Path) -> None:
    found = cli("hooks", run_folder, "--json").json
    model = models.load_run(run_folder)[1].model
    shapes = {hook["hook"]: (hook["axes"], hook["shape"]) for hook in found["hooks"]}
    assert list(shapes) == list(model.hook_dict)
    assert shapes["hook_input"] == (["example", "pixel"], [None, 64])
    assert shapes["layers.1.hook_post"] == (["seed", "example", "neuron"], [6, None, 32])
    assert found["seeds"] == list(range(6))
    table = cli("hooks", run_folder).out
    assert all(words in table for words in ("layers.1.hook_post", "[seed, example, neuron]", "6 × n × 32"))


def folders_that_are_no_run(run_folder: Path, place: Path) -> dict[str, str]:
    """Folders, and what is said of them."""
    for name in ("run", "runs/first", "runs/second"):
        shutil.copytree(run_folder, place / name)
    (place / "pretrained").mkdir()
    (place / "pretrained" / "config.json").write_text("{}")
    (place / "empty").mkdir()
    return {
        "nowhere": "There is no run nowhere",
        "empty": "is no run folder of `interp train`: it holds no recipe.json",
        "pretrained": 'models.load_pretrained("pretrained")',
        "runs": "it holds 2 of them (first, second): give one, as runs/first",
        "run/seed-0": "the network of one seed: give the run's folder",
    }


def test_folders_that_are_no_run_are_named_for_what_they_are(
    cli: Interp, run_folder: Path, tmp_path: Path
) -> None:
    for folder, said in folders_that_are_no_run(run_folder, tmp_path).items():
        for words in (("hooks", folder), ("capture", folder, "--hooks", "**", "--out", "acts")):
            done = cli(*words)
            assert (done.code, done.out) == (3, "")
            assert said in done.err


def test_patterns_are_explained_where_hooks_are_shown(cli: Interp, run_folder: Path) -> None:
    assert "'**' is every hook" in cli("hooks", run_folder).out
    assert "'**' is every hook" in " ".join(cli("capture", "--help").out.replace("│", " ").split())


def test_capture_writes_what_python_captures(cli: Interp, run_folder: Path) -> None:
    words = (
        "--hooks",
        "hook_logits",
        "--hooks",
        "layers.0.hook_{pre,post}",
        "--limit",
        50,
        "--split",
        "probe",
    )
    done = cli("capture", run_folder, *words, "--out", "acts", "--dtype", "float64")
    assert (done.code, done.err) == (0, "")
    written = interp.open_activations("acts")
    assert set(written) == {"hook_logits", "layers.0.hook_pre", "layers.0.hook_post"}
    model = models.load_run(run_folder)[1].model
    examples = models.load_data("digits").probe.subset(range(50))
    assert written["hook_logits"].dtype == np.float64
    torch.testing.assert_close(written.tensor("hook_logits").float(), model(examples.inputs).detach())
    assert written.examples["digit"].tolist() == examples.examples["digit"].tolist()


WRONG_CAPTURES = {
    "a mistyped hook": (["--hooks", "layers.0.hook_pots", "--out", "a"], 2, "Nearest: layers.0.hook_post"),
    "no hooks": (["--out", "a"], 2, "No hooks were given"),
    "no examples": (["--hooks", "hook_logits", "--out", "a", "--limit", "0"], 2, "--limit is at least 1"),
    "nowhere to write": (["--hooks", "hook_logits"], 2, "--out"),
    "a folder with files": (["--hooks", "hook_logits", "--out", "full"], 2, "full is not empty"),
    "a mistyped split": (["--hooks", "hook_logits", "--out", "a", "--split", "tset"], 2, "'test'"),
    "a mistyped dtype": (["--hooks", "hook_logits", "--out", "a", "--dtype", "float12"], 2, "float16"),
    "mistyped data": (["--hooks", "hook_logits", "--out", "a", "--data", "digitz"], 2, "Nearest: digits"),
}


@pytest.mark.parametrize("case", WRONG_CAPTURES)
def test_captures_that_cannot_be_meant_are_explained(
    cli: Interp, run_folder: Path, tmp_path: Path, case: str
) -> None:
    words, code, explained = WRONG_CAPTURES[case]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    done = cli("capture", run_folder, *words)
    assert (done.code, done.out) == (code, "")
    assert explained in done.err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("words", [("hooks",), ("capture", "--out", "a", "--hooks", "x"), ("probe", *PROBED)])
def test_a_missing_run_is_named(cli: Interp, words: tuple[str, ...]) -> None:
    done = cli(words[0], "nowhere", *words[1:])
    assert (done.code, done.out) == (3, "")
    assert "no run nowhere" in done.err


def test_a_corrupt_run_names_the_file(cli: Interp, run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    weights = tmp_path / "run" / "seed-3" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    done = cli("hooks", "run")
    assert (done.code, done.out) == (3, "")
    assert "run/seed-3/weights.safetensors is truncated or altered" in done.err


def test_probing_gives_what_decode_gives(cli: Interp, run_folder: Path) -> None:
    done = cli("probe", run_folder, *PROBED)
    assert (done.code, done.err) == (0, "")
    folder = Path("runs") / "small-probe-digit"
    record = read_report(folder)
    model = models.load_run(run_folder)[1].model
    untrained = models.MLP(model.config, seeds=model.every_seed)
    decoding = interp.decode(
        model, models.load_data("digits"), "layers.*.hook_post", label="digit", untrained=untrained
    )
    means = {(hook, figure): mean for hook, figure, mean, _, _ in record["tables"]["probes"]["rows"]}
    for hook in ("layers.0.hook_post", "layers.1.hook_post"):
        assert means[hook, "trained"] == pytest.approx(np.mean(decoding.of(hook)))
        untrained_accuracy = decoding.of(hook, network="untrained")
        assert means[hook, "untrained network"] == pytest.approx(np.mean(untrained_accuracy))
        assert means[hook, "selectivity"] == pytest.approx(np.mean(decoding.selectivity(hook)))
    assert len(record["claims"]) == 6
    assert all(claim["controls"] for claim in record["claims"])
    assert f"{folder}/report.json" in done.out


def test_a_probes_report_holds_when_it_is_run_again(cli: Interp, run_folder: Path) -> None:
    cli("probe", run_folder, *PROBED, "--probe", "logistic", "--out", "mine")
    done = cli("verify", "mine")
    assert (done.code, done.err) == (0, "")
    assert "Every figure holds." in done.out


def test_one_seed_gives_figures_but_no_verdict(cli: Interp) -> None:
    cli("train", "digits-mlp", "--seeds", 1, "--epochs", 1, "--out", "alone")
    done = cli("probe", "alone", *PROBED, "--out", "mine")
    assert (done.code, done.err) == (0, "")
    assert "no interval and no verdict" in done.out
    assert read_report("mine")["claims"] == []


WRONG_PROBES = {
    "a mistyped hook": (["--hooks", "hook_logit", "--label", "digit"], "Nearest: hook_logits"),
    "no hooks": (["--label", "digit"], "No hooks were given"),
    "a mistyped label": (
        ["--hooks", "hook_logits", "--label", "digits"],
        "no label 'digits'. Nearest: digit",
    ),
    "a label that cannot be learned": (["--hooks", "hook_logits", "--label", "number"], "'number'"),
    "a mistyped probe": (["--hooks", "hook_logits", "--label", "digit", "--probe", "rigde"], "'ridge'"),
    "no label": (["--hooks", "hook_logits"], "--label"),
}


@pytest.mark.parametrize("case", WRONG_PROBES)
def test_probes_that_cannot_be_meant_are_explained(
    cli: Interp, run_folder: Path, tmp_path: Path, case: str
) -> None:
    words, explained = WRONG_PROBES[case]
    done = cli("probe", run_folder, *words)
    assert (done.code, done.out) == (2, "")
    assert explained in done.err
    assert list(tmp_path.iterdir()) == []
