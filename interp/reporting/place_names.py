"""Names below an axis, written so that neighbours never run into each other: measured, not guessed from their length.

Tried in turn: each name in one line, hook names on two lines (broken at their last dot), all names slanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes

SLANT = 35
LEAST_GAP = 4.0


def name_places(axes: Axes, at: Sequence[float], names: Sequence[str]) -> None:
    """Write `names` below the x axis at the places `at`; call it when all else is drawn and the limits are set."""
    for written in (list(names), [_broken(name) for name in names]):
        axes.set_xticks(at, labels=written)
        if _apart(axes):
            return
    axes.set_xticks(at, labels=list(names), rotation=SLANT, ha="right", rotation_mode="anchor")


def _apart(axes: Axes) -> bool:
    """Whether no two neighbouring names come closer than a small gap (in pixels of the layout)."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # lays the figure out
    boxes = sorted((label.get_window_extent() for label in axes.get_xticklabels()), key=lambda box: box.x0)
    return all(left.x1 + LEAST_GAP <= right.x0 for left, right in pairwise(boxes))


def _broken(place: str) -> str:
    """A hook name on two lines at its last dot."""
    before, dot, last = place.rpartition(".")
    return f"{before}{dot}\n{last}" if dot else place
