"""The claims on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from interp.reporting.report import Report
from interp.reporting.terminal import claims_table


def shown(report: Report, width: int) -> str:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(claims_table(report))
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_verdicts_and_numbers_are_whole_words_at_usual_widths(report: Report, width: int) -> None:
    text = shown(report, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for word in ("supported", "refuted", "undecided", "0.934 [0.930, 0.938]", "13,002", "raw input", "…"[:0]):
        assert word in text
    assert "…" not in text


def test_square_brackets_are_not_read_as_markup(report: Report) -> None:
    assert shown(report, 120).count("[0.930, 0.938]") == 2


def test_a_record_is_shown_like_its_report(report: Report) -> None:
    text = io.StringIO()
    Console(file=text, width=100, color_system=None).print(claims_table(report.record()))
    assert text.getvalue() == shown(report, 100)
