"""What is asked once is found again, and asked anew when anything that decides it has moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analyses.facts import kept as keeping
from analyses.facts.kept import kept
from models.refusals import BadFile


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    return tmp_path


def scores(first: float) -> xr.DataArray:
    coords = {"by": ["drift", "random"], "seed": [0, 2], "component": ["embed", "blocks.0.mlp"]}
    values = np.array([[[first, np.nan], [1 / 3, -2e-17]], [[0.1, 0.2], [0.3, 0.4]]])
    return xr.DataArray(values, coords, list(coords), attrs={"pairs": [12, 14]})


def refuse() -> xr.DataArray:
    raise AssertionError("asked again")


def test_what_is_kept_comes_again_to_the_last_bit_and_is_not_asked_again(cache: Path) -> None:
    made = kept("scores", {"facts": "a", "components": ("embed",)}, lambda: scores(0.7))
    found = kept("scores", {"facts": "a", "components": ("embed",)}, refuse)
    xr.testing.assert_identical(made, found)
    assert len(list((cache / "scores").iterdir())) == 1


def test_other_facts_or_other_code_are_asked_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept("scores", {"facts": "a"}, lambda: scores(0.7))
    assert float(kept("scores", {"facts": "b"}, lambda: scores(0.8))[0, 0, 0]) == 0.8
    monkeypatch.setattr(keeping, "code_of", lambda *folders: "changed")
    assert float(kept("scores", {"facts": "a"}, lambda: scores(0.9))[0, 0, 0]) == 0.9


def test_the_code_is_that_of_networks_and_methods_and_moves_with_any_file(tmp_path: Path) -> None:
    assert [folder.name for folder in keeping.FLOORS] == ["interp", "models"]
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "method.py").write_text("a = 1")
    before = keeping.code_of.__wrapped__(tmp_path)
    assert before == keeping.code_of.__wrapped__(tmp_path)
    (tmp_path / "inner" / "method.py").write_text("a = 2")
    assert keeping.code_of.__wrapped__(tmp_path) != before


def test_of_what_fails_nothing_is_kept(cache: Path) -> None:
    with pytest.raises(AssertionError):
        kept("scores", {"facts": "a"}, refuse)
    assert not (cache / "scores").exists()


def test_a_torn_file_is_named(cache: Path) -> None:
    kept("scores", {"facts": "a"}, lambda: scores(0.7))
    (file,) = (cache / "scores").iterdir()
    file.write_text(file.read_text()[:40])
    with pytest.raises(BadFile, match=file.name):
        kept("scores", {"facts": "a"}, refuse)
