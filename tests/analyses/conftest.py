"""What tests of the command line share: `interp` called in this process, and a cache of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typed import QUESTIONS, Done, Interp

from analyses.cli import main


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for the session, so that networks are trained once and nobody's cache is touched."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERP_CACHE_DIR", str(folder))
        for name in (
            "INTERP_RUNS_DIR",
            "NO_COLOR",
            "FORCE_COLOR",
            "COLUMNS",
            "TQDM_DISABLE",
            "INTERP_OFFLINE",
        ):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interp:
    """`cli("run", "…")` in an empty folder, on the tests' own questions."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object, questions: Path = QUESTIONS) -> Done:
        capsys.readouterr()
        code = main([str(word) for word in words], questions=questions)
        written = capsys.readouterr()
        return Done(code, written.out, written.err)

    return call


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `interp train`: six seeds of digits-mlp, two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    words = ["train", "digits-mlp", "--seeds", "6", "--epochs", "2", "--out", str(folder), "--quiet"]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="session")
def relatives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `interp train` on sequences: two seeds of facts on the family trees."""
    folder = tmp_path_factory.mktemp("runs") / "relatives"
    words = ["train", "facts", "--data", "families", "--seeds", "2", "--epochs", "40", "--batch-size", "50"]
    assert main([*words, "--out", str(folder), "--quiet"]) == 0
    return folder
