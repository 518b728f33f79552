"""What the README shows is run: Python in order in one namespace, commands in an empty folder, make's targets checked.

A `text` block right after a Python block is what that block prints: the words to the letter, numbers to within a few
hundredths, since processors round differently.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from analyses.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it begins in, what follows it directly as `text`."""

    language: str
    text: str
    line: int
    printed: str = ""


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a document, each with its output block if one follows."""
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL))
    for block, after in zip(found, [*found[1:], None], strict=True):
        follows = after and after[1] == "text" and not markdown[block.end() : after.start()].strip()
        printed = after[2] if after and follows else ""
        yield Block(block[1], block[2], markdown.count("\n", 0, block.start()) + 2, printed)


def words(text: str) -> list[str]:
    """What is printed, without its numbers and however it is spaced."""
    return NUMBER.sub("#", text).split()


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("INTERP_RUNS_DIR", raising=False)
    return tmp_path


def commands(program: str) -> list[list[str]]:
    lines = [line for block in blocks(README) if block.language == "sh" for line in block.text.splitlines()]
    return [shlex.split(line) for line in lines if shlex.split(line)[:1] == [program]]


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {block.language for block in blocks(README)} == {"python", "sh", "text"}
    for block in blocks(README):
        if block.language == "sh":
            assert all(line.split()[0] in ("make", "interp") for line in block.text.splitlines())


def test_the_python_of_the_readme_prints_what_it_says(empty_folder: Path) -> None:
    namespace: dict[str, object] = {"__name__": "readme"}
    for block in (block for block in blocks(README) if block.language == "python"):
        code = compile("\n" * (block.line - 1) + block.text, "README.md", "exec")
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            exec(code, namespace)
        if block.printed:
            assert words(stdout.getvalue()) == words(block.printed)
            assert numbers(stdout.getvalue()) == pytest.approx(numbers(block.printed), abs=0.05)
    assert (empty_folder / "runs" / "readme" / "index.html").exists()


def test_the_commands_of_the_readme_run_in_order(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _, *arguments in commands("interp"):
        code = main(arguments)
        assert code == 0, f"interp {shlex.join(arguments)}: {capsys.readouterr().err}"
    assert (empty_folder / "runs" / "quick" / "report.json").exists()


@pytest.mark.parametrize(
    "target", [*(line[1] for line in commands("make")), "help", "check", "bench", "clean"]
)
def test_the_targets_of_make_exist(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_gate_runs_the_readmes_test_command() -> None:
    (command,) = [shlex.join(line) for line in commands("make") if "test" in line]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)|src=\"([^\"]+)\"", README)))
)
def test_what_the_readme_links_to_is_there(link: tuple[str, str]) -> None:
    assert (ROOT / "".join(link)).exists()


def test_a_wrong_output_would_be_seen() -> None:
    (block,) = [
        one for one in blocks("```python\nprint(1)\n```\n\n```text\nabout 0.91\n```\n") if one.printed
    ]
    assert words("about   0.93") == words(block.printed)
    assert words("around 0.91") != words(block.printed)
    assert numbers("about 0.99") != pytest.approx(numbers(block.printed), abs=0.05)
