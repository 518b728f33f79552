"""What is written can be read, is the same every time, and is whole or absent."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interp.refusals import BadFile, Refused
from interp.reporting.report import Report, read_report, write

forking = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def plain_report() -> Report:
    return Report(question="Is it so?", analysis="is_it_so", config={"seeds": 2}, claims=[])


def test_a_written_report_reads_back(report: Report, tmp_path: Path) -> None:
    assert write(report, tmp_path / "demo") == tmp_path / "demo"
    assert read_report(tmp_path / "demo") == report.record()


def test_the_folder_holds_the_promised_files_and_nothing_beside_it(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path / "new" / "demo")
    assert list(content(tmp_path / "new" / "demo")) == [
        "figures/learning.svg",
        "figures/weights.svg",
        "figures/where.svg",
        "index.html",
        "report.json",
        "tables/every_seed.csv",
        "tables/probes.csv",
    ]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["demo"]


def test_the_record_has_the_promised_keys(report: Report, tmp_path: Path) -> None:
    record = json.loads((write(report, tmp_path / "demo") / "report.json").read_text())
    assert list(record) == ["question", "analysis", "claims", "tables", "figures", "notes", "provenance"]
    assert record["provenance"]["config"] == {"data": "digits", "seeds": 8, "hidden": [16, 16]}


def test_the_same_report_gives_the_same_bytes_and_a_later_one_differs_in_its_time_only(
    report: Report, tmp_path: Path
) -> None:
    later = {**report.provenance, "run_time_seconds": 99.0, "finished": "2001-01-01T00:00:00+00:00"}
    first = content(write(report, tmp_path / "first"))
    assert content(write(report, tmp_path / "again")) == first
    second = content(write(dataclasses.replace(report, provenance=later), tmp_path / "later"))
    assert [name for name in first if first[name] != second[name]] == ["report.json"]
    before, after = json.loads(first["report.json"]), json.loads(second["report.json"])
    for record in (before, after):
        del record["provenance"]["run_time_seconds"], record["provenance"]["finished"]
    assert before == after


def test_a_csv_has_every_digit_and_empty_cells_where_nothing_is(report: Report, tmp_path: Path) -> None:
    folder = write(report, tmp_path / "demo")
    with (folder / "tables/probes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["accuracy"] for row in rows] == ["0.9012345678", "0.93", "0.92"]
    assert rows[2] == {"hook": "hook_logits", "accuracy": "0.92", "selectivity": ""}
    frame = pd.read_csv(folder / "tables/every_seed.csv")
    pd.testing.assert_frame_equal(frame, report.tables["every_seed"], check_dtype=False)


def test_an_older_report_is_replaced_whole(report: Report, plain_report: Report, tmp_path: Path) -> None:
    write(report, tmp_path / "demo")
    write(plain_report, tmp_path / "demo")
    assert list(content(tmp_path / "demo")) == ["index.html", "report.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_an_empty_folder_is_used(plain_report: Report, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    write(plain_report, tmp_path / "demo")
    assert read_report(tmp_path / "demo")["analysis"] == "is_it_so"


def test_a_folder_with_foreign_files_is_refused_and_left_alone(plain_report: Report, tmp_path: Path) -> None:
    write(plain_report, tmp_path / "demo")
    for name in ("thesis.tex", "tables.txt", "a.txt", "b.txt"):
        (tmp_path / "demo" / name).write_text("mine")
    (tmp_path / "demo" / "tables").mkdir()
    (tmp_path / "demo" / "tables" / "mine.csv").write_text("mine")
    before = content(tmp_path / "demo")
    with pytest.raises(Refused, match=r"a\.txt, b\.txt, tables\.txt and 2 more"):
        write(plain_report, tmp_path / "demo")
    assert content(tmp_path / "demo") == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_the_current_folder_and_those_that_hold_it_are_refused(
    plain_report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in (".", "..", tmp_path / "here"):
        with pytest.raises(Refused, match="holds the current folder"):
            write(plain_report, folder)


def test_a_file_in_the_place_of_the_folder_is_named(plain_report: Report, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(Refused, match="taken is a file"):
        write(plain_report, tmp_path / "taken")
    with pytest.raises(OSError, match=r"nothing was written to.*taken/demo"):
        write(plain_report, tmp_path / "taken" / "demo")
    assert (tmp_path / "taken").read_text() == "mine"


@forking
@pytest.mark.parametrize("older", [False, True])
def test_a_full_disk_leaves_nothing_half_written(
    report: Report, plain_report: Report, tmp_path: Path, older: bool
) -> None:
    if older:
        write(plain_report, tmp_path / "demo")
    before = content(tmp_path)
    failed = in_a_child(lambda: write_with_little_room(report, tmp_path / "demo"))
    assert failed == 7
    assert content(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == (["demo"] if older else [])


def write_with_little_room(report: Report, folder: Path) -> int:
    """Files may not grow past 20,000 bytes: index.html does not fit. 7 when that is reported by name."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        write(report, folder)
    except OSError as error:
        return 7 if str(folder) in str(error) and "nothing was written" in str(error) else 8
    return 9


def in_a_child(work: object) -> int:
    """The exit code of a forked process that does the work."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work() or 0  # type: ignore[operator]
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@forking
def test_a_writer_killed_at_any_step_leaves_the_older_or_the_newer_report(
    report: Report, plain_report: Report, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    write(plain_report, folder)
    found = []
    for step in range(1, 1000):
        ended = in_a_child(lambda step=step: write_and_be_killed(report, folder, step=step))
        found.append(read_report(folder)["analysis"])
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        write(plain_report, folder)
        assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert len(found) > 30
    assert set(found) == {plain_report.analysis, report.analysis}
    assert found == sorted(found, key=[plain_report.analysis, report.analysis].index)


def write_and_be_killed(report: Report, folder: Path, *, step: int) -> int:
    """Kills its own process just before the given step of those in which files or folders are touched."""
    steps = 0

    def count(event: str, arguments: object) -> None:
        nonlocal steps
        steps += event == "open" or event.startswith(("os.", "shutil."))
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    write(report, folder)
    return 0


def test_a_report_set_aside_by_a_killed_writer_is_read_and_brought_back(
    report: Report, plain_report: Report, tmp_path: Path
) -> None:
    write(report, tmp_path / "demo")
    (tmp_path / "demo").rename(tmp_path / ".demo.replaced")
    assert read_report(tmp_path / "demo")["analysis"] == report.analysis
    write(plain_report, tmp_path / "demo")
    assert read_report(tmp_path / "demo")["analysis"] == "is_it_so"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"nowhere/report\.json cannot be read \(No such file"):
        read_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "no strict JSON"),
        (lambda text: text.replace('"seeds": 8', '"seeds": NaN', 1), "holds NaN"),
        (lambda text: "[1, 2]", "should be a dictionary"),
        (lambda text: text.replace('"verdict"', '"judgement"', 1), r"claims\.0\.verdict: Field required"),
        (
            lambda text: text.replace('"tables": {', '"tables": [], "x": {', 1),
            "tables: Input should be a valid dict",
        ),
    ],
)
def test_a_damaged_record_is_named(report: Report, tmp_path: Path, damage: object, said: str) -> None:
    path = write(report, tmp_path / "demo") / "report.json"
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(BadFile, match=said) as caught:
        read_report(tmp_path / "demo")
    assert str(path) in str(caught.value)


def test_a_missing_or_altered_table_or_figure_is_named(report: Report, tmp_path: Path) -> None:
    folder = write(report, tmp_path / "demo")
    figure, table = folder / "figures/where.svg", folder / "tables/probes.csv"
    figure.write_text(figure.read_text() + " ")
    with pytest.raises(BadFile, match=r"figures/where\.svg is not what report\.json describes"):
        read_report(folder)
    table.unlink()
    with pytest.raises(BadFile, match=r"tables/probes\.csv is missing"):
        read_report(folder)


def test_numbers_that_are_not_finite_are_refused_by_their_path(plain_report: Report, tmp_path: Path) -> None:
    table = pd.DataFrame({"accuracy": [0.5, np.nan]})
    with pytest.raises(Refused, match=r"tables\.probes\.rows\[1\]\.accuracy is nan"):
        write(dataclasses.replace(plain_report, tables={"probes": table}), tmp_path / "demo")
    with pytest.raises(Refused, match=r"config\.rates\[1\] is inf"):
        write(dataclasses.replace(plain_report, config={"rates": (1.0, np.inf)}), tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_file_name_is_refused(plain_report: Report, tmp_path: Path) -> None:
    for name in ("../escape", "Big", "", "a/b"):
        with pytest.raises(Refused, match="becomes a file name"):
            write(
                dataclasses.replace(plain_report, tables={name: pd.DataFrame({"a": [1]})}), tmp_path / "demo"
            )
