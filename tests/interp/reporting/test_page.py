"""The page: whole in itself, readable by ear, in the dark and on paper, and safe."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from interp.reporting import page as page_module
from interp.reporting.claims import Claims, Evidence, judge
from interp.reporting.page import strip
from interp.reporting.report import Report, write
from interp.reporting.rules import ExceedsControls
from interp.reporting.words import words_in

VOID = {"meta", "link", "img", "br", "line", "circle"}


class Outline(HTMLParser):
    """Elements in order with their attributes and text, and whether every tag is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def html(report: Report, tmp_path: Path) -> str:
    return (write(report, tmp_path / "demo") / "index.html").read_text()


@pytest.fixture
def outline(html: str) -> Outline:
    return Outline(html)


def test_the_page_loads_nothing_and_runs_nothing(html: str, outline: Outline) -> None:
    assert "<script" not in html
    assert "http" not in html
    assert "@import" not in html
    assert "url(" not in html
    addresses = [a.get(key) for _, a in outline.elements for key in ("src", "href", "action") if a.get(key)]
    assert addresses
    assert all(str(address).startswith(("#", "data:")) for address in addresses)
    assert not [name for _, a in outline.elements for name in a if name.startswith("on")]


def test_every_tag_is_closed_in_its_turn_and_every_id_is_its_own(outline: Outline) -> None:
    assert outline.open == []
    ids = [a["id"] for _, a in outline.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"])[1:] for a in outline.all("a")}
    assert targets <= set(ids)


def test_landmarks_language_and_headings_in_order(outline: Outline, report: Report) -> None:
    assert outline.all("html") == [{"lang": "en"}]
    assert [len(outline.all(name)) for name in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    levels = [int(name[1]) for name, _ in outline.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert levels.count(3) == len(report.claims)
    assert ("title", report.question) in outline.texts


def test_tables_have_captions_and_scopes_and_figures_have_words(outline: Outline, report: Report) -> None:
    assert len(outline.all("table")) == len(outline.all("caption"))
    assert {a.get("scope") for a in outline.all("th")} == {"row", "col"}
    assert [a["alt"] for a in outline.all("img")] == [figure.alt for figure in report.figures.values()]


def test_claims_come_first_and_each_verdict_is_a_word(html: str, outline: Outline, report: Report) -> None:
    assert html.index('id="claims"') < html.index('id="figures"') < html.index('id="tables"')
    badges = [text for name, text in outline.texts if text in ("Supported", "Refuted", "Undecided")]
    assert badges == [claim.verdict.capitalize() for claim in report.claims]
    assert "5 claims: 3 supported, 1 refuted, 1 undecided." in html


def test_what_differs_between_two_runs_is_not_on_the_page(html: str, report: Report) -> None:
    assert str(report.provenance["run_time_seconds"]) not in html
    assert report.provenance["finished"] not in html
    assert "12.346" in str(report.provenance)


def test_text_is_escaped(report: Report, tmp_path: Path) -> None:
    nasty = "<script>alert('x')</script>&\"quoted\""
    table = pd.DataFrame({nasty: [nasty]})
    odd = dataclasses.replace(report, question=nasty, notes=[nasty], tables={"odd": table})
    html = (write(odd, tmp_path / "demo") / "index.html").read_text()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5


def test_long_tables_are_folded_and_very_long_ones_cut(report: Report, tmp_path: Path) -> None:
    tables = {
        "short": pd.DataFrame({"a": range(3)}),
        "long": pd.DataFrame({"a": range(30)}),
        "endless": pd.DataFrame({"a": range(page_module.MOST_ROWS + 7)}),
        "none": pd.DataFrame({"a": []}, dtype="int64"),
    }
    html = (
        write(dataclasses.replace(report, tables=tables, figures={}), tmp_path / "demo") / "index.html"
    ).read_text()
    assert html.count("<details>") == 2
    assert "30 rows, tables/long.csv" in html
    assert "The first 500 of 507 rows; all of them are in tables/endless.csv." in html


def test_a_report_of_nothing_is_still_a_page(tmp_path: Path) -> None:
    bare = Report(question="Is it so?", analysis="is_it_so", config={}, claims=[])
    outline = Outline((write(bare, tmp_path / "demo") / "index.html").read_text())
    assert outline.open == []
    assert ("p", "This report makes no claims.") in outline.texts


def test_a_drawing_places_the_smallest_left_and_the_largest_right(claims: Claims) -> None:
    drawn = strip(claims[0].record())
    assert drawn is not None
    by_name = {mark.name: mark for mark in drawn.marks}
    assert list(by_name) == ["this claim", "untrained", "shuffled labels", "random label per type"]
    assert by_name["shuffled labels"].low == pytest.approx(5.36, abs=0.01)
    assert by_name["this claim"].high == pytest.approx(94.64, abs=0.01)
    assert [label for _, label in drawn.ticks] == ["0.2", "0.4", "0.6", "0.8"]
    assert all(mark.low <= mark.estimate <= mark.high for mark in drawn.marks)


def test_a_lone_count_is_not_drawn(claims: Claims) -> None:
    assert strip(claims[3].record()) is None


def test_notebooks_show_claims_and_reports(claims: Claims, report: Report) -> None:
    for html in (claims._repr_html_(), claims[0]._repr_html_(), report._repr_html_(), Claims()._repr_html_()):
        assert Outline(html).open == []
        assert "<html" not in html
    assert claims._repr_html_().count("<article") == 5
    assert report.question in report._repr_html_()


def luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance of #rgb or #rrggbb."""
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_text_stands_out_in_light_in_dark_and_on_paper() -> None:
    style = (Path(page_module.__file__).parent / "templates" / "style.css").read_text()
    palettes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block)) for block in style.split("@media")]
    palettes = [palette for palette in palettes if "paper" in palette]
    assert len(palettes) == 3
    for palette in palettes:
        for name in ("ink", "quiet", "accent"):
            assert contrast(palette[name], palette["paper"]) >= 4.5
        for name in ("supported", "refuted", "undecided"):
            assert contrast(palette[name], palette[f"{name}-wash"]) >= 4.5


def test_a_rule_is_stated_once_before_the_claims_and_each_claim_points_to_its_own(
    html: str, report: Report
) -> None:
    rules = list(dict.fromkeys(claim.rule for claim in report.claims))
    before, after = html.split('<section id="claims"')
    assert before.count('<p id="rule-') == len(rules)
    for number, claim in enumerate(report.claims, start=1):
        article = after.split(f'id="claim-{number}"')[1].split("</article>")[0]
        assert f'<a href="#rule-{rules.index(claim.rule) + 1}">' in article
        assert f'<a href="#claim-{number}">' in before


def test_a_page_explains_the_words_it_uses_and_no_others() -> None:
    assert list(words_in("Supported: the 95 % BCa interval lies above 0.")) == ["interval"]
    explained = words_in("layers.0.hook_post, untrained, over 8 seeds")
    assert list(explained) == ["seed", "hook names", "untrained network"]
    assert words_in("nothing of ours") == {}
    of_facts = words_in(
        "By drift (AUROC 0.98, top-1 0.92), less its leaning: planted, certified; the oracle, The leak"
    )
    assert list(of_facts) == ["planted", "certified", "AUROC", "top-1", "drift", "leak", "oracle", "leaning"]
    assert list(words_in("facts of a like margin")) == ["margin", "reference facts"]


def test_claims_that_share_a_rule_share_its_text() -> None:
    values, control = [0.9, 0.8, 0.95, 0.9, 0.85, 0.9], [0.1, 0.2, 0.15, 0.1, 0.2, 0.1]
    evidence = [
        Evidence(statement, "nobody", "accuracy", values, ExceedsControls(), {"control": control})
        for statement in ("The first.", "The second.")
    ]
    shown = page_module.page(Report("A question?", "an_analysis", {}, judge(evidence)).record(), {})
    assert shown.count("Value minus control, seed by seed") == 1
    assert shown.count('<a href="#rule-1">') == 2
