"""A report: one question, its claims, and all that is needed to believe or repeat them. A folder on disk.

`report.json` is the record and holds every number; `index.html`, `tables/*.csv` and `figures/*.svg` are views
made from it. Nothing in a view depends on when or where it was made, so two runs of one thing give the same
bytes; what does is in the record's provenance (`run_time_seconds`, `finished`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from interp.refusals import BadFile, Refused
from interp.reporting.claims import Claim, Claims
from interp.reporting.drawing import Figure
from interp.reporting.folders import standing, write_whole
from interp.reporting.page import page, report_fragment
from interp.reporting.record import csv_bytes, digest, json_bytes, plain, table_record
from interp.reporting.schema import read_record


@dataclass(frozen=True)
class Report:
    """What one analysis found.

    `config` is the analysis's dataclass or a mapping, `tables` and `figures` go by names that become file
    names, `notes` say what was left out and why, `provenance` is what `provenance.gather` gives.
    """

    question: str
    analysis: str
    config: Any
    claims: Sequence[Claim]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the claims' seeds could not decide, as `judge` found it; the first of the record's notes."""
        return self.claims.remarks if isinstance(self.claims, Claims) else ()

    def record(self) -> dict[str, Any]:
        """The report as `report.json` holds it. Refuses what strict JSON cannot hold, with its path."""
        return {
            "question": self.question,
            "analysis": self.analysis,
            "claims": [plain(claim.record(), where=f"claims[{i}]") for i, claim in enumerate(self.claims)],
            "tables": {_file_name(name): table_record(name, table) for name, table in self.tables.items()},
            "figures": {_file_name(name): _figure_record(name, one) for name, one in self.figures.items()},
            "notes": [*self.remarks, *(str(note) for note in self.notes)],
            "provenance": {
                "config": plain(self.config, where="config"),
                **plain(self.provenance, where="provenance"),
            },
        }

    def _repr_html_(self) -> str:
        return report_fragment(self.record(), _drawings(self), self.remarks)


def write(report: Report, folder: str | Path) -> Path:
    """Write the report as the whole content of `folder` and give the folder back.

    An older report there is replaced in one step; a folder that holds anything else is refused, and so are
    values that JSON cannot hold. On any error nothing of this report is left.
    """
    record = report.record()
    drawings = _drawings(report)
    files = {
        "report.json": json_bytes(record),
        "index.html": page(record, drawings, report.remarks).encode(),
        **{table["file"]: csv_bytes(table) for table in record["tables"].values()},
        **{record["figures"][name]["file"]: svg.encode() for name, svg in drawings.items()},
    }
    target = Path(folder).expanduser()
    write_whole(target, files, replacing=_files_of(target))
    return target


def read_report(folder: str | Path) -> dict[str, Any]:
    """The record of the report in `folder`, its tables and figures checked against their digests.

    Raises BadFile, naming the file, where one is missing, is no strict JSON, lacks a key or was altered.
    """
    found = standing(Path(folder))
    record = read_record(found / "report.json")
    for view in [*record["tables"].values(), *record["figures"].values()]:
        _check_view(found / view["file"], sha256=view["sha256"])
    return record


def _drawings(report: Report) -> dict[str, str]:
    return {name: figure.svg for name, figure in report.figures.items()}


def _figure_record(name: str, figure: Figure) -> dict[str, Any]:
    svg = digest(figure.svg.encode())
    return {"caption": figure.caption, "alt": figure.alt, "file": f"figures/{name}.svg", "sha256": svg}


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise Refused(f"The name {name!r} becomes a file name; use small letters, digits, - and _.")
    return name


def _files_of(folder: Path) -> set[str]:
    """The files that the report in `folder` says are its own; none where no report can be read."""
    try:
        record = read_record(standing(folder) / "report.json")
    except BadFile:
        return set()
    views = [*record["tables"].values(), *record["figures"].values()]
    return {"report.json", "index.html", *(view["file"] for view in views)}


def _check_view(path: Path, *, sha256: str) -> None:
    if not path.is_file():
        raise BadFile(f"{path} is missing, though report.json names it; run the analysis again.")
    if digest(path.read_bytes()) != sha256:
        raise BadFile(f"{path} is not what report.json describes: it was altered or cut short.")
