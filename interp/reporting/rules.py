"""Rules: how a number becomes a verdict, written down before the number is known.

Each rule carries its own words and its own decision. The comparing rules pair each seed's value with the same
seed's control and ask two things of the difference: that its interval lies beyond the margin, and that the
sign-flip test agrees. "Beyond every control" is an intersection-union test, so its p is the largest over the
controls (Berger 1982); "not beyond some control" is a union, so its p is the smallest times their number
(Bonferroni). Both directions are tried, so the smaller of the two counts double, and one such p per
comparison enters the report's Benjamini-Hochberg correction, which then holds the share of wrong directions
too (Benjamini and Yekutieli 2005).

It misleads when seeds are not the unit of evidence (seeds that share data share its luck), and when a rule or
a margin was chosen after the numbers were seen. Rules that only place a number (`LiesWithin`, `Equals`) make
no test and say so.

Sources: Berger, "Multiparameter hypothesis testing and acceptance sampling" (1982), doi.org/10.2307/1267823;
Benjamini and Yekutieli, "False discovery rate-adjusted multiple confidence intervals for selected parameters"
(2005), doi.org/10.1198/016214504000001907.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from interp.measuring.statistics import EXACT_UP_TO, SAMPLED_FLIPS, measured, sign_flip_p
from interp.refusals import Refused, unknown
from interp.reporting.wording import number, plural

Verdict = Literal["supported", "refuted", "undecided"]
Values = tuple[float, ...]
Controls = Mapping[str, Values]


@dataclass(frozen=True)
class Design:
    """What is known before any number: the error rate, how many seeds (or other units), how many tests."""

    error_rate: float
    seeds: int
    tests: int
    unit: str = "seed"

    @property
    def percent(self) -> str:
        """The confidence of the intervals, as `95 %`."""
        return f"{100 * (1 - self.error_rate):.4g} %"


@dataclass(frozen=True)
class Finding:
    """What a rule reads in the numbers before correction; `p_value` is None where the rule makes no test."""

    estimate: float
    interval: tuple[float, float]
    leaning: Verdict
    p_value: float | None = None


class Rule(ABC):
    """A decision with its own words; `tested` says whether it puts a p-value into the report's family."""

    tested: ClassVar[bool]

    @abstractmethod
    def check(self, values: Values, controls: Controls) -> None:
        """Refuse, with the figure, numbers that this rule cannot judge."""

    @abstractmethod
    def text(self, design: Design) -> str:
        """The rule in words with all its figures, computed from the design alone."""

    @abstractmethod
    def weigh(self, values: Values, controls: Controls, *, confidence: float) -> Finding:
        """The estimate, its interval, where they lean and how likely luck would lean as far."""


@dataclass(frozen=True)
class ExceedsControls(Rule):
    """Supported when the value lies above every control by more than `margin` (in the measure's unit)."""

    margin: int | float = 0.0
    tested: ClassVar[bool] = True

    def check(self, values: Values, controls: Controls) -> None:
        """Refuses no controls, unpaired controls and a margin that is no number."""
        _check_pairs(self.margin, values, controls)

    def text(self, design: Design) -> str:
        """The rule in words, margin, confidence, error rate and correction included."""
        return _comparison_text("Value minus control", self.margin, design)

    def weigh(self, values: Values, controls: Controls, *, confidence: float) -> Finding:
        """Value minus control, seed by seed, held against the margin."""
        return _compare(values, controls, sign=1, margin=self.margin, confidence=confidence)


@dataclass(frozen=True)
class BelowControls(Rule):
    """Supported when the value lies below every control by more than `margin` (in the measure's unit)."""

    margin: int | float = 0.0
    tested: ClassVar[bool] = True

    def check(self, values: Values, controls: Controls) -> None:
        """Refuses no controls, unpaired controls and a margin that is no number."""
        _check_pairs(self.margin, values, controls)

    def text(self, design: Design) -> str:
        """The rule in words, margin, confidence, error rate and correction included."""
        return _comparison_text("Control minus value", self.margin, design)

    def weigh(self, values: Values, controls: Controls, *, confidence: float) -> Finding:
        """Control minus value, seed by seed, held against the margin."""
        return _compare(values, controls, sign=-1, margin=self.margin, confidence=confidence)


@dataclass(frozen=True)
class LiesWithin(Rule):
    """Supported when the interval of the mean (or the best, the largest, seed) lies from `low` to `high`."""

    low: int | float
    high: int | float
    of: Literal["mean", "best"] = "mean"
    tested: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.of not in ("mean", "best"):
            raise unknown("figure to place", self.of, ("mean", "best"))
        if not self.low <= self.high:
            raise Refused(f"The range {self.low} to {self.high} is empty; give low <= high.")

    def check(self, values: Values, controls: Controls) -> None:
        """Refuses a mean of fewer than two seeds, which has no interval; controls are shown, not judged."""
        if self.of == "mean" and len(values) < 2:
            raise Refused(f"A mean over {len(values)} seed has no interval; give 2 or more, or of='best'.")

    def text(self, design: Design) -> str:
        """The rule in words, with the range and what is placed in it."""
        bounds = f"from {number(self.low)} to {number(self.high)}"
        if self.of == "best":
            return (
                f"Supported when the largest of {plural(design.seeds, design.unit)} lies {bounds}, "
                f"else refuted. The interval given is the range of the {design.unit}s; no test is made."
            )
        return (
            f"Supported when the whole {design.percent} interval of the mean (BCa bootstrap over {design.unit}s) lies "
            f"{bounds}, refuted when all of it lies outside, otherwise undecided. No test is made."
        )

    def weigh(self, values: Values, controls: Controls, *, confidence: float) -> Finding:
        """Where the interval, or the best seed, lies."""
        if self.of == "best":
            best = max(values)
            inside = self.low <= best <= self.high
            return Finding(best, (min(values), best), "supported" if inside else "refuted")
        over_seeds = measured(values, confidence=confidence)
        return Finding(over_seeds.estimate, over_seeds.interval, self._place(*over_seeds.interval))

    def _place(self, low: float, high: float) -> Verdict:
        if self.low <= low and high <= self.high:
            return "supported"
        return "refuted" if high < self.low or low > self.high else "undecided"


@dataclass(frozen=True)
class Equals(Rule):
    """Supported when every seed gives exactly `value`: for counts, never for what was averaged."""

    value: int | float
    tested: ClassVar[bool] = False

    def check(self, values: Values, controls: Controls) -> None:
        """Refuses a value that is no number."""
        if not math.isfinite(self.value):
            raise Refused(f"Equals({self.value}) can hold of nothing; give a finite number.")

    def text(self, design: Design) -> str:
        """The rule in words, with the exact value."""
        return (
            f"Supported when every {design.unit} gives exactly {self.value:,}, else refuted; no test is made."
        )

    def weigh(self, values: Values, controls: Controls, *, confidence: float) -> Finding:
        """The count, with the range of the seeds as its interval."""
        agrees = all(value == self.value for value in values)
        interval = (min(values), max(values))
        return Finding(float(np.mean(values)), interval, "supported" if agrees else "refuted")


def fewest_seeds(error_rate: float) -> int:
    """The fewest seeds with which a two-way sign-flip test can reach the error rate: 6 for 0.05."""
    return math.ceil(1 - math.log2(error_rate) - 1e-12)


def _check_pairs(margin: int | float, values: Values, controls: Controls) -> None:
    if not math.isfinite(margin):
        raise Refused(f"The margin {margin} was given; it is a finite number in the measure's unit.")
    if not controls:
        raise Refused("No controls were given, and this rule compares with controls: give at least one.")
    if len(values) < 2:
        raise Refused(f"{plural(len(values), 'seed')} was given; a difference over seeds needs 2 or more.")
    for name, control in controls.items():
        if len(control) != len(values):
            raise Refused(
                f"The control {name!r} has {len(control)} values beside {len(values)} seeds; they are "
                "compared seed by seed, so give one for each seed, in the same order."
            )


def _comparison_text(difference: str, margin: int | float, design: Design) -> str:
    how = "exact" if design.seeds <= EXACT_UP_TO else f"{SAMPLED_FLIPS:,} random flips"
    text = (
        f"{difference}, {design.unit} by {design.unit}. Supported: for every control the {design.percent} BCa interval "
        f"lies above {margin:g} and the sign-flip test ({how}, largest p of the controls) agrees. Refuted: for some "
        f"control it lies below {margin:g} and the opposite test (smallest p times the number of controls) "
        "agrees. Else undecided. A test agrees when its p, doubled for the two directions and corrected over the "
        f"report's {plural(design.tests, 'test')} (Benjamini-Hochberg), is at most {design.error_rate:g}."
    )
    return text if design.seeds >= fewest_seeds(design.error_rate) else text + _why_too_few(design)


def _why_too_few(design: Design) -> str:
    return (
        f" With {plural(design.seeds, design.unit)} that p cannot fall below {2 * 2.0**-design.seeds:.4g}, so "
        f"this is undecided whatever the values; at least {fewest_seeds(design.error_rate)} {design.unit}s can decide."
    )


def _compare(
    values: Values, controls: Controls, *, sign: int, margin: int | float, confidence: float
) -> Finding:
    beyond = [sign * np.subtract(values, control) - margin for control in controls.values()]
    intervals = [measured(difference.tolist(), confidence=confidence).interval for difference in beyond]
    p_above = max(sign_flip_p(difference, alternative="greater") for difference in beyond)
    p_below = min(
        1.0, len(beyond) * min(sign_flip_p(difference, alternative="less") for difference in beyond)
    )
    leaning: Verdict = "undecided"
    if all(low > 0 for low, _ in intervals) and p_above <= p_below:
        leaning = "supported"
    elif any(high < 0 for _, high in intervals) and p_below <= p_above:
        leaning = "refuted"
    value = measured(values, confidence=confidence)
    return Finding(value.estimate, value.interval, leaning, p_value=min(1.0, 2 * min(p_above, p_below)))
