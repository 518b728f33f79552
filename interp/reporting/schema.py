"""The shape of `report.json`: what every report promises to hold, and whether a file keeps the promise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import TypeAdapter, ValidationError

from interp.refusals import BadFile


@dataclass(frozen=True)
class ControlRecord:
    """A control's mean over seeds and the interval of that mean."""

    estimate: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class ClaimRecord:
    """A judged statement; `controls` by name; `unit` says what `seeds` counts where it is not seeds."""

    statement: str
    source: str
    measure: str
    estimate: float
    interval: tuple[float, float]
    controls: dict[str, ControlRecord]
    seeds: int
    rule: str
    verdict: Literal["supported", "refuted", "undecided"]
    unit: str = "seed"


@dataclass(frozen=True)
class TableRecord:
    """A table with all its cells; `file` is the CSV made from them, `sha256` the digest of that file."""

    caption: str
    file: str
    columns: list[str]
    rows: list[list[Any]]
    sha256: str


@dataclass(frozen=True)
class FigureRecord:
    """A figure's words; the drawing itself is in `file`, with the digest `sha256`."""

    caption: str
    alt: str
    file: str
    sha256: str


@dataclass(frozen=True)
class ReportRecord:
    """All of `report.json`; `provenance` holds the config too."""

    question: str
    analysis: str
    claims: list[ClaimRecord]
    tables: dict[str, TableRecord]
    figures: dict[str, FigureRecord]
    notes: list[str]
    provenance: dict[str, Any]


def read_record(path: Path) -> dict[str, Any]:
    """The record in a `report.json`. Raises BadFile, naming the file and the place, where it is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
        _whole_report().validate_python(record, strict=False)
    except OSError as error:
        raise BadFile(
            f"{path} cannot be read ({error.strerror}); a report folder holds report.json."
        ) from error
    except ValidationError as error:
        raise BadFile(f"{path} is no whole report: {_places(error)}. Run the analysis again.") from error
    except ValueError as error:
        raise BadFile(f"{path} is no strict JSON ({error}). Run the analysis again.") from error
    return dict(record)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def _places(error: ValidationError) -> str:
    found = [f"{'.'.join(str(step) for step in one['loc'])}: {one['msg']}" for one in error.errors()]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


@cache
def _whole_report() -> TypeAdapter[ReportRecord]:
    return TypeAdapter(ReportRecord)
