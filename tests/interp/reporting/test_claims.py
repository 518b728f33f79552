"""Verdicts that can be checked by hand, and the refusals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from interp.refusals import Refused
from interp.reporting.claims import Claim, Claims, Evidence, judge, sentence
from interp.reporting.rules import BelowControls, Equals, ExceedsControls, LiesWithin, Rule, fewest_seeds

ABOVE = (0.90, 0.91, 0.92, 0.93, 0.94, 0.95)
LOW = (0.10, 0.12, 0.11, 0.13, 0.12, 0.10)
HIGH = (0.97, 0.99, 0.98, 0.99, 0.98, 0.99)


def evidence(
    values: object, rule: Rule, statement: str = "It is so", **controls: tuple[float, ...]
) -> Evidence:
    return Evidence(statement, "a course", "accuracy", values, rule, controls)  # type: ignore[arg-type]


def verdict(values: object, rule: Rule, **controls: tuple[float, ...]) -> str:
    return judge([evidence(values, rule, **controls)])[0].verdict


def test_six_of_six_seeds_above_the_only_control_are_enough() -> None:
    # all 6 differences positive: p = 1/64, doubled 1/32 = 0.031
    assert verdict(ABOVE, ExceedsControls(), untrained=LOW) == "supported"


def test_five_of_five_seeds_are_not_and_the_rule_says_why() -> None:
    claim = judge([evidence(ABOVE[:5], ExceedsControls(), untrained=LOW[:5])])[0]
    assert claim.verdict == "undecided"
    assert "5 seeds" in claim.rule
    assert "0.0625" in claim.rule
    assert "at least 6 seeds can decide" in claim.rule


@pytest.mark.parametrize(("error_rate", "seeds"), [(0.05, 6), (0.0625, 5), (0.01, 8), (0.25, 3)])
def test_the_fewest_seeds_are_those_whose_doubled_p_reaches_the_error_rate(
    error_rate: float, seeds: int
) -> None:
    assert fewest_seeds(error_rate) == seeds
    assert 2 * 2.0**-seeds <= error_rate < 2 * 2.0 ** -(seeds - 1)


def test_one_control_above_the_value_refutes_whatever_the_others_say() -> None:
    # two controls: the smallest p counts twice, so 7 seeds are needed: 2 * 2 / 128 = 0.031
    values, low, high = (*ABOVE, 0.93), (*LOW, 0.1), (*HIGH, 0.98)
    assert verdict(values, ExceedsControls(), untrained=low, raw_input=high) == "refuted"
    assert verdict(ABOVE, ExceedsControls(), untrained=LOW, raw_input=HIGH) == "undecided"


def test_every_control_must_be_exceeded() -> None:
    close = tuple(value + shift for value, shift in zip(ABOVE, (0.01, -0.01) * 3, strict=True))
    assert verdict(ABOVE, ExceedsControls(), untrained=LOW, close=close) == "undecided"


def test_a_margin_is_part_of_the_difference_that_is_asked_for() -> None:
    control = tuple(value - 0.05 - 0.001 * i for i, value in enumerate(ABOVE))
    assert verdict(ABOVE, ExceedsControls(margin=0.04), control=control) == "supported"
    assert verdict(ABOVE, ExceedsControls(margin=0.06), control=control) == "refuted"
    assert "above 0.04" in judge([evidence(ABOVE, ExceedsControls(0.04), control=control)])[0].rule


def test_below_controls_is_the_mirror_image() -> None:
    assert verdict(LOW, BelowControls(), random_directions=HIGH) == "supported"
    assert verdict(HIGH, BelowControls(), random_directions=LOW) == "refuted"
    assert verdict(LOW, BelowControls(), random_directions=LOW) == "undecided"


def test_pairs_count_not_the_spread_between_seeds() -> None:
    # seeds differ by 0.5, yet each beats its own control by 0.01 or so: intervals overlap, differences do not
    values = tuple(0.1 * i for i in range(8))
    control = tuple(value - 0.01 - 0.001 * (i % 3) for i, value in enumerate(values))
    claim = judge([evidence(values, ExceedsControls(), control=control)])[0]
    assert claim.verdict == "supported"
    assert claim.controls["control"].interval[1] > claim.interval[0]


def test_equal_values_and_controls_decide_nothing() -> None:
    assert verdict((1.0,) * 8, ExceedsControls(), untrained=(1.0,) * 8) == "undecided"


def test_the_whole_family_pays_for_many_questions() -> None:
    # 6 seeds give 2/64 = 0.031 alone; among 4 tests of which 3 find nothing it becomes 0.125
    nothing = (0.5, 0.6, 0.5, 0.6, 0.5, 0.6)
    other = (0.6, 0.5, 0.6, 0.5, 0.6, 0.5)
    clear = evidence(ABOVE, ExceedsControls(), "clear", untrained=LOW)
    empty = [evidence(nothing, ExceedsControls(), f"empty {i}", control=other) for i in range(3)]
    assert [claim.verdict for claim in judge([clear])] == ["supported"]
    assert [claim.verdict for claim in judge([clear, *empty])] == ["undecided"] * 4
    assert "the report's 4 tests" in judge([clear, *empty])[0].rule


def test_rules_without_a_test_do_not_enlarge_the_family() -> None:
    count = evidence((13002,), Equals(13002), "count")
    clear = evidence(ABOVE, ExceedsControls(), "clear", untrained=LOW)
    claims = judge([count, clear])
    assert [claim.verdict for claim in claims] == ["supported", "supported"]
    assert "1 test " in claims[1].rule


def test_a_published_figure_is_met_missed_or_neither() -> None:
    assert verdict(ABOVE, LiesWithin(0.90, 0.95)) == "supported"
    assert verdict(ABOVE, LiesWithin(0.5, 0.6)) == "refuted"
    assert verdict(ABOVE, LiesWithin(0.925, 0.99)) == "undecided"


def test_the_best_of_the_seeds_is_placed_and_reported_with_their_range() -> None:
    claim = judge([evidence((0.93, 0.951, 0.94), LiesWithin(0.944, 0.957, of="best"))])[0]
    assert (claim.verdict, claim.estimate, claim.interval) == ("supported", 0.951, (0.93, 0.951))
    assert verdict((0.93, 0.96, 0.95), LiesWithin(0.944, 0.957, of="best")) == "refuted"


def test_a_count_is_right_or_wrong_in_every_seed() -> None:
    assert verdict((13002, 13002), Equals(13002)) == "supported"
    assert verdict((13002, 13003), Equals(13002)) == "refuted"


def test_a_claim_is_never_made_or_altered_by_hand(claims: Claims) -> None:
    fields = {field.name: getattr(claims[0], field.name) for field in dataclasses.fields(Claim)}
    with pytest.raises(Refused, match="Evidence to judge"):
        Claim(**fields)
    with pytest.raises(Refused, match="Evidence to judge"):
        dataclasses.replace(claims[2], verdict="supported")
    with pytest.raises(dataclasses.FrozenInstanceError):
        claims[2].verdict = "supported"  # type: ignore[misc]


def test_a_claim_has_the_promised_fields_and_so_has_its_record(claims: Claims) -> None:
    promised = [
        "statement",
        "source",
        "measure",
        "estimate",
        "interval",
        "controls",
        "seeds",
        "rule",
        "verdict",
    ]
    assert [field.name for field in dataclasses.fields(Claim)] == [*promised, "unit"]
    assert list(claims[0].record()) == promised
    assert claims[0].record()["controls"]["untrained"].keys() == {"estimate", "interval"}


def test_estimate_and_interval_are_those_over_seeds() -> None:
    claim = judge([evidence(ABOVE, ExceedsControls(), untrained=LOW)])[0]
    assert claim.estimate == pytest.approx(0.925)
    assert 0.90 < claim.interval[0] < 0.925 < claim.interval[1] < 0.95
    assert claim.controls["untrained"].estimate == pytest.approx(np.mean(LOW))
    assert claim.seeds == 6


def test_the_sentence_follows_from_the_verdict() -> None:
    claim = judge([evidence(ABOVE, ExceedsControls(), untrained=(0.5,) * 6, shuffled_labels=(0.1,) * 6)])[0]
    low, high = claim.interval
    assert sentence(claim) == (
        f"Supported: 0.925 [{low:.3f}, {high:.3f}] against untrained 0.500 and shuffled labels 0.100, "
        "over 6 seeds."
    )
    assert sentence(judge([evidence((13002,), Equals(13002))])[0]) == "Supported: 13,002, over 1 seed."


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_place(bad: float) -> None:
    with pytest.raises(Refused, match=r"1 of 6 numbers of values are not finite.*position 2"):
        evidence((0.1, 0.2, bad, 0.3, 0.4, 0.5), ExceedsControls(), untrained=LOW)
    with pytest.raises(Refused, match=r"numbers of untrained are not finite.*position 0"):
        evidence(ABOVE, ExceedsControls(), untrained=(bad, *LOW[1:]))


def test_unpaired_empty_and_missing_numbers_are_refused_with_the_figure() -> None:
    with pytest.raises(Refused, match="'untrained' has 5 values beside 6 seeds"):
        evidence(ABOVE, ExceedsControls(), untrained=LOW[:5])
    with pytest.raises(Refused, match="No controls were given"):
        evidence(ABOVE, ExceedsControls())
    with pytest.raises(Refused, match="values holds no seeds"):
        evidence((), Equals(1))
    with pytest.raises(Refused, match="1 seed was given"):
        evidence((0.9,), ExceedsControls(), untrained=(0.1,))
    with pytest.raises(Refused, match="mean over 1 seed"):
        evidence((0.9,), LiesWithin(0, 1))
    with pytest.raises(Refused, match="empty source"):
        Evidence("It is so", " ", "accuracy", ABOVE, Equals(1))


def test_rules_that_can_mean_nothing_are_refused() -> None:
    with pytest.raises(Refused, match="is empty"):
        LiesWithin(0.9, 0.1)
    with pytest.raises(Refused, match="Allowed: mean, best"):
        LiesWithin(0.1, 0.9, of="worst")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="margin nan"):
        evidence(ABOVE, ExceedsControls(margin=math.nan), untrained=LOW)
    with pytest.raises(Refused, match="finite number"):
        evidence(ABOVE, Equals(math.inf))


def test_the_same_claim_twice_and_a_senseless_error_rate_are_refused() -> None:
    one = evidence((1,), Equals(1))
    with pytest.raises(Refused, match="given twice"):
        judge([one, one])
    with pytest.raises(Refused, match=r"error rate 0\.5"):
        judge([one], error_rate=0.5)


def test_numbers_come_as_arrays_of_any_kind_too() -> None:
    claim = judge([evidence(np.array(ABOVE, np.float32), ExceedsControls(), untrained=np.array(LOW))])[0]
    assert claim.verdict == "supported"
    assert isinstance(claim.estimate, float)


def test_the_error_rate_sets_confidence_and_stands_in_the_rule() -> None:
    strict = judge([evidence(ABOVE, ExceedsControls(), untrained=LOW)], error_rate=0.01)[0]
    usual = judge([evidence(ABOVE, ExceedsControls(), untrained=LOW)])[0]
    assert "99 % BCa" in strict.rule
    assert "at most 0.01" in strict.rule
    assert strict.verdict == "undecided"
    assert strict.interval[0] < usual.interval[0]


def test_no_evidence_gives_no_claims() -> None:
    assert judge([]) == []
