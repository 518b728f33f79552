"""Numbers and verdicts in words, the same ones on the terminal, on the page and in a notebook.

Numbers are rounded by the rule of the Particle Data Group: an interval is written with two digits of its
width where those are below 36, else with one, and its estimate to the same place, so 0.9312 in [0.9105,
0.9521] reads 0.93 [0.91, 0.95]. All numbers of a claim share the decimals that its narrowest interval can
bear, but for intervals a hundred times narrower than the widest and those that would need more than six decimals:
what vanishes then is written as what it is below, <0.001, and where all of it would vanish, numbers are written to 4
digits, 2.5e-08. Zero has no sign. Counts are written in full, 13002 as 13,002. Rounding is for the eye only: the
record keeps every digit, and no verdict is drawn from it.

Source: Particle Data Group, "Review of Particle Physics" (2024), section 5.3, pdg.lbl.gov.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Interval = Sequence[int | float]

MOST_DECIMALS = 6
MOST_BEYOND_THE_WIDEST = 2
TWO_DIGITS_BELOW = 3.55


def decimals_for(intervals: Sequence[Interval]) -> int | None:
    """Decimals that the narrowest of the intervals can bear; None when none has a width that six decimals show."""
    borne = [_borne(high - low) for low, high in intervals if high > low]
    shown = [decimals for decimals in borne if decimals <= MOST_DECIMALS]
    return min(max(shown), min(shown) + MOST_BEYOND_THE_WIDEST) if shown else None


def _borne(width: float) -> int:
    """Decimals that an interval of this width can bear."""
    power = math.floor(math.log10(width))
    two_digits = width / 10.0**power < TWO_DIGITS_BELOW
    return max(0, two_digits - power)


def number(value: int | float, decimals: int | None = None) -> str:
    """A number for the eye: `decimals` places, or without them a count in full and all else to 4 digits."""
    if decimals is not None:
        return f"{round(value, decimals) + 0.0:,.{decimals}f}"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value + 0.0:,.0f}"
    return f"{value:.4g}"


def with_interval(estimate: int | float, interval: Interval, *, decimals: int | None = None) -> str:
    """`0.93 [0.91, 0.95]`; only the number where the interval is a point, or looks like one at these decimals."""
    low, high = interval
    places = decimals if decimals is not None or low == high else decimals_for([interval])
    one, *ends = (number(value, places) for value in (estimate, low, high))
    return _alone(estimate, places) if {*ends} == {one} else f"{one} [{ends[0]}, {ends[1]}]"


def _alone(value: int | float, decimals: int | None) -> str:
    """A number without an interval; one that would round to zero and is none, as what it is below: `<0.001`."""
    if decimals is None or value == 0 or round(value, decimals) != 0:
        return number(value, decimals if value != 0 else None)
    return f"{'<' if value > 0 else '>-'}{10.0**-decimals:.{decimals}f}"


def decimals_of(claim: Mapping[str, Any]) -> int | None:
    """The decimals that all numbers of a claim's record are written with, so that they can be compared."""
    return decimals_for([claim["interval"], *(control["interval"] for control in claim["controls"].values())])


def readable(name: str) -> str:
    """A name from code for the eye: `shuffled_labels` reads `shuffled labels`."""
    return name.replace("_", " ")


def plural(count: int, noun: str) -> str:
    """`1 seed`, `16 seeds`, `13,002 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def verdict_sentence(claim: Mapping[str, Any]) -> str:
    """The verdict of a claim's record in one sentence, with its numbers, its controls and its seeds."""
    decimals = decimals_of(claim)
    shown = with_interval(claim["estimate"], claim["interval"], decimals=decimals)
    against = [
        f"{readable(name)} {with_interval(control['estimate'], control['interval'], decimals=decimals)}"
        for name, control in claim["controls"].items()
    ]
    compared = f" against {_listed(against)}" if against else ""
    return (
        f"{claim['verdict'].capitalize()}: {shown}{compared}, over {plural(claim['seeds'], unit_of(claim))}."
    )


def unit_of(claim: Mapping[str, Any]) -> str:
    """What a claim's numbers are one of each, by its record: a seed, unless it says otherwise."""
    return str(claim.get("unit", "seed"))


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
