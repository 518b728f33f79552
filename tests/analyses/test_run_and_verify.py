"""`interp run` and `interp verify`, on a question whose answer is known by hand."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from typed import Interp

from interp.reporting.report import read_report

ASKED = "is_the_mean_above_zero"


def settings(cli: Interp, *words: object) -> dict[str, Any]:
    """The config that a command line comes to."""
    done = cli("run", ASKED, *words, "--dry-run")
    assert done.code == 0, done.err
    config: dict[str, Any] = done.json["config"]
    return config


def test_the_claims_are_a_table_and_the_report_lies_in_runs(cli: Interp) -> None:
    done = cli("run", ASKED)
    assert (done.code, done.err) == (0, "")
    assert all(
        words in done.out for words in ("supported", "The shift is above zero.", "Nothing was measured.")
    )
    assert f"runs/{ASKED}/report.json" in done.out
    (claim,) = read_report(Path("runs") / ASKED)["claims"]
    assert (claim["estimate"], claim["seeds"]) == (4.5, 8)


def test_the_runs_folder_may_be_elsewhere(
    cli: Interp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_RUNS_DIR", str(tmp_path / "elsewhere"))
    assert cli("run", ASKED).code == 0
    assert (tmp_path / "elsewhere" / ASKED / "index.html").is_file()


def test_json_is_strict_and_alone_on_stdout(cli: Interp) -> None:
    found = cli("run", ASKED, "--json", "--out", "here").json
    assert (found["report"], found["analysis"]) == ("here", ASKED)
    assert found["claims"][0]["verdict"] == "supported"


@pytest.mark.parametrize(
    "words", [[ASKED, "--seeds", "7"], ["--seeds", "7", ASKED], ["is-the-mean-above-zero", "--seeds=7"]]
)
def test_the_question_may_stand_anywhere(cli: Interp, words: list[str]) -> None:
    assert cli("run", *words, "--dry-run").json["config"]["seeds"] == 7


def test_flag_beats_file_beats_quick_beats_default(cli: Interp, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seeds = 9\nshift = 2.5\n", encoding="utf-8")
    (tmp_path / "mine.json").write_text('{"shift": 3.5}', encoding="utf-8")
    assert settings(cli)["seeds"] == 8
    assert settings(cli, "--quick")["seeds"] == 6
    assert settings(cli, "--quick", "-c", "mine.toml")["seeds"] == 9
    assert settings(cli, "--quick", "--config=mine.toml", "--seeds", 10) == {
        "data": "none",
        "seeds": 10,
        "shift": 2.5,
        "drop_table": False,
    }
    assert settings(cli, "--config", "mine.json", "--drop-table")["shift"] == 3.5


def test_a_dry_run_writes_nothing(cli: Interp, tmp_path: Path) -> None:
    assert cli("run", ASKED, "--dry-run").json["out"] == f"runs/{ASKED}"
    assert list(tmp_path.iterdir()) == []


def test_help_shows_the_questions_own_settings(cli: Interp) -> None:
    done = cli("run", ASKED, "--help")
    assert done.code == 0
    assert all(
        word in done.out
        for word in ("--shift FLOAT", "(default: 1.0)", "--drop-table", "Is the mean above zero?")
    )
    assert "(default: 6)" in cli("run", ASKED, "--quick", "--help").out


WRONG = {
    "no question": ([], "Which question? One of: is_the_mean_above_zero, what_breaks"),
    "a mistyped question": (
        ["is_the_mean_above_zeros"],
        "no question 'is_the_mean_above_zeros'. Nearest: is_the_mean",
    ),
    "a mistyped question after values": (
        ["--seeds", "3", "what_brakes"],
        "no question 'what_brakes'. Nearest: what_breaks",
    ),
    "a mistyped flag": ([ASKED, "--sift", "3"], "--shift"),
    "data that the question does not know": ([ASKED, "--data", "nine"], "'none'"),
    "a word for a number": ([ASKED, "--seeds", "many"], "--seeds"),
    "one seed": ([ASKED, "--seeds", "1"], "2 or more"),
    "a flag without its value": ([ASKED, "--seeds"], "--seeds"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_are_explained(cli: Interp, tmp_path: Path, case: str) -> None:
    words, explained = WRONG[case]
    done = cli("run", *words)
    assert (done.code, done.out) == (2, "")
    assert explained in done.err
    assert list(tmp_path.iterdir()) == []


FILES = {
    "missing": (None, 3, "mine.json cannot be read as settings"),
    "torn": ("{", 3, "mine.json cannot be read as settings"),
    "a list": ("[1]", 3, "mine.json holds no settings"),
    "a mistyped setting": ('{"sift": 1}', 2, "no setting 'sift'. Nearest: shift"),
    "a word for a number": ('{"seeds": "many"}', 2, "seeds: Input should be a valid integer"),
    "data that do not exist": ('{"data": "nine"}', 2, "data: Input should be 'none' or 'nothing'"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_of_settings_is_explained(cli: Interp, tmp_path: Path, case: str) -> None:
    text, code, explained = FILES[case]
    if text is not None:
        (tmp_path / "mine.json").write_text(text, encoding="utf-8")
    done = cli("run", ASKED, "--config", "mine.json")
    assert (done.code, done.out) == (code, "")
    assert explained in done.err


def test_a_place_that_cannot_be_written_is_told_before_the_answer_is_sought(
    cli: Interp, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = cli("run", "what_breaks", "--out", "file/report")
    assert done.code == 1
    assert "file: is a file, and a folder is needed" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told_before_the_answer_is_sought(cli: Interp, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = cli("run", "what_breaks", "--out", "locked/report")
    assert done.code == 1
    assert "cannot be written to" in done.err


def test_somebodys_files_are_not_replaced(cli: Interp, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work", encoding="utf-8")
    done = cli("run", "what_breaks", "--out", "thesis", "--force")
    assert done.code == 2
    assert "thesis holds files, but no whole report" in done.err
    assert (tmp_path / "thesis" / "chapter.tex").read_text(encoding="utf-8") == "years of work"


def test_another_questions_report_is_replaced_only_by_force(cli: Interp, tmp_path: Path) -> None:
    assert cli("run", ASKED, "--out", "mine").code == 0
    record = tmp_path / "mine" / "report.json"
    record.write_text(record.read_text(encoding="utf-8").replace(f'"{ASKED}"', '"another"'), encoding="utf-8")
    done = cli("run", ASKED, "--out", "mine")
    assert done.code == 2
    assert "holds a report of 'another'" in done.err
    assert cli("run", ASKED, "--out", "mine", "--force").code == 0
    assert read_report("mine")["analysis"] == ASKED


def test_its_own_older_report_is_replaced(cli: Interp) -> None:
    assert cli("run", ASKED).code == 0
    assert cli("run", ASKED, "--seeds", 9).code == 0
    assert read_report(Path("runs") / ASKED)["claims"][0]["seeds"] == 9


def test_a_report_holds_when_it_is_run_again(cli: Interp) -> None:
    cli("run", ASKED, "--shift", 0.5, "--seeds", 7, "--out", "mine")
    done = cli("verify", "mine")
    assert (done.code, done.err) == (0, "")
    assert "Every figure holds." in done.out
    found = cli("verify", "mine", "--json").json
    assert found["holds"] is True
    assert {"estimate", "verdict", "rule"} <= {row["figure"] for row in found["figures"]}


def alter(*path: str | int, value: Any, folder: Path = Path("mine")) -> None:
    """Another value at a place of a report on the disk."""
    record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    inner = record
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    (folder / "report.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_figure_that_does_not_hold_is_named(cli: Interp) -> None:
    cli("run", ASKED, "--out", "mine")
    alter("claims", 0, "estimate", value=4.6)
    done = cli("verify", "mine")
    assert done.code == 4
    assert all(word in done.out for word in ("Figures that do not hold", "estimate", "4.6", "4.5"))
    assert cli("verify", "mine", "--tolerance", 0.1).code == 0


def test_what_has_changed_since_is_told(cli: Interp) -> None:
    cli("run", ASKED, "--out", "mine")
    alter("provenance", "versions", "numpy", value="0.1")
    alter("provenance", "data", "none", value="another")
    done = cli("verify", "mine")
    assert done.code == 0
    assert "versions numpy was 0.1, now" in done.err
    assert "data none was another, now 0" in done.err
    assert cli("verify", "mine", "--quiet").err == ""


def test_a_report_that_is_not_there_is_named(cli: Interp) -> None:
    done = cli("verify", "nowhere")
    assert (done.code, done.out) == (3, "")
    assert "nowhere/report.json cannot be read" in done.err


CORRUPT = {
    "a verdict that is none": (("claims", 0, "verdict"), "perhaps", "no whole report"),
    "a question that is not asked here": (("analysis",), "who_wrote_this", "no question 'who_wrote_this'"),
    "settings of another version": (
        ("provenance", "config"),
        {"seeds": 8},
        "another version of is_the_mean_above_zero",
    ),
    "settings that are not possible": (
        ("provenance", "config", "seeds"),
        "many",
        "settings that are not possible",
    ),
    "no settings": (("provenance",), {}, "another version"),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_report_is_refused(cli: Interp, case: str) -> None:
    path, value, explained = CORRUPT[case]
    cli("run", ASKED, "--out", "mine")
    alter(*path, value=value)
    done = cli("verify", "mine")
    assert (done.code, done.out) == (3, "")
    assert explained in done.err


def test_an_altered_table_is_refused(cli: Interp, tmp_path: Path) -> None:
    cli("run", ASKED, "--out", "mine")
    (tmp_path / "mine" / "tables" / "values.csv").write_text("seed,value\n", encoding="utf-8")
    done = cli("verify", "mine")
    assert done.code == 3
    assert "values.csv is not what report.json describes" in done.err


def test_a_tolerance_that_is_none_is_refused(cli: Interp) -> None:
    cli("run", ASKED, "--out", "mine")
    for given in (-1, math.nan):
        assert cli("verify", "mine", "--tolerance", given).code == 2
