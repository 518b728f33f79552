"""Where a report comes from, and what is not said."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from interp.reporting.provenance import LIBRARIES, TIME_LIKE, gather, library_versions, source_state


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one tracked file in `interp`."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "interp").mkdir()
    (tmp_path / "interp" / "code.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "first")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_commit_and_dirty_are_those_of_the_checkout(checkout: Path) -> None:
    file = checkout / "interp" / "code.py"
    assert source_state(file) == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    file.write_text("x = 2\n")
    assert source_state(file)["dirty"] is True


def test_a_new_module_makes_the_checkout_dirty_and_a_note_beside_it_does_not(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("note")
    assert source_state(checkout / "interp" / "code.py")["dirty"] is False
    (checkout / "interp" / "more.py").write_text("y = 1\n")
    assert source_state(checkout / "interp" / "code.py")["dirty"] is True


def test_a_copy_installed_inside_somebody_elses_checkout_has_no_commit(checkout: Path) -> None:
    copy = checkout / ".venv" / "interp" / "code.py"
    copy.parent.mkdir(parents=True)
    copy.write_text("x = 1\n")
    assert source_state(copy) == {"commit": None, "dirty": None}


def test_outside_a_checkout_and_without_git_there_is_no_commit(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "code.py"
    outside.write_text("x = 1\n")
    assert source_state(outside) == {"commit": None, "dirty": None}
    monkeypatch.setenv("PATH", str(outside.parent))
    assert source_state(checkout / "interp" / "code.py") == {"commit": None, "dirty": None}


def test_variables_that_point_git_elsewhere_are_ignored(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("elsewhere")))
    assert source_state(checkout / "interp" / "code.py")["dirty"] is False


def test_versions_name_every_library() -> None:
    assert list(library_versions()) == list(LIBRARIES)
    assert library_versions()["torch"]


def test_all_that_a_rerun_needs_and_nothing_of_the_owner() -> None:
    found = gather(seeds=range(3), data={"digits": "abc"}, run_time_seconds=1.23456)
    assert found["seeds"] == [0, 1, 2]
    assert found["data"] == {"digits": "abc"}
    assert found["run_time_seconds"] == 1.235
    assert {"commit", "dirty", "versions", "python", "platform", "threads", *TIME_LIKE} <= found.keys()
    text = json.dumps({**found, "commit": ""})
    for private in (str(Path.home()), str(Path.cwd()), platform.node(), getpass.getuser()):
        assert private not in text or len(private) < 3


def test_the_source_date_stands_for_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert gather(seeds=[], data={}, run_time_seconds=0)["finished"] == "1970-01-01T00:00:00+00:00"
