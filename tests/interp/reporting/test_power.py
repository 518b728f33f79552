"""What seeds and tests leave undecided whatever the values: against a search of all that p-values can be."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from interp.measuring.statistics import benjamini_hochberg
from interp.reporting.claims import Evidence, judge
from interp.reporting.power import Comparison, fewest_at_once, remarks
from interp.reporting.report import Report, read_report, write
from interp.reporting.rules import ExceedsControls

SIX = (0.90, 0.91, 0.92, 0.93, 0.94, 0.95)
LOW, ALIKE = (0.10, 0.12, 0.11, 0.13, 0.12, 0.10), (0.95, 0.85, 0.96, 0.90, 0.99, 0.90)


def possible(test: Comparison) -> list[float]:
    """Every p up to 0.2 that sign patterns of one control can give, and one that says nothing."""
    return [
        2 * count / 2**test.seeds for count in range(1, 2**test.seeds) if 2 * count / 2**test.seeds < 0.2
    ] + [1.0]


def searched(own: float, tests: list[Comparison], *, error_rate: float) -> int | None:
    """The fewest tests that agree where the first of them does with this p, over all p-values of the others."""
    counts = []
    for others in itertools.product(*(possible(test) for test in tests[1:])):
        corrected = benjamini_hochberg([own, *others])
        if corrected[0] <= error_rate:
            counts.append(sum(p <= error_rate for p in corrected))
    return min(counts, default=None)


@pytest.mark.parametrize("error_rate", [0.05, 0.1])
@pytest.mark.parametrize(
    "seeds",
    [
        (5,),
        (6,),
        (6, 6),
        (6, 6, 6),
        (5, 6, 7),
        (6, 7, 7),
        (7, 6, 5),
        (7, 7, 6),
        (8, 5, 5),
        (6, 6, 6, 6),
        (7, 6, 6, 6),
    ],
)
def test_no_values_make_fewer_tests_agree_and_some_make_so_many(
    seeds: tuple[int, ...], error_rate: float
) -> None:
    tests = [Comparison(count, 1) for count in seeds]
    for controls in (1, 2, 3):
        p = Comparison(seeds[0], controls).smallest_refuting_p
        assert fewest_at_once(p, tests, error_rate=error_rate) == searched(p, tests, error_rate=error_rate)


def family(clear: int, tests: int) -> list[str]:
    return [
        claim.verdict
        for claim in judge(
            [
                Evidence(f"{place}", "s", "m", SIX, ExceedsControls(), {"c": LOW if place < clear else ALIKE})
                for place in range(tests)
            ]
        )
    ]


def test_of_twelve_tests_with_six_seeds_none_or_eight_are_decided_and_the_remark_says_so() -> None:
    assert fewest_at_once(1 / 32, [Comparison(6, 1)] * 12, error_rate=0.05) == 8
    assert [family(clear, 12).count("supported") for clear in (1, 7, 8, 11)] == [0, 0, 8, 11]
    assert remarks([Comparison(6, 1)] * 12, error_rate=0.05) == [
        "6 seeds and 12 tests: the smallest p that 6 seeds can give is 0.031, and after the correction it is enough "
        "only where 8 or more of the 12 agree at once. One tested claim alone, however large its effect, stays "
        "undecided; that is no evidence against it. More seeds decide more: with 7 it takes 4 of 12, with 9 a single "
        "one is enough."
    ]


def test_refuting_against_several_controls_takes_more_and_that_is_said() -> None:
    [said] = remarks([Comparison(8, 3)] * 6, error_rate=0.05)
    assert said.startswith(
        "Against 3 controls the smallest p of a refutation is 0.023: with 8 seeds 3 or more of the 6"
    )
    [said] = remarks([Comparison(6, 3)], error_rate=0.05)
    assert (
        said
        == "Against 3 controls the smallest p of a refutation is 0.094: with 6 seeds no such claim can be refuted."
    )


def test_with_too_few_seeds_nothing_is_decided_and_enough_seeds_need_no_remark() -> None:
    [said] = remarks([Comparison(4, 1)] * 3, error_rate=0.05)
    assert said.startswith(
        "With 4 seeds no tested claim can be decided, whatever the values: their smallest p is 0.12"
    )
    assert remarks([Comparison(9, 1)] * 12, error_rate=0.05) == remarks([], error_rate=0.05) == []
    assert remarks([Comparison(20, 1)] * 12, error_rate=0.05) == []


def test_a_report_says_it_once_on_its_page_and_in_its_record(tmp_path: Path) -> None:
    evidence = [
        Evidence(f"{place}", "s", "m", SIX, ExceedsControls(), {"c": control})
        for place, control in enumerate((LOW, ALIKE))
    ]
    report = Report(
        "A question?", "an_analysis", {}, judge(evidence, unit="draw"), notes=["Left out: nothing."]
    )
    write(report, tmp_path / "report")
    [remark] = report.remarks
    assert remark.startswith("6 draws and 2 tests")
    assert read_report(tmp_path / "report")["notes"] == [remark, "Left out: nothing."]
    assert (tmp_path / "report" / "index.html").read_text().count(remark) == 1


def test_where_every_test_was_decided_there_is_nothing_to_say() -> None:
    clear = [Evidence(f"{place}", "s", "m", SIX, ExceedsControls(), {"c": LOW}) for place in range(2)]
    assert judge(clear).remarks == ()


def test_units_other_than_seeds_are_named_in_record_rule_and_sentence() -> None:
    from interp.reporting.claims import sentence

    claim = judge([Evidence("a", "s", "m", SIX, ExceedsControls(), {"c": LOW})], unit="text draw")[0]
    assert claim.record()["unit"] == "text draw"
    assert "text draw by text draw" in claim.rule
    assert sentence(claim).endswith("over 6 text draws.")
