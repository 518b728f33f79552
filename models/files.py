"""Files of ours: read whole or refused by name, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from boltons.fileutils import atomic_save

from models.refusals import BadFile

FORMAT = "interp-lab network 1"


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object of a file of ours; raises `BadFile` when it is missing, torn or foreign."""
    try:
        record = json.loads(read_file(path))
    except ValueError as error:
        raise BadFile(f"{path} is truncated or no JSON: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise BadFile(f"{path} was not written by this laboratory: its format is not {FORMAT!r}.")
    return record


def read_file(path: Path) -> bytes:
    """The bytes of a file; raises `BadFile` naming it when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}.") from error


def write_file(path: Path, content: bytes) -> None:
    """Writes a whole file or nothing: temporary file beside it, synced, renamed."""
    try:
        with atomic_save(str(path), overwrite_part=True) as file:
            file.write(content)
    except BaseException:
        path.with_name(path.name + ".part").unlink(missing_ok=True)
        raise
