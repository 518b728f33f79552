"""A folder is written whole or not at all.

Everything goes into a new folder beside the wanted one, each file and folder is forced to the disk, and only
then is the new folder renamed into place. An older report is first renamed aside, so that at no moment a
half-written one bears its name; killed between the two renames, the next write (or `standing`) finds the
older one and uses it. The parent folder is locked meanwhile, so writers wait for one another; where a file
system knows no locks, two simultaneous writers of one folder are not kept apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from interp.refusals import Refused

LITTER = frozenset({".DS_Store", "Thumbs.db"})


def write_whole(folder: Path, files: Mapping[str, bytes], *, replacing: Collection[str]) -> None:
    """Write `files` (relative path -> content) as the whole content of `folder`.

    A folder that stands there is replaced if it holds nothing but the paths in `replacing`; else it is
    refused with the first few names. On any error the older folder is as it was, and nothing else is left.
    """
    folder = _checked(folder)
    with _naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent):
        _recover(folder)
        _refuse_foreign(folder, replacing=replacing)
        fresh = folder.with_name(f".{folder.name}.writing-{uuid.uuid4().hex}")
        try:
            with _naming(folder):
                _fill(fresh, files)
                _swap(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def standing(folder: Path) -> Path:
    """The folder itself, or, where a writer was killed between its two renames, the older one set aside."""
    if not folder.exists() and _aside(folder).is_dir():
        return _aside(folder)
    return folder


def _checked(folder: Path) -> Path:
    folder = folder.expanduser().resolve()
    here = Path.cwd()
    if folder == here or folder in here.parents:
        raise Refused(
            f"{folder} holds the current folder, so it cannot be replaced whole; name one inside it."
        )
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is a file; name a folder for the report.")
    return folder


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.replaced")


def _recover(folder: Path) -> None:
    """After a killed writer: bring back the older folder if its place is empty, clear away the rest."""
    aside = _aside(folder)
    if aside.is_dir() and not folder.exists():
        aside.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    for unfinished in folder.parent.glob(f".{_literal(folder.name)}.writing-*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _refuse_foreign(folder: Path, *, replacing: Collection[str]) -> None:
    if not folder.exists():
        return
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    foreign = sorted(path.as_posix() for path in found if path.name not in LITTER)
    foreign = [name for name in foreign if name not in replacing]
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise Refused(
            f"{folder} holds files that are no part of a report: {', '.join(foreign[:3])}{more}. "
            "Name another folder, or move them out."
        )


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for inner in [*(path for path in folder.rglob("*") if path.is_dir()), folder]:
        _sync(inner)


def _swap(fresh: Path, folder: Path) -> None:
    aside = _aside(folder)
    if folder.exists():
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except BaseException:
        if aside.exists():
            aside.rename(folder)
        raise
    _sync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Errors of writing name the folder that was wanted, not a temporary one or none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: nothing was written to", str(folder)) from error
