"""Numbers and verdicts in words, the same ones on the terminal, on the page and in a notebook.

A number is written with as many decimals as its interval can bear: half the interval's width sets the last
one, so 0.9312 in [0.9105, 0.9521] reads 0.93 [0.91, 0.95]. Counts are written in full, 13002 as 13,002.
Rounding is for the eye only: the record keeps every digit, and no verdict is drawn from a rounded number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Interval = Sequence[int | float]

MOST_DECIMALS = 6


def decimals_for(intervals: Sequence[Interval]) -> int | None:
    """Decimals that the narrowest of the intervals can bear; None when no interval has any width."""
    widths = [high - low for low, high in intervals if high > low]
    if not widths:
        return None
    return max(0, min(MOST_DECIMALS, math.ceil(-math.log10(min(widths) / 2))))


def number(value: int | float, decimals: int | None = None) -> str:
    """A number for the eye: `decimals` places, or without them a count in full and all else to 4 digits."""
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def with_interval(estimate: int | float, interval: Interval, *, decimals: int | None = None) -> str:
    """`0.93 [0.91, 0.95]`; only the number where the interval is a point."""
    low, high = interval
    if low == high == estimate:
        return number(estimate, decimals)
    places = decimals if decimals is not None else decimals_for([interval])
    return f"{number(estimate, places)} [{number(low, places)}, {number(high, places)}]"


def readable(name: str) -> str:
    """A name from code for the eye: `shuffled_labels` reads `shuffled labels`."""
    return name.replace("_", " ")


def plural(count: int, noun: str) -> str:
    """`1 seed`, `16 seeds`, `13,002 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def verdict_sentence(claim: Mapping[str, Any]) -> str:
    """The verdict of a claim's record in one sentence, with its numbers, its controls and its seeds."""
    shown = with_interval(claim["estimate"], claim["interval"])
    against = [
        f"{readable(name)} {with_interval(control['estimate'], control['interval'])}"
        for name, control in claim["controls"].items()
    ]
    compared = f" against {_listed(against)}" if against else ""
    return f"{claim['verdict'].capitalize()}: {shown}{compared}, over {plural(claim['seeds'], 'seed')}."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
