"""Which figures of an older report hold when its analysis is run again.

Claims are matched by statement and measure, tables by name and cell. A number holds when it differs from the
recorded one by at most `tolerance`, relative or absolute, whichever is larger; words, verdicts and whole
numbers hold when they are equal. A rule that reads differently does not hold either: then the same verdict
means something else. Figures are drawn from the tables and claims, and are not compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from interp.refusals import Refused
from interp.reporting.report import Report
from interp.reporting.wording import plural

COLUMNS = ("where", "figure", "recorded", "now", "holds")
ABSENT = "absent"
Row = tuple[str, str, Any, Any, bool]


def compare(old: Mapping[str, Any], new: Report, *, tolerance: float = 1e-6) -> pd.DataFrame:
    """One row per figure: where it stands, what it is, recorded and new value, whether it holds.

    `old` is what `read_report` gives. The new report is taken as its own record would be, so both sides went
    through the same words. Refuses a negative tolerance and reports of different questions.
    """
    if not tolerance >= 0:
        raise Refused(f"The tolerance {tolerance} was given; it is a number of at least 0, for example 1e-6.")
    record = new.record()
    if old["analysis"] != record["analysis"]:
        raise Refused(
            f"The reports answer different questions: {old['analysis']!r} and {record['analysis']!r}."
        )
    rows = [
        *_compare_claims(_by_claim(old), _by_claim(record), tolerance=tolerance),
        *_compare_tables(old["tables"], record["tables"], tolerance=tolerance),
        _compare_notes(old.get("notes", []), record["notes"]),
    ]
    kinds = {"recorded": object, "now": object, "holds": bool}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(kinds)


def _by_claim(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {f"{claim['statement']} ({claim['measure']})": claim for claim in record["claims"]}


def _compare_claims(
    old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]], *, tolerance: float
) -> Iterator[Row]:
    for name in _names_of_both(old, new):
        if name not in old or name not in new:
            yield (name, "claim", *_presence(name, old, new), False)
            continue
        before, now = _figures(old[name]), _figures(new[name])
        for figure in _names_of_both(before, now):
            recorded, found = before.get(figure, ABSENT), now.get(figure, ABSENT)
            yield (name, figure, recorded, found, _holds(recorded, found, tolerance=tolerance))


def _figures(claim: Mapping[str, Any]) -> dict[str, Any]:
    """All that can hold or not in a claim's record, by a name for the eye."""
    figures = {key: claim[key] for key in ("verdict", "estimate", "seeds", "rule")}
    figures |= _ends("interval", claim["interval"])
    for name, control in claim["controls"].items():
        figures[f"{name}, estimate"] = control["estimate"]
        figures |= _ends(f"{name}, interval", control["interval"])
    return figures


def _ends(name: str, interval: Any) -> dict[str, Any]:
    low, high = interval
    return {f"{name} low": low, f"{name} high": high}


def _compare_tables(old: Mapping[str, Any], new: Mapping[str, Any], *, tolerance: float) -> Iterator[Row]:
    for name in _names_of_both(old, new):
        where = f"table {name}"
        if name not in old or name not in new:
            yield (where, "table", *_presence(name, old, new), False)
            continue
        before, now = old[name], new[name]
        if before["sha256"] == now["sha256"]:
            yield (where, "digest", before["sha256"][:12], now["sha256"][:12], True)
            continue
        yield from _compare_cells(where, before, now, tolerance=tolerance)


def _compare_cells(where: str, before: Any, now: Any, *, tolerance: float) -> Iterator[Row]:
    """Shape and columns first; with those equal, each cell that does not hold, or the count that do."""
    for figure, recorded, found in (
        ("columns", ", ".join(before["columns"]), ", ".join(now["columns"])),
        ("rows", len(before["rows"]), len(now["rows"])),
    ):
        if recorded != found:
            yield (where, figure, recorded, found, False)
            return
    broken = [row for row in _cells(before, now) if not _holds(row[1], row[2], tolerance=tolerance)]
    for figure, recorded, found in broken:
        yield (where, figure, recorded, found, False)
    if not broken:
        count = len(before["rows"]) * len(before["columns"])
        yield (where, f"cells within {tolerance:g}", count, count, True)


def _cells(before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    for number, (old_row, new_row) in enumerate(zip(before["rows"], now["rows"], strict=True), start=1):
        for column, recorded, found in zip(before["columns"], old_row, new_row, strict=True):
            yield f"row {number}, {column}", recorded, found


def _holds(recorded: Any, found: Any, *, tolerance: float) -> bool:
    both_whole = isinstance(recorded, int) and isinstance(found, int)
    if _is_number(recorded) and _is_number(found) and not both_whole:
        return math.isclose(recorded, found, rel_tol=tolerance, abs_tol=tolerance)
    return bool(recorded == found and isinstance(recorded, bool) == isinstance(found, bool))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _names_of_both(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [*old, *(name for name in new if name not in old)]


def _presence(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, str]:
    return ("present" if name in old else ABSENT, "present" if name in new else ABSENT)


def _compare_notes(old: Sequence[str], new: Sequence[str]) -> Row:
    recorded, found = plural(len(old), "note"), plural(len(new), "note")
    return ("notes", "what was left out", recorded, found, list(old) == list(new))
