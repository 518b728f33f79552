"""What all commands share: help, exit codes, streams, the environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typed import INTERP, QUESTIONS, Interp, process

from analyses.cli import COMMANDS, main
from analyses.command_line.environment import in_force

HEAVY = {"torch", "transformer_lens", "sklearn", "matplotlib"}


def test_help_names_every_command_and_goes_to_stdout() -> None:
    done = process("--help")
    assert (done.code, done.err) == (0, "")
    assert all(f"\n  {name} " in done.out for name in COMMANDS)


def test_without_a_command_help_goes_to_stderr(cli: Interp) -> None:
    done = cli()
    assert (done.code, done.out) == (2, "")
    assert "usage: interp COMMAND" in done.err


def test_the_version_is_the_installed_one() -> None:
    assert process("--version").out == f"interp {metadata.version('interp-lab')}\n"


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["list", "--json"], ["train", "--help"], ["run", "--help"]]
)
def test_nothing_heavy_is_imported_to_look_around(words: list[str]) -> None:
    code = f"import sys; from analyses.cli import main; main({words}); print({HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Interp, command: str) -> None:
    done = cli(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: interp {command} ")
    assert "--no-progress" in done.out


def test_a_mistyped_command_names_the_nearest(cli: Interp) -> None:
    done = cli("tarin", "digits-mlp")
    assert (done.code, done.out) == (2, "")
    assert "no command 'tarin'. Nearest: train" in done.err


def test_flags_before_the_command_are_explained(cli: Interp) -> None:
    done = cli("--quiet", "list")
    assert done.code == 2
    assert "interp COMMAND --quiet" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistyped_flag_names_the_nearest(cli: Interp, command: str) -> None:
    words = {"run": ["is_the_mean_above_zero"], "train": ["digits-mlp"], "verify": ["x"], "hooks": ["x"]}
    words |= {"capture": ["x", "--out", "y"], "probe": ["x", "--label", "y"], "generate": ["x", "y"]}
    done = cli(command, *words.get(command, []), "--jsno")
    assert (done.code, done.out) == (2, "")
    assert "--json" in done.err


def test_a_broken_analysis_is_told_in_one_line(cli: Interp) -> None:
    done = cli("run", "what_breaks")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("interp: RuntimeError: broken for 1 seed (")
    assert done.err.count("\n") == 1


def test_verbose_shows_where_it_broke(cli: Interp) -> None:
    done = cli("run", "what_breaks", "--verbose")
    assert done.code == 1
    assert "Traceback" in done.err
    assert "in answer" in done.err


def test_a_closed_pipe_is_silent() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([INTERP, "list"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_quietly_with_130() -> None:
    words = ["run", "when_does_it_end"]
    code = (
        "import sys, pathlib; from analyses.cli import main; "
        f"sys.exit(main({words}, questions=pathlib.Path({str(QUESTIONS)!r})))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stderr is not None
        first = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert (first, running.returncode, out, err.strip()) == ("begun\n", 130, "", "Interrupted.")


def test_a_pipe_gets_no_colours_unless_forced() -> None:
    assert "\x1b[" not in process("list").out
    assert "\x1b[" in process("list", FORCE_COLOR="1").out
    assert "\x1b[" not in process("list", FORCE_COLOR="1", NO_COLOR="1").out


def test_flags_set_the_environment_for_the_command_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "")
    before = dict(os.environ)
    with in_force(["list", "--offline", "--no-progress"]):
        inside = dict(os.environ)
    assert (inside["INTERP_OFFLINE"], inside["HF_HUB_OFFLINE"], inside["TQDM_DISABLE"]) == ("1", "1", "1")
    assert dict(os.environ) == before


def test_the_offline_variable_holds_for_model_downloads_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERP_OFFLINE", "no")
    with in_force([]):
        assert "HF_HUB_OFFLINE" not in os.environ
    monkeypatch.setenv("INTERP_OFFLINE", "yes")
    with in_force([]):
        assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_list_names_recipes_data_and_questions(cli: Interp) -> None:
    found = cli("list", "--json").json
    asked = {entry["name"]: entry["question"] for entry in found["questions"]}
    assert asked == {
        "is_the_mean_above_zero": "Is the mean above zero?",
        "what_breaks": "What happens when an analysis breaks?",
        "when_does_it_end": "When does it end?",
    }
    assert {"name": "digits-mlp", "data": "digits"}.items() <= found["recipes"][0].items()
    assert {entry["name"]: entry["splits"] for entry in found["data"]}["digits"] == [1000, 397, 400]
    table = cli("list").out
    assert all(word in table for word in ("Is the mean above zero?", "digits-mlp", "1,000 / 397 / 400"))


def test_a_question_that_is_no_python_is_named(cli: Interp, tmp_path: Path) -> None:
    (tmp_path / "half_written.py").write_text("QUESTION = 'What", encoding="utf-8")
    done = cli("list", questions=tmp_path)
    assert done.code == 2
    assert "half_written.py is no Python" in done.err


def test_main_takes_the_process_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["interp", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("interp ")
