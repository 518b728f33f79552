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
    broken = [_broken(name) for name in names]
    axes.set_xticks(at, labels=broken)
    _lay_out(axes)
    for written in (list(names), broken):
        axes.set_xticks(at, labels=written)
        if _apart(axes, at):
            return
    axes.set_xticks(at, labels=list(names), rotation=SLANT, ha="right", rotation_mode="anchor")


def _lay_out(axes: Axes) -> None:
    """Give the axes the width that they will be drawn with, as far as names below them do not change it."""
    figure = axes.get_figure(root=True)
    engine = None if figure is None else figure.get_layout_engine()
    if figure is not None and engine is not None:
        engine.execute(figure)


def _apart(axes: Axes, at: Sequence[float]) -> bool:
    """Whether no two neighbouring names come closer than a small gap (in pixels of the layout)."""
    middles = [float(axes.transData.transform((place, 0.0))[0]) for place in at]
    halves = [label.get_window_extent().width / 2 for label in axes.get_xticklabels()]
    spans = sorted((middle - half, middle + half) for middle, half in zip(middles, halves, strict=True))
    return all(left[1] + LEAST_GAP <= right[0] for left, right in pairwise(spans))


def _broken(place: str) -> str:
    """A hook name on two lines at its last dot."""
    before, dot, last = place.rpartition(".")
    return f"{before}{dot}\n{last}" if dot else place
