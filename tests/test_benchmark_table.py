"""The benchmark runner: a table of every benchmark's figures, and a bound that is not kept is not passed over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parent / "benchmarks"


def bench(folder: Path, *names: str, **files: str) -> subprocess.CompletedProcess[str]:
    for name, rows in files.items():
        (folder / f"bench_{name}.py").write_text(
            f"import os\nprint('chatter')\ndef rows():\n    return {rows}\n"
        )
    command = [sys.executable, str(RUNNER), "--folder", str(folder), *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_benchmark_stands_in_one_table(tmp_path: Path) -> None:
    done = bench(tmp_path, one="[('sums', 6.25, '>= 5')]", two="[('loops', 1.04, '<= 1.05 of plain')]")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines() if "yes" in line] == [
        ["sums", "6.25", ">=", "5", "yes"],
        ["loops", "1.04", "<=", "1.05", "of", "plain", "yes"],
    ]


@pytest.mark.parametrize(("figure", "bound"), [(4.99, ">= 5"), (1.06, "<= 1.05"), (float("nan"), "<= 1")])
def test_a_bound_that_is_not_kept_fails(tmp_path: Path, figure: float, bound: str) -> None:
    done = bench(tmp_path, one=f"[('sums', float('{figure}'), '{bound}')]")
    assert done.returncode == 1
    assert "NO" in done.stdout


def test_a_benchmark_runs_alone_on_one_thread(tmp_path: Path) -> None:
    rows = "[('threads', float(os.environ['OMP_NUM_THREADS']), '<= 1'), ('parent', os.getppid(), '>= 2')]"
    assert bench(tmp_path, one=rows).returncode == 0


def test_benchmarks_use_what_stands_beside_them(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FIGURE = 3.0")
    rows = "[('from beside', __import__('beside').FIGURE, '<= 3')]"
    assert bench(tmp_path, one=rows).returncode == 0


def test_a_benchmark_that_breaks_is_named(tmp_path: Path) -> None:
    done = bench(tmp_path, broken="1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "bench_broken.py failed" in done.stderr


def test_a_name_that_is_no_benchmark_is_refused_with_those_there_are(tmp_path: Path) -> None:
    done = bench(tmp_path, "sum", sums="[]", loops="[]")
    assert done.returncode == 1
    assert "There is no benchmark 'sum'" in done.stderr
    assert "loops, sums" in done.stderr


def test_a_bound_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    done = bench(tmp_path, one="[('sums', 6.25, 'for 5')]")
    assert done.returncode == 1
    assert "The bound 'for 5' cannot be read" in done.stderr


def test_a_figure_for_comparison_is_shown_and_not_judged(tmp_path: Path) -> None:
    done = bench(tmp_path, one="[('sums', 6.25, 'for comparison')]")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].split() == ["sums", "6.25", "for", "comparison"]
