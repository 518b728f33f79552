"""The claims of a report as a table for a terminal: the verdict in a word, and what it rests on beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from interp.reporting.report import Report
from interp.reporting.wording import decimals_of, plural, readable, unit_of, with_interval

STYLES = {"supported": "bold green", "refuted": "bold red", "undecided": "bold yellow"}


def claims_table(report: Report | Mapping[str, Any]) -> Table:
    """A row for each claim of a report or of its record: verdict, statement, measure, numbers and seeds."""
    record = report.record() if isinstance(report, Report) else report
    table = Table(
        title=record["question"],
        title_justify="left",
        title_style="bold",
        box=box.HORIZONTALS,
        show_lines=True,
    )
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Statement and measure", ratio=3, min_width=20)
    table.add_column("Estimate and controls", ratio=2, min_width=24)
    units = list(dict.fromkeys(unit_of(claim) for claim in record["claims"])) or ["seed"]
    table.add_column(f"{units[0].capitalize()}s" if len(units) == 1 else "Over", justify="right")
    for claim in record["claims"]:
        table.add_row(
            Text(claim["verdict"], style=STYLES[claim["verdict"]]),
            Text.assemble(claim["statement"], "\n", (claim["measure"], "dim")),
            _numbers(claim),
            str(claim["seeds"]) if len(units) == 1 else plural(claim["seeds"], unit_of(claim)),
        )
    return table


def _numbers(claim: Mapping[str, Any]) -> Text:
    decimals = decimals_of(claim)
    text = Text(with_interval(claim["estimate"], claim["interval"], decimals=decimals), style="bold")
    for name, control in claim["controls"].items():
        shown = with_interval(control["estimate"], control["interval"], decimals=decimals)
        text.append(f"\n{shown} {readable(name)}", style="not bold")
    return text
