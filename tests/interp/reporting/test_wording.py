"""Numbers in words, by hand."""

from __future__ import annotations

import pytest

from interp.reporting.wording import number, plural, readable, verdict_sentence, with_interval


@pytest.mark.parametrize(
    ("estimate", "interval", "words"),
    [
        (0.9312, (0.9105, 0.9521), "0.93 [0.91, 0.95]"),
        (0.9312, (0.9262, 0.9382), "0.931 [0.926, 0.938]"),
        (0.5, (0.39, 0.64), "0.50 [0.39, 0.64]"),
        (0.5, (0.1, 0.9), "0.5 [0.1, 0.9]"),
        (1234.5, (1000.0, 1500.0), "1,234 [1,000, 1,500]"),
        (-0.002, (-0.012, 0.008), "-0.002 [-0.012, 0.008]"),
        (13002, (13002, 13002), "13,002"),
        (0.1 * 6 / 6, (0.1, 0.1), "0.1"),
        (0.5, (0.5 - 1e-9, 0.5 + 1e-9), "0.5"),
        (0.0, (0.0, 0.0), "0"),
        (-3e-7, (-1.2e-6, -1e-7), "-3e-07 [-1.2e-06, -1e-07]"),
        (-1e-9, (-0.1, 0.1), "0.00 [-0.10, 0.10]"),
    ],
)
def test_an_interval_is_written_with_the_digits_that_it_can_bear(
    estimate: float, interval: tuple[float, float], words: str
) -> None:
    assert with_interval(estimate, interval) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(13002, "13,002"), (0.123456, "0.1235"), (1e-9, "1e-09"), (3.0, "3"), (0, "0"), (-0.0, "0")],
)
def test_numbers_alone_have_four_digits_and_counts_all(value: float, words: str) -> None:
    assert number(value) == words


def test_zero_has_no_sign_however_it_is_rounded() -> None:
    assert (number(-1e-9, 6), number(-0.0, 2), number(-0.006, 2)) == ("0.000000", "0.00", "-0.01")


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        ((1e-6, (5e-7, 1.5e-6)), "<0.01"),
        ((-1e-8, (-2e-8, 1e-8)), ">-0.01"),
        ((0.0, (0.0, 0.0)), "0"),
        ((0.1234, (0.1224, 0.1244)), "0.1234 [0.1224, 0.1244]"),
    ],
)
def test_numbers_that_vanish_beside_others_say_what_they_are_below(
    noise: tuple[float, tuple[float, float]], words: str
) -> None:
    estimate, interval = noise
    claim = {"verdict": "supported", "estimate": 0.93, "interval": (0.91, 0.95), "seeds": 6}
    claim["controls"] = {"noise": {"estimate": estimate, "interval": interval}}
    assert verdict_sentence(claim).endswith(f"against noise {words}, over 6 seeds.")


def test_names_and_plurals() -> None:
    assert readable("random_label_per_type") == "random label per type"
    assert (plural(1, "seed"), plural(16, "seed"), plural(0, "row")) == ("1 seed", "16 seeds", "0 rows")
