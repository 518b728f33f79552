"""Where a report goes, checked before minutes are spent on an answer that could not be written; and how it is shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType

import interp
from analyses.command_line.output import show, show_json
from interp.refusals import BadFile, Refused


def check_place(folder: Path, analysis: str, *, force: bool) -> None:
    """Refuses a folder that cannot be written, holds other files, or (without --force) another question's report."""
    check_writable(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    from interp.reporting.schema import read_record

    try:
        there = read_record(folder / "report.json")["analysis"]
    except BadFile as error:
        raise Refused(
            f"{folder} holds files, but no whole report: name another folder with --out."
        ) from error
    if there != analysis and not force:
        raise Refused(
            f"{folder} holds a report of {there!r}. Give --force to replace it, or another folder with --out."
        )


def check_writable(folder: Path) -> None:
    """Raises the OSError that writing there would meet: a file in the way, or no permission."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(20, "is a file, and a folder is needed", str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(13, "cannot be written to; choose another folder with --out", str(nearest))


def show_report(
    report: interp.Report, folder: Path, *, as_json: bool, first: Sequence[RenderableType] = ()
) -> None:
    """What is to stand first, the claims, the notes, and where the report is; as JSON all but tables and figures."""
    if as_json:
        record = report.record()
        parts = {key: record[key] for key in ("question", "analysis", "claims", "notes")}
        show_json({"report": str(folder), **parts})
        return
    notes = [f"Note: {note}" for note in (*report.remarks, *report.notes)]
    claims = [interp.claims_table(report)] if report.claims else []
    show(*first, *claims, *notes, f"Report: {folder / 'index.html'}   (the record: {folder / 'report.json'})")
