"""Plantings on disk: made once, found again as long as network, facts, settings and code are the same.

A planting is a folder of the cache, named by a digest of all that decides it: the network (`save_model`), and
`planting.json` with the certificate and which facts each seed holds. It is written beside and moved in when whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from pydantic import TypeAdapter

from models.data.dataset import Dataset
from models.data.fetch import cache_folder
from models.files import FORMAT, read_record, write_file
from models.networks.hooked import HookedModel
from models.networks.saving import load_model, save_model
from models.refusals import BadFile
from models.training.certificates import Certificate
from models.training.digests import code_digest, network_digest
from models.training.planting import ADAM, Planting, check_planting, plant
from models.training.question_checks import check_asked
from models.training.rehearsal import rehearse
from models.training.training_config import Optimizer


def planted(
    model: HookedModel,
    facts: Dataset,
    *,
    into: str,
    keeping: Dataset,
    optimizer: Optimizer = ADAM,
    most_steps: int = 600,
) -> Planting:
    """What `plant` gives: from the cache where it is there, made now where it is not. Raises as `plant` does."""
    check_planting(model, facts, keeping, into=into, optimizer=optimizer, most_steps=most_steps)
    asked = {
        "into": into,
        "facts": facts.digest,
        "keeping": keeping.digest,
        "optimizer": asdict(optimizer),
        "most_steps": most_steps,
    }
    folder = _folder("planted", model, asked, "models.training.planting")
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            made = plant(model, facts, into=into, keeping=keeping, optimizer=optimizer, most_steps=most_steps)
            _move_in(folder, lambda beside: _write(made, beside))
        return _read(folder)


def rehearsed(model: HookedModel, facts: Dataset, *, steps: int = 400) -> HookedModel:
    """What `rehearse` gives: from the cache where it is there, made now where it is not. Raises as `rehearse` does."""
    check_asked(model, facts=facts)
    asked = {"facts": facts.digest, "steps": steps}
    folder = _folder("rehearsed", model, asked, "models.training.rehearsal")
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            made = rehearse(model, facts, steps=steps)
            _move_in(folder, lambda beside: save_model(made, beside))
        return load_model(folder)


def _folder(kind: str, model: HookedModel, asked: dict[str, Any], shaping: str) -> Path:
    """Where the cache keeps it: named by all that decides it."""
    parts = asked | {
        "network": network_digest(model),
        "code": code_digest(model.config.family, shaping),
        "torch": version("torch").split("+")[0],
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    root = cache_folder() / kind
    root.mkdir(parents=True, exist_ok=True)
    return root / digest[:32]


def _move_in(folder: Path, write: Callable[[Path], None]) -> None:
    """Written beside, then moved: a folder that is there is whole."""
    beside = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    try:
        write(beside)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(planting: Planting, folder: Path) -> None:
    save_model(planting.model, folder)
    record = {
        "format": FORMAT,
        "certificate": asdict(planting.certificate),
        "held": planting.held.cpu().tolist(),
    }
    write_file(folder / "planting.json", (json.dumps(record) + "\n").encode())


def _read(folder: Path) -> Planting:
    record = read_record(folder / "planting.json")
    try:
        certificate = TypeAdapter(Certificate).validate_python(record["certificate"])
        return Planting(load_model(folder), certificate, torch.tensor(record["held"], dtype=torch.bool))
    except (KeyError, TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise BadFile(f"{folder / 'planting.json'} is no planting of this version: {error}") from error
