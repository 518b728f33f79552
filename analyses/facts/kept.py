"""What the methods say of a planting, kept in the cache: asked once, found again while nothing that decides it moves.

Networks, facts, every file of `interp` and of `models` (a network's answers are its code's, too) and the versions of
the libraries that count are in the name of the file. So a report is written again in seconds, and what is changed is
asked anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import interp
import models
from models.data.fetch import cache_folder
from models.files import FORMAT, read_record, write_file

if TYPE_CHECKING:
    import xarray as xr

LIBRARIES = ("torch", "numpy", "scipy", "xarray")
FLOORS = tuple(Path(str(floor.__file__)).parent for floor in (interp, models))


def kept(kind: str, asked: Mapping[str, object], make: Callable[[], xr.DataArray]) -> xr.DataArray:
    """What `make` gives, numbers under names: from the cache where `asked` is kept there, made and kept where not.

    Raises `BadFile` where what is kept cannot be read, and what `make` raises: nothing is kept of it.
    """
    import xarray

    parts = dict(asked) | {"code": code_of(*FLOORS), "libraries": [version(name) for name in LIBRARIES]}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    file = cache_folder() / kind / f"{digest[:32]}.json"
    if file.exists():
        return xarray.DataArray.from_dict(read_record(file)["array"])
    made = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, (json.dumps({"format": FORMAT, "array": made.to_dict()}) + "\n").encode())
    return made


@cache
def code_of(*folders: Path) -> str:
    """SHA-256 over every Python file in these folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return digest.hexdigest()
