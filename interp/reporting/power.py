"""What a report cannot decide whatever the numbers: a p-value has a floor, and many tests lower what it must reach.

The smallest p of a sign-flip test of n seeds is 2^-n (all differences of one sign), doubled for the two directions.
Benjamini and Hochberg's correction over m tests lets r of them agree at once only when r of the p-values are at most
error rate * r / m. So tests agree in none, or in at least r of them, where r is the smallest number with

    smallest p * m / r <= error rate,

and below that number an effect stays undecided however large it is: a lack of seeds, which says nothing of the effect.
Refuting against k controls has a floor k times as high (Bonferroni over the controls).

Source: Benjamini and Hochberg (1995), doi.org/10.1111/j.2517-6161.1995.tb02031.x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from interp.measuring.statistics import EXACT_UP_TO, sign_flip_p
from interp.reporting.wording import plural


@dataclass(frozen=True, order=True)
class Comparison:
    """A test of a report, before any number is known: how many seeds it has, and how many controls."""

    seeds: int
    controls: int

    @property
    def smallest_p(self) -> float:
        """The smallest p that enters the correction: in support, or against a single control."""
        return 2 * _floor(self.seeds)

    @property
    def smallest_refuting_p(self) -> float:
        """The same where the claim is refuted."""
        return min(1.0, self.controls * self.smallest_p)


def fewest_at_once(p: float, tests: Sequence[Comparison], *, error_rate: float) -> int | None:
    """Of how many tests, itself included, a test with this p is one that agree at once, at the fewest; None: never.

    `tests` are all tests that are corrected together. No numbers make fewer of them agree, some make this many.
    """
    floors = [test.smallest_p for test in tests]
    count = len(floors)
    for rank in range(1, count + 1):
        share = count / rank
        if p * share <= error_rate and sum(floor * share <= error_rate for floor in floors) >= rank:
            return rank
    return None


def remarks(tests: Sequence[Comparison], *, error_rate: float, unit: str = "seed") -> list[str]:
    """What the number of seeds and of tests leaves undecided whatever the values; empty where each can be decided."""
    said: list[str] = []
    for seeds in sorted({test.seeds for test in tests}):
        said += _on_seeds(seeds, tests, error_rate=error_rate, unit=unit)
    return [" ".join([*said, *_more_seeds(tests, error_rate=error_rate, unit=unit)])] if said else []


def _on_seeds(seeds: int, tests: Sequence[Comparison], *, error_rate: float, unit: str) -> list[str]:
    """What tests of this many seeds cannot decide alone, either way and in refuting against several controls."""
    own = Comparison(seeds, 1)
    either = fewest_at_once(own.smallest_p, tests, error_rate=error_rate)
    floor, units, every = f"{own.smallest_p:.2g}", plural(seeds, unit), plural(len(tests), "test")
    if either is None:
        return [
            f"With {units} no tested claim can be decided, whatever the values: their smallest p is {floor}, and after "
            f"the correction for {every} it is above {error_rate:g}."
        ]
    said = []
    if either > 1:
        said.append(
            f"{units} and {every}: the smallest p that {units} can give is {floor}, and after the correction it is "
            f"enough only where {_of_them(either, tests)} agree at once. One tested claim alone, however "
            "large its effect, stays undecided; that is no evidence against it."
        )
    for controls in sorted({test.controls for test in tests if test.seeds == seeds and test.controls > 1}):
        refuting = Comparison(seeds, controls).smallest_refuting_p
        needed = fewest_at_once(refuting, tests, error_rate=error_rate)
        if needed not in (1, either):
            outcome = (
                "no such claim can be"
                if needed is None
                else f"{_of_them(needed, tests)} have to agree for such a claim to be"
            )
            said.append(
                f"Against {controls} controls the smallest p of a refutation is {refuting:.2g}: with {units} "
                f"{outcome} refuted."
            )
    return said


def _more_seeds(tests: Sequence[Comparison], *, error_rate: float, unit: str) -> list[str]:
    """With how many more seeds fewer tests, or a single one, are enough."""
    enough = {
        seeds: fewest_at_once(
            Comparison(seeds, 1).smallest_p, [Comparison(seeds, 1)] * len(tests), error_rate=error_rate
        )
        for seeds in range(max(test.seeds for test in tests) + 1, EXACT_UP_TO + 1)
    }
    following = next(((seeds, needed) for seeds, needed in enough.items() if needed), None)
    alone = next((seeds for seeds, needed in enough.items() if needed == 1), None)
    if following is None or all(_alone(test, tests, error_rate=error_rate) for test in tests):
        return []
    said = f"More {unit}s decide more:"
    if following[1] > 1:
        said += f" with {following[0]} it takes {following[1]} of {len(tests)}"
        said += "," if alone else "."
    return [said + (f" with {alone} a single one is enough." if alone else "")]


def _alone(test: Comparison, tests: Sequence[Comparison], *, error_rate: float) -> bool:
    return fewest_at_once(test.smallest_p, tests, error_rate=error_rate) == 1


def _of_them(count: int, tests: Sequence[Comparison]) -> str:
    return f"all {count}" if count == len(tests) else f"{count} or more of the {len(tests)}"


@cache
def _floor(seeds: int) -> float:
    """The smallest one-sided p: every difference of one sign and size, by the test itself."""
    return sign_flip_p([1.0] * seeds)
