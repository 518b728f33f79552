"""What commands print: tables and JSON to stdout, remarks to stderr.

A table is laid out first and written in one piece, so that a closed pipe is met in one place. Colours follow the
terminal, NO_COLOR and FORCE_COLOR.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH_OF_A_PIPE = 120


def show(*parts: RenderableType) -> None:
    """Tables and lines to stdout."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = Console(
        file=sys.stdout,
        markup=False,
        highlight=False,
        emoji=False,
        width=WIDTH_OF_A_PIPE if piped else None,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )
    with console.capture() as captured:
        for before, part in zip([None, *parts], parts, strict=False):
            if before is not None and not (isinstance(before, str) and isinstance(part, str)):
                console.print()
            console.print(part, soft_wrap=isinstance(part, str))
    sys.stdout.write(captured.get())


def show_json(value: Any) -> None:
    """Strict JSON to stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def say(remark: str, *, quiet: bool) -> None:
    """A remark to stderr, unless --quiet."""
    if not quiet:
        print(f"interp: {remark}", file=sys.stderr)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Sequence[str] = ()
) -> Group:
    """A plain table under its title, its first column never broken; `right` names the columns of numbers."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, column in enumerate(columns):
        drawn.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=place == 0
        )
    for row in rows:
        drawn.add_row(*row)
    return Group(Text(title, style="bold"), drawn)
