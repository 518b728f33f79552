from __future__ import annotations
from pathlib import Path
from interp.reporting.report import Report, write, read_report


def test_a_written_report_reads_back(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path / "demo")
    assert read_report(tmp_path / "demo") == report.record()
