"""The page: a report's record as one self-contained HTML document, and its parts for a notebook.

No script, nothing loaded from anywhere, every text escaped. A view only: it is made from the record and the
drawings, shows rounded numbers, and leaves out what differs between two runs of one thing. Each claim's
numbers stand in a table with a small drawing beside them; the drawing says nothing that the table does not.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.ticker import MaxNLocator

from interp.reporting.provenance import TIME_LIKE
from interp.reporting.wording import decimals_of, number, plural, readable, verdict_sentence, with_interval
from interp.reporting.words import words_in

FOLDED_FROM = 12
MOST_ROWS = 500
SIGNS = {"supported": "✓", "refuted": "✕", "undecided": "?"}
COMMON_NAMES = {
    "run_time_seconds": "Run time in seconds",
    "dirty": "Source differs from the commit",
    "data": "Data digests",
}


@dataclass(frozen=True)
class Mark:
    """One row of a claim's numbers: its words, and its place in the drawing in percent of the width."""

    name: str
    is_control: bool
    shown: str
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Strip:
    """The numbers of one claim on a common axis: marks, and ticks as (percent, label)."""

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]


def page(record: Mapping[str, Any], drawings: Mapping[str, str], remarks: Sequence[str] = ()) -> str:
    """The whole document of a report's record; `drawings` holds the SVG text of each of its figures.

    Those of its notes that are `remarks` on its verdicts stand under them, at the head.
    """
    return _environment().get_template("report.html.j2").render(**_content(record, drawings, remarks))


def report_fragment(
    record: Mapping[str, Any], drawings: Mapping[str, str], remarks: Sequence[str] = ()
) -> str:
    """The report for a notebook: the page's content without its head."""
    return _environment().get_template("fragment.html.j2").render(**_content(record, drawings, remarks))


def claims_fragment(claims: Sequence[Mapping[str, Any]]) -> str:
    """Records of claims for a notebook, as the page shows them."""
    return _environment().get_template("claims.html.j2").render(claims=claims)


def strip(claim: Mapping[str, Any]) -> Strip | None:
    """A claim's numbers on one axis; None where there is nothing to compare and no interval to draw."""
    numbers = {"": claim, **claim["controls"]}
    ends = [end for one in numbers.values() for end in (*one["interval"], one["estimate"])]
    low, high = min(ends), max(ends)
    if low == high:
        return None
    low, high = low - 0.06 * (high - low), high + 0.06 * (high - low)
    decimals = decimals_of(claim)

    def percent(value: float) -> float:
        return round(float(100 * (value - low) / (high - low)), 2)

    marks = tuple(
        Mark(
            name=readable(name) or "this claim",
            is_control=bool(name),
            shown=with_interval(one["estimate"], one["interval"], decimals=decimals),
            estimate=percent(one["estimate"]),
            low=percent(one["interval"][0]),
            high=percent(one["interval"][1]),
        )
        for name, one in numbers.items()
    )
    return Strip(marks, tuple((percent(tick), label) for tick, label in _ticks(low, high)))


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round places on the axis, all written with the same number of decimals."""
    places = [float(place) for place in MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high)]
    step = places[1] - places[0]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(place, number(place, decimals)) for place in places if low <= place <= high]


def _content(
    record: Mapping[str, Any], drawings: Mapping[str, str], remarks: Sequence[str]
) -> dict[str, Any]:
    provenance = {name: value for name, value in record["provenance"].items() if name not in TIME_LIKE}
    return {
        **record,
        "summary": _summary(record["claims"]),
        "remarks": remarks,
        "notes": [note for note in record["notes"] if note not in remarks],
        "in_short": _in_short(record["claims"]),
        "rules": list(dict.fromkeys(claim["rule"] for claim in record["claims"])),
        "words": words_in(json.dumps([*map(record.get, ("claims", "notes", "tables", "figures"))])),
        "provenance": provenance,
        "images": {name: _data_address(svg) for name, svg in drawings.items()},
        "folded_from": FOLDED_FROM,
        "most_rows": MOST_ROWS,
    }


def _summary(claims: Sequence[Mapping[str, Any]]) -> str:
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in SIGNS}
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    return f"{plural(len(claims), 'claim')}: {', '.join(parts)}." if parts else "No claims."


def _in_short(claims: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, str]]]:
    """The statements under their verdicts, each with its number."""
    numbered = [(number, claim) for number, claim in enumerate(claims, start=1)]
    found = {
        verdict: [(number, claim["statement"]) for number, claim in numbered if claim["verdict"] == verdict]
        for verdict in SIGNS
    }
    return {verdict: statements for verdict, statements in found.items() if statements}


def _data_address(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _columns_for_the_eye(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each column with its cells in words, its floats all to the same decimals; the CSV has every digit."""
    columns = list(zip(*table["rows"][:MOST_ROWS], strict=True)) or [() for _ in table["columns"]]
    return [
        {"name": name, "cells": _cells(values), "is_number": any(_is_number(value) for value in values)}
        for name, values in zip(table["columns"], columns, strict=True)
    ]


def _cells(values: Sequence[Any]) -> list[str]:
    cells = [_cell(value) for value in values]
    floats = [cell for cell, value in zip(cells, values, strict=True) if isinstance(value, float)]
    decimals = max((len(cell.partition(".")[2]) for cell in floats), default=0)
    if any("e" in cell for cell in floats) or decimals > 4:
        return cells
    return [_cell(value, decimals=decimals) for value in values]


def _cell(value: Any, *, decimals: int | None = None) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, decimals) if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _title(name: str) -> str:
    words = COMMON_NAMES.get(name, readable(name))
    return words[:1].upper() + words[1:]


@cache
def _environment() -> Environment:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "title_of": _title, "sentence": verdict_sentence, "strip": strip}
    environment.filters |= {"plural": plural, "readable": readable, "columns": _columns_for_the_eye}
    environment.globals["signs"] = SIGNS
    return environment
