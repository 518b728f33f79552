"""How the benchmarks take time: the sides of a ratio take turns within one loop, processor time, medians.

Taking turns, whatever else the machine does falls on both sides; processor time leaves out what others run meanwhile.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def interleaved(sides: Sequence[Callable[[], object]], repeats: int, *, warm: int = 3) -> list[float]:
    """The median processor seconds of each side; the first `warm` rounds warm up and do not count."""
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats + warm):
        for taken, side in zip(seconds, sides, strict=True):
            began = time.process_time()
            side()
            if turn >= warm:
                taken.append(time.process_time() - began)
    return [statistics.median(taken) for taken in seconds]
