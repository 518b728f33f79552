"""`interp list`: what can be trained and asked, and on what data. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import models
from analyses.command_line.options import Shared, parse
from analyses.command_line.output import show, show_json, table
from analyses.command_line.questions import questions


@dataclass(frozen=True, kw_only=True)
class ListOptions(Shared):
    """What can be trained and asked, and on what data."""


def list_all(arguments: Sequence[str], folder: Path) -> int:
    """Prints the recipes, the data sets and the questions."""
    options = parse(ListOptions, arguments, command="list")
    found = _everything(folder)
    if options.json:
        show_json(found)
        return 0
    show(
        table("Questions: interp run QUESTION", ("question", "asks"), _rows(found["questions"])),
        table("Recipes: interp train RECIPE", ("recipe", "data", "about"), _rows(found["recipes"])),
        table(
            "Data sets: --data NAME",
            ("data", "network / probe / test", "about"),
            map(_data_row, found["data"]),
        ),
    )
    return 0


def _everything(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        "questions": [{"name": name, "question": asks} for name, asks in questions(folder).items()],
        "recipes": [
            {"name": recipe.name, "data": recipe.data, "about": recipe.about}
            for recipe in models.RECIPES.values()
        ],
        "data": [asdict(entry) for entry in models.CATALOGUE.values()],
    }


def _rows(entries: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [[str(value) for value in entry.values()] for entry in entries]


def _data_row(entry: dict[str, Any]) -> list[str]:
    return [entry["name"], " / ".join(f"{count:,}" for count in entry["splits"]), entry["summary"]]
