"""Numbers in words, by hand."""

from __future__ import annotations

import pytest

from interp.reporting.wording import number, plural, readable, with_interval


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
        (0.5, (0.5 - 1e-9, 0.5 + 1e-9), "0.500000 [0.500000, 0.500000]"),
    ],
)
def test_an_interval_is_written_with_the_digits_that_it_can_bear(
    estimate: float, interval: tuple[float, float], words: str
) -> None:
    assert with_interval(estimate, interval) == words


@pytest.mark.parametrize(
    ("value", "words"), [(13002, "13,002"), (0.123456, "0.1235"), (1e-9, "1e-09"), (3.0, "3"), (0, "0")]
)
def test_numbers_alone_have_four_digits_and_counts_all(value: float, words: str) -> None:
    assert number(value) == words


def test_names_and_plurals() -> None:
    assert readable("random_label_per_type") == "random label per type"
    assert (plural(1, "seed"), plural(16, "seed"), plural(0, "row")) == ("1 seed", "16 seeds", "0 rows")
