"""`make bench`: every benchmark's figures beside their bounds, as one table; exit 1 when a bound is not kept.

A benchmark is a file `bench_*.py` with `rows() -> list[(what, measured, bound)]`; the bound is written as ">= 5",
"<= 1.05", or "for comparison" where there is none. Each runs in a process of its own, one after the other, on one
thread, both sides of a ratio in that one process. Ratios travel between machines, seconds do not; a busy machine can
spoil either.

    python tests/benchmarks              all
    python tests/benchmarks capture cli  some, by name
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
UNBOUNDED = "for comparison"
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ROWS = """
import json, pathlib, runpy, sys
sys.path.insert(0, str(pathlib.Path(sys.argv[1]).parent))  # timing.py stands beside the benchmarks
print(json.dumps(runpy.run_path(sys.argv[1])["rows"]()))
"""

Row = tuple[str, float, str]


def main(arguments: Sequence[str]) -> int:
    """Runs the benchmarks asked for, prints their table, gives the exit code."""
    options = _parser().parse_args(arguments)
    files = chosen(options.folder, options.names)
    rows = [row for file in files for row in measured(file)]
    shown(rows)
    return 0 if all(holds(value, bound) for _, value, bound in rows) else 1


def chosen(folder: Path, names: Sequence[str]) -> list[Path]:
    """The benchmarks of these names, or all of them."""
    there = {file.stem.removeprefix("bench_"): file for file in sorted(folder.glob("bench_*.py"))}
    if unknown := [name for name in names if name not in there]:
        sys.exit(f"There is no benchmark {unknown[0]!r} in {folder}. There are: {', '.join(there)}.")
    return [there[name] for name in names or there]


def measured(file: Path) -> list[Row]:
    """The benchmark's rows, from a process of its own on one thread."""
    print(f"{file.stem} …", file=sys.stderr)
    command = [sys.executable, "-c", ROWS, str(file)]
    done = subprocess.run(
        command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{file} failed: see above.")
    return [(what, value, bound) for what, value, bound in json.loads(done.stdout.splitlines()[-1])]


def holds(value: float, bound: str) -> bool:
    """Whether the figure keeps its bound, as ">= 5"; words may follow the number."""
    if bound == UNBOUNDED:
        return True
    parts = re.match(r"(<=|>=|<|>) ?([\d.]+)", bound)
    if parts is None:
        sys.exit(f"The bound {bound!r} cannot be read: write it as '>= 5', '<= 1.05' or {UNBOUNDED!r}.")
    return bool(COMPARISONS[parts[1]](value, float(parts[2])))


def shown(rows: Sequence[Row]) -> None:
    """What was compared, the figure, the bound, whether it holds."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, justify in (("what", "left"), ("measured", "right"), ("bound", "right"), ("holds", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for what, value, bound in rows:
        answer = "" if bound == UNBOUNDED else "yes" if holds(value, bound) else "NO"
        table.add_row(what, f"{value:.2f}", bound, answer)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").partition(";")[0])
    parser.add_argument("names", nargs="*", help="benchmarks to run (all)")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the bench_*.py are")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
