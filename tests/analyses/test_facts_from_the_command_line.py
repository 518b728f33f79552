"""`interp train facts`, `hooks`, `capture` and `probe` on a network of tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typed import Interp

import interp
import models
from interp.reporting.report import read_report


def test_data_of_tokens_are_listed_with_their_recipe(cli: Interp) -> None:
    listed = cli("list", "--json").json
    splits = {entry["name"]: entry["splits"] for entry in listed["data"]}
    assert splits["world"] == [4_000, 0, 0]
    assert {"families", "countries", "facts"} <= splits.keys()
    assert ("facts", "world") in {(recipe["name"], recipe["data"]) for recipe in listed["recipes"]}


def test_the_recipe_fits_itself_to_other_facts(cli: Interp) -> None:
    network = cli("train", "facts", "--data", "countries", "--dry-run").json["recipe"]["network"]
    entry = models.CATALOGUE["countries"]
    assert (network["context"], network["vocabulary"]) == (entry.positions, entry.classes)


@pytest.mark.parametrize(
    ("words", "explained"),
    [
        (
            ("facts", "--data", "digits"),
            "reads tokens, and 'digits' holds numbers. Recipes for it: digits-mlp",
        ),
        (("digits-mlp", "--data", "world"), "reads numbers, and 'world' holds tokens. Recipes for it: facts"),
    ],
)
def test_a_recipe_for_other_inputs_is_told_which_fit(
    cli: Interp, words: tuple[str, ...], explained: str
) -> None:
    done = cli("train", *words)
    assert (done.code, done.out) == (2, "")
    assert explained in done.err


def test_training_says_what_is_known_and_what_was_held_out(cli: Interp, relatives: Path) -> None:
    lines = (relatives / "metrics.jsonl").read_text().splitlines()
    last = {row["seed"]: row for row in map(json.loads, lines) if row["epoch"] == 40}
    done = cli("train", "facts", "--data", "families", "--seeds", 2, "--epochs", 40, "--batch-size", 50,
               "--out", relatives, "--resume")  # fmt: skip
    assert done.code == 0
    for seed in (0, 1):
        assert 0.5 < last[seed]["known"] <= 1
        for measure in ("known", "held_out_paraphrase", "held_out_fact"):
            assert f"{last[seed][measure]:.4f}" in done.out
    assert "test accuracy" not in done.out


def test_hooks_and_capture_work_on_sequences(cli: Interp, relatives: Path) -> None:
    found = {hook["hook"]: hook for hook in cli("hooks", relatives, "--json").json["hooks"]}
    assert found["blocks.1.hook_resid_post"]["axes"] == ["seed", "example", "pos", "d_model"]
    assert found["hook_logits"]["shape"] == [2, None, 5, 43]
    assert cli("capture", relatives, "--hooks", "blocks.*.hook_mlp_out", "--out", "acts").code == 0
    written = interp.open_activations("acts")
    assert set(written.examples["split"]) == {"test"}
    assert written.tensor("blocks.1.hook_mlp_out").shape == (2, 52, 5, 64)


def test_a_label_is_read_where_the_answer_is_due(cli: Interp, relatives: Path) -> None:
    words = ("probe", relatives, "--hooks", "blocks.*.hook_resid_post", "hook_embed", "--label", "relation")
    done = cli(*words, "--out", "answer")
    assert (done.code, done.err) == (0, "")
    rows = read_report("answer")["tables"]["probes"]["rows"]
    means = {(hook, figure): mean for hook, figure, mean, _, _ in rows}
    assert means["blocks.1.hook_resid_post", "trained"] > 0.6
    assert cli("probe", relatives, *words[2:], "--out", "first", "--at", 0).code == 0
    rows = read_report("first")["tables"]["probes"]["rows"]
    at_first = {(hook, figure): mean for hook, figure, mean, _, _ in rows}
    assert at_first["blocks.1.hook_resid_post", "trained"] < 0.4
    assert "read at 'answer_pos'" in done.out


@pytest.mark.parametrize(
    ("at", "explained"),
    [("answer_posn", "Nearest: answer_pos"), ("7", "go from 0 to 4"), ("kind", "no positions")],
)
def test_positions_that_are_not_there_are_explained(
    cli: Interp, relatives: Path, at: str, explained: str
) -> None:
    done = cli("probe", relatives, "--hooks", "hook_embed", "--label", "relation", "--at", at)
    assert (done.code, done.out) == (2, "")
    assert explained in done.err


@pytest.mark.parametrize("command", ["capture", "probe"])
def test_data_spelt_with_another_tokenizer_are_refused(cli: Interp, relatives: Path, command: str) -> None:
    more = ("--out", "acts") if command == "capture" else ("--label", "relation")
    done = cli(command, relatives, "--hooks", "hook_embed", "--data", "world", *more)
    assert (done.code, done.out) == (2, "")
    assert "'world' are spelt with another tokenizer than 'families'" in done.err
    assert not Path("acts").exists()


def test_a_world_of_which_nothing_is_held_out_is_probed_by_halves(cli: Interp) -> None:
    words = ("train", "facts", "--seeds", 1, "--epochs", 1, "--batch-size", 1_000, "--out", "world")
    assert cli(*words).code == 0
    assert cli("capture", "world", "--hooks", "hook_embed", "--out", "acts", "--limit", 9).code == 0
    done = cli("probe", "world", "--hooks", "hook_embed", "--label", "relation", "--at", 2)
    assert (done.code, done.err) == (0, "")
    assert "half of the subjects" in done.out.replace("\n", " ")
