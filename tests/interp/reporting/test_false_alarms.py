"""Pure noise is decided no more often than the stated error rate, and what is there is found."""

from __future__ import annotations

import numpy as np
from scipy import stats

from interp.reporting.claims import Evidence, judge
from interp.reporting.rules import ExceedsControls

REPEATS, SEEDS, ERROR_RATE = 200, 8, 0.05
MOST_FALSE_ALARMS = int(stats.binom.ppf(0.999, REPEATS, ERROR_RATE))


def noise_report(random: np.random.Generator, *, statements: int, controls: int) -> list[str]:
    evidence = [
        Evidence(
            statement=f"statement {number}",
            source="noise",
            measure="noise",
            values=random.normal(size=SEEDS),
            rule=ExceedsControls(),
            controls={f"control {i}": random.normal(size=SEEDS) for i in range(controls)},
        )
        for number in range(statements)
    ]
    return [claim.verdict for claim in judge(evidence, error_rate=ERROR_RATE)]


def test_one_statement_about_noise_is_seldom_decided() -> None:
    random = np.random.default_rng(2)
    verdicts = [noise_report(random, statements=1, controls=2)[0] for _ in range(REPEATS)]
    assert verdicts.count("supported") <= MOST_FALSE_ALARMS
    assert verdicts.count("refuted") <= MOST_FALSE_ALARMS


def test_a_report_of_four_statements_about_noise_seldom_decides_any() -> None:
    random = np.random.default_rng(3)
    reports = [noise_report(random, statements=4, controls=1) for _ in range(REPEATS)]
    assert sum(set(verdicts) != {"undecided"} for verdicts in reports) <= MOST_FALSE_ALARMS


def test_planted_differences_are_found_beside_noise() -> None:
    random = np.random.default_rng(4)
    found = []
    for _ in range(30):
        evidence = []
        for number, shift in enumerate((3.0, 3.0, -3.0, 0.0)):
            control = random.normal(size=SEEDS)
            values = control + shift + random.normal(size=SEEDS)
            evidence.append(
                Evidence(f"{number}", "planted", "m", values, ExceedsControls(), {"control": control})
            )
        found.append([claim.verdict for claim in judge(evidence)])
    share = np.mean([verdicts[:3] == ["supported", "supported", "refuted"] for verdicts in found])
    assert share >= 0.9
