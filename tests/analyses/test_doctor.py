"""`interp doctor` finds what is planted, and finds nothing in a house in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from typed import Interp, process

from analyses.command_line import doctor
from analyses.command_line.doctor import Finding, environment, shadows, versions


def wrong(done_json: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """What was found wrong, and the detail."""
    return {
        finding["what"]: finding["detail"]
        for finding in done_json["findings"]
        if finding["status"] == "wrong"
    }


def test_a_house_in_order_is_healthy(cli: Interp) -> None:
    done = cli("doctor", "--json")
    assert wrong(done.json) == {}
    assert (done.code, done.json["healthy"]) == (0, True)
    told = {finding["what"] for finding in done.json["findings"]}
    assert {"Python", "torch", "tyro", "threads", "GPU", "digits", "mnist", "cache"} <= told
    assert "All is well." in cli("doctor").out


def test_libraries_are_held_against_the_declared_ranges() -> None:
    assert doctor._in_range("torch", "2.7.1", SpecifierSet(">=2.6,<2.14")).status == "ok"
    old = doctor._in_range("torch", "2.5", SpecifierSet(">=2.6,<2.14"))
    assert old.status == "wrong"
    assert "is 2.5; needed is <2.14,>=2.6" in old.detail
    assert "pip install 'torch" in doctor._in_range("torch", None, SpecifierSet(">=2.6")).detail


def test_the_ranges_of_an_installation_without_checkout_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "HOME", tmp_path)
    assert {"Python", "torch", "xarray"} <= {finding.what for finding in versions()}


def test_a_stray_models_py_is_found(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("", encoding="utf-8")
    done = process("doctor", "--json", PYTHONPATH=str(tmp_path))
    assert done.code == 4
    found = wrong(done.json)
    assert "shadows our 'models'" in found[str(tmp_path / "models.py")]
    assert f"is imported from {tmp_path / 'models.py'}" in found["models"]
    helpless = process("list", PYTHONPATH=str(tmp_path))
    assert helpless.code == 1
    assert "`interp doctor`" in helpless.err


def test_a_stray_file_beside_the_users_script_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(shadows()) == []
    (tmp_path / "interp.py").touch()
    assert [(finding.status, finding.what) for finding in shadows()] == [
        ("wrong", str(tmp_path / "interp.py"))
    ]


ENVIRONMENTS = {
    "INTERP_DATADIR": ("/data", "INTERP_DATADIR", "Nearest: INTERP_DATA_DIR"),
    "INTERP_DATA_DIR": ("/no/such/folder", "INTERP_DATA_DIR", "does not exist"),
    "INTERP_RUNS_DIR": (__file__, "INTERP_RUNS_DIR", "which is a file"),
    "INTERP_OFFLINE": ("ofline", "INTERP_OFFLINE", "give 1 or 0"),
    "SOURCE_DATE_EPOCH": ("today", "SOURCE_DATE_EPOCH", "whole seconds"),
}


@pytest.mark.parametrize("variable", ENVIRONMENTS)
def test_values_that_mean_nothing_are_found(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    assert list(environment()) == []
    value, what, explained = ENVIRONMENTS[variable]
    monkeypatch.setenv(variable, value)
    (found,) = environment()
    assert (found.status, found.what) == ("wrong", what)
    assert explained in found.detail


def test_missing_data_are_a_note_that_says_where_they_come_from(
    cli: Interp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("INTERP_DATA_DIR", raising=False)
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "empty"))
    done = cli("doctor", "--json")
    (note,) = [finding for finding in done.json["findings"] if finding["what"] == "mnist"]
    assert (done.code, note["status"]) == (0, "note")
    assert "mnist/train-images-idx3-ubyte.gz" in note["detail"]
    assert "https://" in note["detail"]


def test_altered_data_are_wrong(cli: Interp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"torn")
    monkeypatch.setenv("INTERP_DATA_DIR", str(tmp_path))
    done = cli("doctor", "--json")
    assert done.code == 4
    assert "is truncated or altered" in wrong(done.json)["mnist/train-images-idx3-ubyte.gz"]


def test_real_data_are_found(cli: Interp, data_dir: Path) -> None:
    (found,) = [one for one in cli("doctor", "--json").json["findings"] if one["what"] == "mnist"]
    assert (found["status"], found["detail"]) == ("ok", f"4 of 4 files in {data_dir / 'mnist'}")


def test_a_cache_that_cannot_be_written_is_wrong(
    cli: Interp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "file" / "cache"))
    found = cli("doctor", "--json")
    assert found.code == 4
    assert "cannot be written to" in wrong(found.json)["cache"]


def test_the_cache_is_measured(cli: Interp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "trained" / "recipe-0" / "seed-1").mkdir(parents=True)
    (tmp_path / "trained" / "recipe-0" / "seed-1" / "weights").write_bytes(bytes(2_500_000))
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    (found,) = [one for one in cli("doctor", "--json").json["findings"] if one["what"] == "cache"]
    assert found["detail"] == f"{tmp_path}: 2.5 MB, 1 trained networks"


def test_a_check_that_fails_is_a_finding() -> None:
    def explodes() -> list[Finding]:
        raise ImportError("no such thing")

    (found,) = doctor._safely(explodes)  # type: ignore[arg-type]
    assert (found.status, found.what, found.detail) == ("wrong", "explodes", "ImportError: no such thing")
