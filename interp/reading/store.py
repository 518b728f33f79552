"""Activations on disk: safetensors shards, the table of examples, and a manifest that makes them a store.

Every file is written beside its place, flushed to the disk and renamed; the manifest comes last. So a folder
killed at any moment holds a readable store or no manifest, and then it is refused as incomplete. Opening
checks every file's size and header against the manifest; `verify=True` also reads all of it and compares the
SHA-256 sums, which finds a changed byte. Shards are mapped and read only where they are indexed (see
mapped.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
import torch
from boltons.fileutils import atomic_save
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp.reading.activations import Activations
from interp.reading.examples_table import decode_table, encode_table
from interp.reading.mapped import Mapped, Shard
from interp.refusals import BadFile, Refused

MANIFEST = "manifest.json"
EXAMPLES = "examples.json"
MASK = "mask.safetensors"
LEFTOVERS = (
    "shard-*.safetensors",
    "shard-*.safetensors.part",
    f"{EXAMPLES}*",
    f"{MASK}*",
    f"{MANIFEST}.part",
)


@dataclass(frozen=True)
class FileRecord:
    """A file of the store, as it was when it was written."""

    file: str
    bytes: int
    sha256: str

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True)
class HookRecord:
    """One hook's array over all shards."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Manifest:
    """What the folder holds."""

    hooks: dict[str, HookRecord]
    seeds: tuple[int, ...] | None
    examples: FileRecord
    shards: tuple[FileRecord, ...]
    mask: FileRecord | None = None
    format: Literal["interp-activations"] = "interp-activations"
    version: Literal[1] = 1

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


class StoreWriter:
    """Writes a store shard by shard. Raises `Refused` for a folder that already holds something else."""

    def __init__(
        self, folder: Path, *, examples: pd.DataFrame, seeds: Sequence[int] | None, mask: Tensor | None = None
    ) -> None:
        self.folder, self.seeds, self.mask = folder, None if seeds is None else tuple(seeds), mask
        self.table = encode_table(examples)
        self.hooks: dict[str, HookRecord] = {}
        self.shards: list[FileRecord] = []
        self.created = not folder.exists()
        _refuse_occupied(folder)

    def write(self, tensors: Mapping[str, Tensor], *, axes: Mapping[str, tuple[str, ...]]) -> None:
        """One more shard: the next examples of every hook, on the CPU."""
        if not self.shards:
            self.folder.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self.folder)
        path = self.folder / f"shard-{len(self.shards):05d}.safetensors"
        self.shards.append(_saved(tensors, path))
        for name, tensor in tensors.items():
            self._count(name, tensor, axes[name])

    def finish(self) -> None:
        """Writes the table and, last of all, the manifest; where that fails, nothing is left."""
        try:
            self._finish()
        except BaseException:
            self.discard()
            raise

    def _finish(self) -> None:
        with atomic_save(str(self.folder / EXAMPLES), text_mode=False, overwrite_part=True) as file:
            file.write(self.table.encode())
        mask = None if self.mask is None else _saved({"mask": self.mask.cpu()}, self.folder / MASK)
        _flush(self.folder)
        table = _recorded(self.folder / EXAMPLES)
        manifest = Manifest(self.hooks, self.seeds, table, tuple(self.shards), mask)
        with atomic_save(str(self.folder / MANIFEST), text_mode=False, overwrite_part=True) as file:
            file.write(TypeAdapter(Manifest).dump_json(manifest, indent=1))
        _flush(self.folder)

    def discard(self) -> None:
        """Takes back what was written, after a capture that failed."""
        if self.folder.exists():
            _remove_leftovers(self.folder)
            if self.created and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _count(self, name: str, tensor: Tensor, axes: tuple[str, ...]) -> None:
        example, shape = axes.index("example"), list(tensor.shape)
        if name in self.hooks:
            shape[example] += self.hooks[name].shape[example]
        self.hooks[name] = HookRecord(axes, tuple(shape), str(tensor.dtype).removeprefix("torch."))


def open_activations(folder: str | Path, *, verify: bool = False) -> Activations:
    """The activations captured to a folder, read from the disk where they are used.

    Raises `BadFile` naming the file that is missing, truncated, altered or foreign. `verify`: read every byte
    and compare the digests; otherwise sizes and headers are compared.
    """
    root = Path(folder)
    manifest = _read_manifest(root)
    for record in (manifest.examples, *manifest.shards, manifest.mask):
        if record is not None:
            _check_file(root, record, verify)
    shards = [Shard(root / record.file) for record in manifest.shards]
    values = {name: _mapped(name, record, shards, root) for name, record in manifest.hooks.items()}
    source = root / manifest.examples.file
    return Activations(
        values,
        axes={name: record.axes for name, record in manifest.hooks.items()},
        examples=decode_table(source.read_bytes(), source=str(source)),
        seeds=manifest.seeds,
        mask=None if manifest.mask is None else _mask(root / manifest.mask.file),
    )


def _read_manifest(root: Path) -> Manifest:
    path = root / MANIFEST
    if not path.exists():
        what = (
            "is incomplete (its capture was cut off): capture again"
            if _leftovers(root)
            else "holds no activations"
        )
        raise BadFile(f"{root} {what}; it has no {MANIFEST}.")
    try:
        return TypeAdapter(Manifest).validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadFile(f"{path} is not a manifest of activations: {error.errors()[0]['msg']}.") from error


def _check_file(root: Path, record: FileRecord, verify: bool) -> None:
    path = root / record.file
    if Path(record.file).name != record.file or not path.is_file():
        raise BadFile(f"{path} is missing: the store is not whole. Capture again, or copy it there.")
    if (size := path.stat().st_size) != record.bytes:
        raise BadFile(f"{path} is truncated or altered: {size:,} bytes instead of {record.bytes:,}.")
    if verify and _digest(path) != record.sha256:
        raise BadFile(f"{path} was altered: its SHA-256 sum is not the one recorded when it was written.")


def _mapped(name: str, record: HookRecord, shards: Sequence[Shard], root: Path) -> Mapped:
    """One hook over all shards, its parts adding up to the recorded shape."""
    axis = record.axes.index("example") if "example" in record.axes else -1
    parts = [shard.arrays[name].shape for shard in shards if name in shard.arrays]
    whole = [tuple(n for i, n in enumerate(part) if i != axis) for part in (*parts, record.shape)]
    if (
        axis < 0
        or len(parts) != len(shards)
        or len(set(whole)) != 1
        or sum(p[axis] for p in parts) != record.shape[axis]
    ):
        raise BadFile(f"{root}: the shards do not hold {name!r} as {MANIFEST} has it, {record.shape}.")
    return Mapped(name, shards, record.shape, getattr(torch, record.dtype), axis)


def _mask(path: Path) -> Tensor:
    try:
        return load_file(path)["mask"]
    except (SafetensorError, KeyError) as error:
        raise BadFile(f"{path} is not the mask of a store: {error}") from error


def _refuse_occupied(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is a file; activations go to a folder.")
    if (folder / MANIFEST).exists():
        raise Refused(
            f"{folder} already holds activations: open_activations reads them; remove it to capture again."
        )
    if folder.exists() and (foreign := set(folder.iterdir()) - set(_leftovers(folder))):
        raise Refused(f"{folder} is not empty ({min(foreign).name}): name a new folder for the activations.")


def _leftovers(folder: Path) -> list[Path]:
    """Files of a capture that was cut off."""
    return [path for pattern in LEFTOVERS for path in folder.glob(pattern)]


def _remove_leftovers(folder: Path) -> None:
    for path in _leftovers(folder):
        path.unlink(missing_ok=True)


def _saved(tensors: Mapping[str, Tensor], path: Path) -> FileRecord:
    """Tensors as a safetensors file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    _flush(part)
    part.replace(path)
    return _recorded(path)


def _recorded(path: Path) -> FileRecord:
    return FileRecord(path.name, path.stat().st_size, _digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """What was written to a file, or the names in a folder, down to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
