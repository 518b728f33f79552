"""How much memory and disk is left, so that a capture too large is refused before it starts.

Memory: the kernel's MemAvailable and, inside a container, what its control group still allows (page cache
that can be dropped counted as free). Where the system does not say, nothing is known and nothing is refused.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
USABLE = 0.9
"""The share of what is available that a capture may take."""


def available_ram() -> int | None:
    """Bytes of memory that can be had without swapping; None where the system does not say."""
    limits = [amount for amount in (_system_ram(), _group_ram()) if amount is not None]
    return min(limits, default=None)


def available_disk(folder: Path) -> int:
    """Bytes free for this user on the disk that holds the folder, which need not exist yet."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def amount(size: float) -> str:
    """Bytes for people: '81.9 MB'."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:,.1f} {unit}"
    return f"{size:,.0f} bytes"


def _system_ram() -> int | None:
    if MEMINFO.exists():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    names = getattr(os, "sysconf_names", {})
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") if pages in names else None


def _group_ram() -> int | None:
    try:
        limit, used = (
            (CGROUP / "memory.max").read_text().strip(),
            int((CGROUP / "memory.current").read_text()),
        )
        statistics = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + int(statistics.get("inactive_file", 0))
