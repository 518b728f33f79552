"""Where a report comes from: code, data, versions, seeds, and how long it took.

Recorded is what another person needs to run it again, and nothing of the machine's owner: no paths, no user,
no host name. A commit is given only where this very source is tracked by the checkout it lies in (a copy
installed inside somebody else's checkout has none), and `dirty` says whether the packages differ from it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = (
    "interp-lab",
    "torch",
    "transformer-lens",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "pandas",
    "xarray",
    "matplotlib",
)
PACKAGES = ("interp", "models", "analyses")
TIME_LIKE = ("run_time_seconds", "finished")


def gather(*, seeds: Sequence[int], data: Mapping[str, str], run_time_seconds: float) -> dict[str, Any]:
    """All but the config, which the report holds itself; `data` maps a data set's name to its digest.

    Everything that differs between two runs of the same thing stands under the keys in `TIME_LIKE`.
    """
    return {
        "seeds": [int(seed) for seed in seeds],
        "data": dict(data),
        **source_state(Path(__file__)),
        "versions": library_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": thread_count(),
        "run_time_seconds": round(float(run_time_seconds), 3),
        "finished": _now(),
    }


def source_state(file: Path) -> dict[str, str | bool | None]:
    """`commit` and `dirty` of the checkout that tracks `file`; both None outside one. Never fails."""
    unknown: dict[str, str | bool | None] = {"commit": None, "dirty": None}
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return unknown
    root = _git(file.parent, "rev-parse", "--show-toplevel")
    commit = _git(file.parent, "rev-parse", "HEAD")
    if not root or not commit:
        return unknown
    changed = _git(Path(root), "status", "--porcelain", "--", *PACKAGES)
    return {"commit": commit, "dirty": None if changed is None else changed != ""}


def library_versions() -> dict[str, str | None]:
    """The installed version of each library that can change a number; None where it is not installed."""
    return {name: _version(name) for name in LIBRARIES}


def thread_count() -> int | None:
    """How many threads torch computes with, where torch is in use; else how many cores this process has."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else os.cpu_count()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *words: str) -> str | None:
    """The output of a git command that changes nothing, untouched by GIT_ variables; None when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, check=True, timeout=10, text=True
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.strip()


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return moment.isoformat(timespec="seconds")
