"""How long a user waits for the command line: medians of whole processes, Python's start included."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

INTERP = Path(sys.executable).with_name("interp")


def rows() -> list[tuple[str, float, str]]:
    """(what, measured, bound) of each target."""
    return [
        ("`interp --help`, s", seconds("--help"), "<= 0.3"),
        ("`interp list`, s", seconds("list"), "<= 0.5"),
    ]


def seconds(*words: str, repeats: int = 7) -> float:
    """The median of some runs of this command line, after one that fills the disk's cache."""
    taken = []
    for turn in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run([INTERP, *words], stdout=subprocess.DEVNULL, check=True)
        if turn:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    for what, measured, bound in rows():
        print(f"{what:62} {measured:7.3f}   {bound}")
