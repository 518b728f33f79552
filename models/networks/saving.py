"""Networks on disk: `weights.safetensors` and `config.json`, never a pickle.

The weights are written first, then the config with the weights' SHA-256: each to a temporary file, synced, renamed. A
folder without its config, or whose weights do not have that sum, is refused and not half-loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError

from models.files import FORMAT, read_file, read_record, write_file
from models.networks.families import CLASSES, NetworkConfig, network_class
from models.networks.hooked import HookedModel
from models.refusals import BadFile, Refused


def save_model(model: HookedModel, folder: str | os.PathLike[str]) -> None:
    """Writes a network or a population; the folder is made where it is missing.

    Raises `Refused` for what `load_model` could not read back: pretrained networks, and what is no network.
    """
    if not isinstance(model, HookedModel) or getattr(model.config, "family", None) not in CLASSES:
        raise Refused(
            f"Networks of ours are saved, such as `trained.model`; given {type(model).__name__}. A pretrained one is "
            "saved by its own library: model.network.save_pretrained(folder)."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    content = safetensors.torch.save(weights)
    record = {
        "format": FORMAT,
        "network": asdict(model.config),
        "seeds": model.seeds if model.seeds is not None else model.seed,
        "dtype": str(model.dtype).removeprefix("torch."),
        "spelt_with": model.spelt_with,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_file(folder / "weights.safetensors", content)
    write_file(folder / "config.json", (json.dumps(record, indent=2) + "\n").encode())


def load_model(folder: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> HookedModel:
    """The network that `save_model` wrote there; raises `BadFile`, naming the file, for anything else."""
    folder = Path(folder)
    record = read_record(folder / "config.json")
    content = read_file(folder / "weights.safetensors")
    if hashlib.sha256(content).hexdigest() != record.get("sha256"):
        raise BadFile(
            f"{folder / 'weights.safetensors'} is truncated or altered: it does not have the SHA-256 that "
            f"config.json gives. Train or save the network again."
        )
    try:
        model = _empty_network(record)
        model.load_state_dict(safetensors.torch.load(content))
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        raise BadFile(f"{folder} does not hold a network of this version: {error}") from error
    return model.to(device)


def _empty_network(record: dict[str, Any]) -> HookedModel:
    config = TypeAdapter(NetworkConfig).validate_python(record["network"])
    seeds = record["seeds"]
    model = network_class(config)(config, seeds=seeds)
    model.spelt_with = record.get("spelt_with")
    return model.to(dtype=getattr(torch, record["dtype"]))
