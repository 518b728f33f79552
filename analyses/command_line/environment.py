"""The environment that the command line honours, and what its flags put in force for the libraries below it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VARIABLES = {
    "INTERP_DATA_DIR": "a folder of data files, looked into before anything is downloaded",
    "INTERP_CACHE_DIR": "where downloads and trained networks are kept (else the user's cache folder)",
    "INTERP_RUNS_DIR": "where reports and runs go without --out (else ./runs)",
    "INTERP_OFFLINE": "1: nothing is downloaded",
    "NO_COLOR": "no colours; FORCE_COLOR: colours also into a pipe",
    "TQDM_DISABLE": "1: no progress bars",
}
OFF = ("", "0", "false", "no", "off")
ON = ("1", "true", "yes", "on")


def is_on(name: str) -> bool:
    """Whether a variable that switches something is set to anything but 0, false, no or off."""
    return os.environ.get(name, "").strip().lower() not in OFF


def runs_folder() -> Path:
    """Where reports and runs go unless --out says otherwise."""
    return Path(os.environ.get("INTERP_RUNS_DIR") or "runs")


@contextmanager
def in_force(arguments: Sequence[str]) -> Iterator[None]:
    """What flags and variables mean to the libraries; undone afterwards, for whoever calls `main` from Python."""
    wanted = _implied(set(arguments))
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _implied(flags: set[str]) -> dict[str, str]:
    implied = {}
    if os.environ.get("NO_COLOR"):
        implied["PYTHON_TYRO_ANSI_CODES"] = "0"
    if flags & {"--no-progress", "--quiet", "-q"}:
        implied["TQDM_DISABLE"] = "1"
    if "--offline" in flags or is_on("INTERP_OFFLINE"):
        implied |= {"INTERP_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    return implied


def one_thread() -> None:
    """One torch thread for this process, decided by the application: small networks run faster so, to the same bits."""
    import torch

    torch.set_num_threads(1)
