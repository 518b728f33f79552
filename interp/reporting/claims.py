"""Claims: statements with a number, an interval over seeds, controls, a rule and the verdict that follows.

`judge` takes all the evidence of one report together, because it is one family: every comparison's p-value is
corrected by Benjamini and Hochberg's procedure, which holds the expected share of wrong verdicts among the
decided ones at the error rate. The verdict is computed, and a claim made or altered by hand is refused.
"Undecided" says that these seeds cannot tell; it is no evidence of absence.

Source: Benjamini and Hochberg, "Controlling the false discovery rate" (1995),
doi.org/10.1111/j.2517-6161.1995.tb02031.x.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

from numpy.typing import NDArray

from interp.measuring.statistics import benjamini_hochberg, measured
from interp.refusals import Refused
from interp.reporting.page import claims_fragment
from interp.reporting.power import Comparison, remarks
from interp.reporting.rules import Design, Finding, Rule, Values, Verdict
from interp.reporting.wording import verdict_sentence

PerSeed = Sequence[Any] | NDArray[Any]

_JUDGED = object()


@dataclass(frozen=True)
class Control:
    """What the same measure gives where nothing should be found: mean over seeds, interval of the mean."""

    estimate: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Claim:
    """A judged statement. Only `judge` makes one, so that a verdict cannot be written by hand.

    `seeds` is how many numbers it rests on, `unit` what each of them is one of: a seed, unless `judge` was told.
    """

    statement: str
    source: str
    measure: str
    estimate: float
    interval: tuple[float, float]
    controls: Mapping[str, Control]
    seeds: int
    rule: str
    verdict: Verdict
    unit: str = "seed"
    made_by: InitVar[object] = None

    def __post_init__(self, made_by: object) -> None:
        if made_by is not _JUDGED:
            raise Refused(
                "A claim's verdict follows from its rule: give Evidence to judge, make no Claim by hand."
            )

    def record(self) -> dict[str, Any]:
        """The claim as `report.json` holds it."""
        controls = {
            name: {"estimate": control.estimate, "interval": list(control.interval)}
            for name, control in self.controls.items()
        }
        return {
            "statement": self.statement,
            "source": self.source,
            "measure": self.measure,
            "estimate": self.estimate,
            "interval": list(self.interval),
            "controls": controls,
            "seeds": self.seeds,
            "rule": self.rule,
            "verdict": self.verdict,
            **({} if self.unit == "seed" else {"unit": self.unit}),
        }

    def _repr_html_(self) -> str:
        return claims_fragment([self.record()])


class Claims(list[Claim]):
    """A list of claims that a notebook shows as the report does; `remarks`: what their seeds could not decide."""

    def __init__(self, claims: Iterable[Claim] = (), *, remarks: Sequence[str] = ()) -> None:
        super().__init__(claims)
        self.remarks = tuple(remarks)

    def _repr_html_(self) -> str:
        return claims_fragment([claim.record() for claim in self])


@dataclass(frozen=True)
class Evidence:
    """What was measured for one statement, one number per seed, and the rule fixed beforehand.

    `values` and each of `controls` are finite numbers in one unit, seed by seed in one order. Refuses what is
    empty, not finite, or not to be judged by `rule`, with the figure.
    """

    statement: str
    source: str
    measure: str
    values: PerSeed
    rule: Rule
    controls: Mapping[str, PerSeed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("statement", "source", "measure"):
            if not getattr(self, name).strip():
                raise Refused(
                    f"The evidence has an empty {name}; say in words what was asked, where and how."
                )
        values = self._finite("values", self.values)
        controls = {name: self._finite(name, control) for name, control in self.controls.items()}
        try:
            self.rule.check(values, controls)
        except Refused as refusal:
            raise Refused(f"{self.statement!r}, {self.measure}: {refusal}") from None
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "controls", controls)

    def weigh(self, *, confidence: float) -> Finding:
        """What the rule reads in these numbers, before any correction."""
        return self.rule.weigh(tuple(self.values), self._control_values(), confidence=confidence)

    def _control_values(self) -> dict[str, Values]:
        return {name: tuple(control) for name, control in self.controls.items()}

    def _finite(self, name: str, values: PerSeed) -> Values:
        numbers = tuple(float(value) for value in values)
        if not numbers:
            raise Refused(
                f"{self.statement!r}, {self.measure}: {name} holds no seeds; give one number for each."
            )
        bad = [position for position, value in enumerate(numbers) if not math.isfinite(value)]
        if bad:
            raise Refused(
                f"{self.statement!r}, {self.measure}: {len(bad)} of {len(numbers)} numbers of {name} "
                f"are not finite, the first {numbers[bad[0]]} at seed position {bad[0]}. "
                "Leave diverged seeds out by name."
            )
        return numbers


def judge(evidence: Sequence[Evidence], *, error_rate: float = 0.05, unit: str = "seed") -> Claims:
    """The claims that follow from all the evidence of one report, in its order.

    `error_rate` is the wanted share of wrong verdicts among decided comparisons; intervals have confidence
    1 - `error_rate`. `unit`: what each number is one of, where it is no seed (draws from one network, say). Refuses a
    rate outside (0, 0.5) and the same statement and measure twice.

    Where a test left a claim undecided, the claims' `remarks` say what so few seeds could not decide (power.py).
    """
    if not 0 < error_rate < 0.5:
        raise Refused(f"The error rate {error_rate} was given; it lies between 0 and 0.5, for example 0.05.")
    _check_distinct(evidence)
    tested = [item for item in evidence if item.rule.tested]
    found = [item.weigh(confidence=1 - error_rate) for item in evidence]
    verdicts = _verdicts(found, error_rate=error_rate)
    claims = [
        _claim(item, finding, verdict=verdict, design=Design(error_rate, len(item.values), len(tested), unit))
        for item, finding, verdict in zip(evidence, found, verdicts, strict=True)
    ]
    open_ones = [item for item, verdict in zip(evidence, verdicts, strict=True) if verdict == "undecided"]
    if not any(item.rule.tested for item in open_ones):
        return Claims(claims)
    tests = [Comparison(len(item.values), len(item.controls)) for item in tested]
    return Claims(claims, remarks=remarks(tests, error_rate=error_rate, unit=unit))


def sentence(claim: Claim) -> str:
    """The verdict in one sentence: `Supported: 0.93 [0.91, 0.95] against untrained 0.61 …, over 16 seeds.`"""
    return verdict_sentence(claim.record())


def _verdicts(found: Sequence[Finding], *, error_rate: float) -> list[Verdict]:
    corrected = iter(benjamini_hochberg([one.p_value for one in found if one.p_value is not None]))
    return [
        finding.leaning if finding.p_value is None or next(corrected) <= error_rate else "undecided"
        for finding in found
    ]


def _claim(item: Evidence, finding: Finding, *, verdict: Verdict, design: Design) -> Claim:
    return Claim(
        statement=item.statement,
        source=item.source,
        measure=item.measure,
        estimate=finding.estimate,
        interval=finding.interval,
        controls={
            name: _control(tuple(values), confidence=1 - design.error_rate)
            for name, values in item.controls.items()
        },
        seeds=len(item.values),
        rule=item.rule.text(design),
        verdict=verdict,
        unit=design.unit,
        made_by=_JUDGED,
    )


def _control(values: Values, *, confidence: float) -> Control:
    if len(values) == 1:
        return Control(values[0], (values[0], values[0]))
    over_seeds = measured(values, confidence=confidence)
    return Control(over_seeds.estimate, over_seeds.interval)


def _check_distinct(evidence: Sequence[Evidence]) -> None:
    seen: set[tuple[str, str]] = set()
    for item in evidence:
        key = (item.statement, item.measure)
        if key in seen:
            raise Refused(
                f"{item.statement!r} by {item.measure!r} is given twice; a report claims a thing once."
            )
        seen.add(key)
