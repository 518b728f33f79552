"""`interp generate`: runs of ours and pretrained folders, and what cannot be continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from typed import Interp

import models

ASKED = "the father of Arthur is"


def test_every_network_of_the_run_goes_on_as_python_does(cli: Interp, relatives: Path) -> None:
    recipe, trained = models.load_run(relatives)
    tokenizer = models.run_tokenizer(relatives, recipe)
    expected = models.generate(trained.model, torch.tensor([tokenizer.encode(ASKED)]), count=1)
    texts = [tokenizer.decode(row[0].tolist()) for row in expected]
    found = cli("generate", relatives, ASKED, "--json").json
    assert [one["text"] for one in found["continuations"]] == texts
    assert [one["seed"] for one in found["continuations"]] == [0, 1]
    done = cli("generate", relatives, ASKED)
    assert (done.code, done.err) == (0, "")
    assert all(text in done.out for text in texts)


def test_one_network_can_be_chosen(cli: Interp, relatives: Path) -> None:
    every = cli("generate", relatives, ASKED, "--json").json["continuations"]
    alone = cli("generate", relatives, ASKED, "--network", 1)
    assert alone.out == every[1]["text"] + "\n"


def test_as_many_tokens_as_fit_unless_told(cli: Interp, relatives: Path) -> None:
    asked = cli("generate", relatives, "Arthur", "--json").json["continuations"][0]
    assert len(asked["tokens"]) == 5
    fewer = cli("generate", relatives, "Arthur", "--tokens", 2, "--json").json["continuations"][0]
    assert fewer["tokens"] == asked["tokens"][:2]


def test_the_seed_steers_what_is_drawn(cli: Interp, relatives: Path) -> None:
    words = ("generate", relatives, "the", "--temperature", 3, "--top-k", 30, "--json")
    drawn = [cli(*words, "--seed", seed).json["continuations"] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_recurrent_network_spells_on(cli: Interp) -> None:
    words = ("train", "places-gru", "--seeds", 2, "--epochs", 2, "--out", "run", "--quiet")
    assert cli(*words).code == 0
    model = models.load_run("run")[1].model
    tokenizer = models.run_tokenizer("run", models.recipe("places-gru"))
    expected = models.generate(model, torch.tensor([tokenizer.encode("\nma")]), count=12)
    found = cli("generate", "run", "ma", "--tokens", 12, "--json").json["continuations"]
    whole = [tokenizer.decode(row[0].tolist()).removeprefix("\n") for row in expected]
    assert [one["text"] for one in found] == [text.partition("\n")[0] for text in whole]
    assert [len(one["tokens"]) for one in found] == [len(one["text"]) - len("ma") for one in found]
    assert cli("generate", "run", "\nma", "--tokens", 12, "--json").json["continuations"] == found
    drawn = cli("generate", "run", "", "--temperature", 1, "--network", 1, "--tokens", 60)
    assert (drawn.code, drawn.err) == (0, "")
    assert drawn.out.count("\n") == 1


def test_a_network_of_lines_stops_where_a_line_ends() -> None:
    from analyses.command_line.generate import _ended

    tokens = torch.tensor([1, 7, 8, 9, 1, 5, 1])
    assert _ended(tokens, 2, 1).tolist() == [1, 7, 8, 9]
    assert _ended(tokens, 2, 4).tolist() == tokens.tolist()
    assert _ended(tokens, 2, None).tolist() == tokens.tolist()
    assert _ended(tokens, 4, 1).tolist() == [1, 7, 8, 9]


def test_a_character_it_does_not_know_is_named_and_so_are_blanks(cli: Interp) -> None:
    cli("train", "places-gru", "--seeds", 1, "--epochs", 0, "--out", "run", "--quiet")
    assert "no token 'S'. Nearest: s. Spell it 's', or build" in cli("generate", "run", "San").err
    assert r"Allowed: <pad>, '\n', ' ', '" in cli("generate", "run", "中").err


WRONG = {
    "a word it does not know": (["the father of Arthut is"], "no token 'Arthut'. Nearest: Arthur"),
    "a prompt that is too long": (["Arthur " * 6], "6 tokens, and the context is 5"),
    "an empty prompt": (["  "], "The prompt is empty"),
    "a temperature below 0": ([ASKED, "--temperature", "-1"], "given -1.0"),
    "a seed below 0": ([ASKED, "--temperature", "1", "--seed", "-1"], "whole number from 0; given -1"),
    "a top-k of 0": ([ASKED, "--temperature", "1", "--top-k", "0"], "1 to 43, the size"),
    "a top-k without a temperature": ([ASKED, "--top-k", "3"], "give a temperature"),
    "too many tokens": ([ASKED, "--tokens", "9"], "ask for at most 1, or give a shorter prompt"),
    "a network that is not there": ([ASKED, "--network", "7"], "no seed '7'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_explained(cli: Interp, relatives: Path, case: str) -> None:
    words, explained = WRONG[case]
    done = cli("generate", relatives, *words)
    assert (done.code, done.out) == (2, "")
    assert explained in done.err


def test_networks_that_read_no_text_do_not_generate(cli: Interp, run_folder: Path) -> None:
    done = cli("generate", run_folder, "seven")
    assert (done.code, done.out) == (2, "")
    assert "'digits', which is not spelt with a tokenizer" in done.err


def altered(relatives: Path, tmp_path: Path, *, swap: bool) -> Path:
    """The run with another tokenizer beside the weights: two words changed places, or one more."""
    shutil.copytree(relatives, tmp_path / "run")
    file = tmp_path / "run" / "tokenizer.json"
    saved = json.loads(file.read_text())
    if swap:
        saved["words"][-1], saved["words"][-2] = saved["words"][-2], saved["words"][-1]
    else:
        saved["words"].append("stranger")
    file.write_text(json.dumps(saved))
    return tmp_path / "run"


def test_a_tokenizer_that_does_not_fit_the_weights_is_refused(
    cli: Interp, relatives: Path, tmp_path: Path
) -> None:
    done = cli("generate", altered(relatives, tmp_path, swap=False), ASKED)
    assert (done.code, done.out) == (2, "")
    assert "does not fit the weights: it has 44 tokens, they have 43" in done.err


def test_another_tokenizer_of_the_same_size_is_found_out(
    cli: Interp, relatives: Path, tmp_path: Path
) -> None:
    done = cli("generate", altered(relatives, tmp_path, swap=True), ASKED)
    assert (done.code, done.out) == (3, "")
    assert "is not the tokenizer that the run was trained with" in done.err


@pytest.mark.parametrize(
    ("folder", "explained"), [("nowhere", "no run nowhere"), ("run/seed-0", "give the run's folder")]
)
def test_folders_without_networks_are_named(
    cli: Interp, relatives: Path, tmp_path: Path, folder: str, explained: str
) -> None:
    shutil.copytree(relatives, tmp_path / "run")
    done = cli("generate", folder, ASKED)
    assert (done.code, done.out) == (3, "")
    assert explained in done.err


def test_a_run_on_pairs_is_told_to_translate(cli: Interp, tmp_path: Path) -> None:
    run = tmp_path / "pairs"
    cli("train", "reordering", "--seeds", 1, "--epochs", 0, "--out", run, "--quiet")
    done = cli("generate", run, "the cat sees a dog")
    assert (done.code, done.out) == (2, "")
    assert "Use models.translate" in done.err


@pytest.mark.real_data
def test_a_pretrained_folder_tells_its_story(cli: Interp, data_dir: Path) -> None:
    done = cli("generate", data_dir / "stories260K", "Once upon a time", "--tokens", 12)
    assert (done.code, done.err) == (0, "")
    assert done.out == "Once upon a time, there was a little girl named Lily. She\n"
    done = cli("generate", data_dir / "stories260K", "", "--tokens", 3, "--json")
    assert done.json["continuations"][0]["text"].startswith("Once")
    strange = cli("generate", data_dir / "stories260K", "Tom é 🙂", "--tokens", 2)
    assert (strange.code, strange.out[:7]) == (0, "Tom é 🙂")
    long = cli("generate", data_dir / "stories260K", "Once", "--tokens", 600)
    assert (long.code, "the context is 512: ask for at most 511" in long.err) == (2, True)
    done = cli("generate", data_dir / "stories260K", "Once", "--network", 0)
    assert done.code == 2
