"""Where a data file is: in INTERP_DATA_DIR, in the cache, or at its public home.

The first that has the file decides, and its sha256 must be the known one: an altered file is an error, never
a reason to look further (except in the cache, where a fresh download replaces it). A download goes to a
temporary file, is compared, then renamed, so a killed download leaves nothing that looks like the file.

The environment is read at each call. INTERP_DATA_DIR: a folder of data files, nothing is written there.
INTERP_CACHE_DIR: where downloads go, else the user's cache folder (XDG_CACHE_HOME where the platform has it).
INTERP_OFFLINE: any value but empty, 0, false, no, off: nothing is downloaded.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pooch

from models.refusals import BadFile


@dataclass(frozen=True)
class DataFile:
    """A published file: its place below a data folder, its sha256, and where it can be had, best first.

    `by_hand`: how to come by a file that has no address of its own, for people to read.
    """

    path: str
    sha256: str
    urls: tuple[str, ...]
    by_hand: str = ""

    @property
    def remedy(self) -> str:
        """What to do when the file is missing or wrong."""
        origin = self.by_hand or f"It may come from {' or '.join(self.urls)}"
        return f"{origin}: save it as {self.path} in the folder that INTERP_DATA_DIR names."


def fetch(file: DataFile) -> Path:
    """The path of a file whose checksum has been verified, downloaded if need be.

    Raises `BadFile`, naming the file and where it may come from, when it is altered, or missing and cannot be
    had.
    """
    found = _in_data_folder(file)
    if found is not None:
        return verify(found, file)
    cached = cache_folder() / file.path
    if _is_offline():
        if cached.is_file():
            return verify(cached, file)
        raise BadFile(f"{file.path} is not here, and INTERP_OFFLINE forbids the download. {file.remedy}")
    return _download(file, cached)


def find(file: DataFile) -> Path | None:
    """The verified path of a file that is here already, or None: an optional file, never downloaded.

    Raises `BadFile` when it is here but altered.
    """
    found = _in_data_folder(file)
    if found is None:
        cached = cache_folder() / file.path
        found = cached if cached.is_file() else None
    return None if found is None else verify(found, file)


def verify(path: Path, file: DataFile) -> Path:
    """The path again, when the file there has the known sha256; else `BadFile`."""
    try:
        actual = pooch.file_hash(str(path))
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error}. {file.remedy}") from error
    if actual != file.sha256:
        raise BadFile(
            f"{path} is truncated or altered: {path.stat().st_size:,} bytes with sha256 {actual}, "
            f"not {file.sha256}. {file.remedy}"
        )
    return path


def cache_folder() -> Path:
    """Where downloads are kept: INTERP_CACHE_DIR, else the user's cache folder for interp-lab."""
    own = os.environ.get("INTERP_CACHE_DIR")
    return Path(own) if own else Path(platformdirs.user_cache_dir("interp-lab", appauthor=False))


def _in_data_folder(file: DataFile) -> Path | None:
    name = os.environ.get("INTERP_DATA_DIR")
    if not name:
        return None
    folder = Path(name)
    if not folder.is_dir():
        raise BadFile(f"INTERP_DATA_DIR names {folder}, which is no folder. Correct it, or unset it.")
    return folder / file.path if (folder / file.path).exists() else None


def _is_offline() -> bool:
    return os.environ.get("INTERP_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def _download(file: DataFile, target: Path) -> Path:
    if not file.urls:
        if target.is_file():
            return verify(target, file)
        raise BadFile(f"{file.path} is not here, and there is no address to download it from. {file.remedy}")
    failures = []
    for url in file.urls:
        try:
            return Path(_retrieve(url, file, target))
        except (
            OSError,
            ValueError,
        ) as error:  # requests' errors are OSErrors; pooch's wrong checksum a ValueError
            failures.append(f"{url}: {type(error).__name__}: {error}")
    raise BadFile(f"{file.path} could not be had: {'; '.join(failures)}. {file.remedy}")


def _retrieve(url: str, file: DataFile, target: Path) -> str:
    path: str = pooch.retrieve(
        url,
        f"sha256:{file.sha256}",
        fname=target.name,
        path=target.parent,
        progressbar=sys.stderr.isatty(),
    )
    return path
