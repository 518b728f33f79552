"""Activations on disk as arrays that are read only where they are indexed.

Each shard is a safetensors file: eight bytes with the length of a JSON header, the header (name -> dtype,
shape, byte range), the numbers (https://github.com/huggingface/safetensors). Shards are memory-mapped; a
selection of rows asks the kernel not to read ahead (MADV_RANDOM: many times faster where the file exceeds the
memory) and puts it back afterwards, since a scan without read-ahead is several times slower. bfloat16, which
numpy lacks, is read as float32.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from xarray.backends import BackendArray
from xarray.core import indexing

from interp.reading.headroom import USABLE, amount, available_ram
from interp.refusals import BadFile, Refused

NUMPY_DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("bool"),
}  # fmt: skip
Raw = np.ndarray[Any, Any]


class Shard:
    """One memory-mapped safetensors file, checked against its own header."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            length = int.from_bytes(self.memory[:8], "little")
            self.header: dict[str, Any] = json.loads(self.memory[8 : 8 + length])
            self.header.pop("__metadata__", None)
            self.begin = 8 + length
            self.arrays = {name: self._array(entry) for name, entry in self.header.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadFile(f"{path} is truncated or altered: {error}") from error

    def _array(self, entry: dict[str, Any]) -> Raw:
        dtype = NUMPY_DTYPES[entry["dtype"]]
        start, stop = entry["data_offsets"]
        count = (stop - start) // dtype.itemsize
        return np.frombuffer(self.memory, dtype, count, offset=self.begin + start).reshape(entry["shape"])

    @contextmanager
    def scattered(self) -> Iterator[None]:
        """Rows here and there are read in the block: no read-ahead."""
        advice = hasattr(mmap, "MADV_RANDOM")
        if advice:
            self.memory.madvise(mmap.MADV_RANDOM)
        try:
            yield
        finally:
            if advice:
                self.memory.madvise(mmap.MADV_NORMAL)


@dataclass(frozen=True, eq=False)
class Mapped:
    """One hook's activations over all shards, in the order of their examples."""

    name: str
    shards: Sequence[Shard]
    shape: tuple[int, ...]
    dtype: torch.dtype
    example_axis: int

    def tensor(self) -> Tensor:
        """All of it in memory. Raises `Refused` with the figures when it does not fit."""
        needed, free = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize, available_ram()
        if free is not None and needed > USABLE * free:
            raise Refused(
                f"Activations at {self.name!r} take {amount(needed)} and {amount(free)} of memory is "
                f"available: index acts[{self.name!r}] instead, which reads only what is selected."
            )
        whole = np.concatenate([shard.arrays[self.name] for shard in self.shards], axis=self.example_axis)
        return torch.from_numpy(whole).view(self.dtype)

    def lazy(self) -> Any:
        """The array as xarray takes it: indexing first, reading when the numbers are needed."""
        return indexing.LazilyIndexedArray(MappedArray(self))


class MappedArray(BackendArray):
    """xarray's view of mapped activations: one indexer per axis, applied to the mapped shards."""

    def __init__(self, mapped: Mapped) -> None:
        self.mapped = mapped
        self.shape = mapped.shape
        self.raw_dtype = mapped.shards[0].arrays[mapped.name].dtype
        self.dtype = np.dtype(np.float32) if mapped.dtype == torch.bfloat16 else self.raw_dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.VectorizedIndexer):  # pointwise: read the rows and columns, then pick
            outer = indexing.IndexingSupport.OUTER
            return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)
        return self._read(key.tuple)

    def _read(self, key: tuple[Any, ...]) -> Raw:
        """The numbers at an outer index: an integer, a slice or a one-dimensional array per axis."""
        axis = self.mapped.example_axis
        rows = np.atleast_1d(np.arange(self.shape[axis])[key[axis]])
        others = tuple(slice(None) if i == axis else _kept(k) for i, k in enumerate(key))
        read = self._rows(rows, others)
        gone = tuple(i for i, k in enumerate(key) if isinstance(k, int | np.integer))
        return _as_float32(read.squeeze(gone)) if self.mapped.dtype == torch.bfloat16 else read.squeeze(gone)

    def _rows(self, rows: Raw, others: tuple[Any, ...]) -> Raw:
        """These rows of the example axis, the other axes indexed by `others`."""
        axis, name = self.mapped.example_axis, self.mapped.name
        lengths = [shard.arrays[name].shape[axis] for shard in self.mapped.shards]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        owner = np.searchsorted(starts, rows, side="right") - 1
        if len(rows) and bool((owner == owner[0]).all()):
            return self._of_shard(int(owner[0]), rows - starts[owner[0]], others)
        shape = [len(_picked(n, k)) for n, k in zip(self.shape, others, strict=True)]
        shape[axis] = len(rows)
        out = np.empty(shape, self.raw_dtype)
        for number in np.unique(owner):
            mine = np.flatnonzero(owner == number)
            part = self._of_shard(int(number), rows[mine] - starts[number], others)
            out[(slice(None),) * axis + (_as_slice(mine),)] = part
        return out

    def _of_shard(self, number: int, rows: Raw, others: tuple[Any, ...]) -> Raw:
        """Rows of one shard: slices first, which copy nothing, then the arrays, each along its axis."""
        axis, shard = self.mapped.example_axis, self.mapped.shards[number]
        key = (*others[:axis], _as_slice(rows), *others[axis + 1 :])
        array = shard.arrays[self.mapped.name][tuple(k if isinstance(k, slice) else slice(None) for k in key)]
        with nullcontext() if isinstance(key[axis], slice) else shard.scattered():
            for place, positions in enumerate(key):
                array = array if isinstance(positions, slice) else np.take(array, positions, axis=place)
        return array


def _as_slice(positions: Raw) -> Any:
    """Consecutive positions as a slice, which needs no gather."""
    if (
        len(positions)
        and positions[-1] - positions[0] == len(positions) - 1
        and bool((np.diff(positions) == 1).all())
    ):
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def _kept(key: Any) -> Any:
    """An integer as an array of one, so that the axis is there until the end."""
    return np.array([key]) if isinstance(key, int | np.integer) else key


def _picked(length: int, key: Any) -> Any:
    return range(length)[key] if isinstance(key, slice) else key


def _as_float32(raw: Raw) -> Raw:
    """bfloat16 numbers, given by their sixteen bits, as float32: the upper half of its bits."""
    widened: Raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return widened
