"""Where a capture keeps what it reads: all of it in memory, or shard after shard on disk.

Both say after the first batch how many examples the buffers are to hold, having refused what cannot fit, and
take the buffers over whenever they are full.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from interp.reading.activations import Activations
from interp.reading.feeding import Feed
from interp.reading.headroom import USABLE, amount, available_disk, available_ram
from interp.reading.recorder import Recorder
from interp.reading.store import StoreWriter, open_activations
from interp.refusals import Refused

SHARD_BYTES = 128 * 2**20


class Keeper(ABC):
    """Keeps the recorders' buffers; a context that lasts as long as the capture runs."""

    def __init__(self, recorders: Sequence[Recorder], feed: Feed, seeds: tuple[int, ...] | None) -> None:
        self.recorders, self.feed, self.seeds = recorders, feed, seeds
        self.nan_examples: dict[str, int] = {}

    @abstractmethod
    def plan(self, length: int) -> int:
        """After a first batch of this length, makes room; how many examples the buffers now hold."""

    @abstractmethod
    def keep(self, count: int) -> None:
        """Takes over the `count` examples in the buffers."""

    @abstractmethod
    def result(self) -> Activations:
        """All that was kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def bytes_per_example(self) -> int:
        """Bytes one example takes at all hooks together."""
        return sum(recorder.bytes_per_example for recorder in self.recorders)

    def count_nan(self, count: int) -> None:
        """Adds up, hook by hook, the examples in the buffers that hold NaN."""
        for recorder in self.recorders:
            if found := recorder.count_nan(count):
                self.nan_examples[recorder.name] = self.nan_examples.get(recorder.name, 0) + found

    def say_nan(self) -> None:
        """Warns of NaN among what was kept."""
        if self.nan_examples:
            where = ", ".join(f"{name}: {n:,}" for name, n in self.nan_examples.items())
            text = f"Captured activations hold NaN (examples of {self.feed.total:,}: {where}); they are kept."
            warnings.warn(text, RuntimeWarning, stacklevel=4)

    def require_ram(self, needed: int, advice: str) -> None:
        """Raises `Refused` when this many bytes more will not fit in memory."""
        free = available_ram() if needed else None
        if free is not None and needed > USABLE * free:
            raise Refused(
                f"Activations of {len(self.recorders)} hooks for {self.feed.total:,} examples need "
                f"{amount(needed)} of memory, and {amount(free)} is available. {advice}"
            )


class InMemory(Keeper):
    """One buffer per hook, for all examples."""

    def plan(self, length: int) -> int:
        total = self.feed.total
        needed = self.bytes_per_example * (total - length)
        self.require_ram(needed, "Pass to=FOLDER to keep them on disk, fewer hooks, or dtype='float16'.")
        for recorder in self.recorders:
            recorder.extend(total)
        return total

    def keep(self, count: int) -> None:
        self.count_nan(count)

    def result(self) -> Activations:
        self.say_nan()
        return Activations(
            {recorder.name: recorder.buffer for recorder in self.recorders},
            axes={recorder.name: recorder.axes for recorder in self.recorders},
            examples=self.feed.examples,
            seeds=self.seeds,
            mask=self.feed.padding,
        )


class OnDisk(Keeper):
    """Buffers of one shard, written out whenever they are full; a capture that failed leaves nothing."""

    def __init__(
        self, recorders: Sequence[Recorder], feed: Feed, seeds: tuple[int, ...] | None, *, folder: Path
    ) -> None:
        super().__init__(recorders, feed, seeds)
        self.writer = StoreWriter(folder, examples=feed.examples, seeds=seeds, mask=feed.padding)

    def plan(self, length: int) -> int:
        needed = self.bytes_per_example * self.feed.total
        free = available_disk(self.writer.folder)
        if needed > free:
            raise Refused(
                f"Activations of {len(self.recorders)} hooks for {self.feed.total:,} examples need "
                f"{amount(needed)} on disk, and {amount(free)} is free under {self.writer.folder}. "
                "Ask for fewer hooks, or pass dtype='float16'."
            )
        batches = max(1, SHARD_BYTES // (self.bytes_per_example * length))
        rows = min(self.feed.total, batches * length)
        self.require_ram(
            2 * self.bytes_per_example * rows, "Pass a smaller batch_size, or ask for fewer hooks."
        )
        for recorder in self.recorders:
            recorder.extend(rows)
        return rows

    def keep(self, count: int) -> None:
        self.count_nan(count)
        self.writer.write(
            {recorder.name: recorder.rows(count) for recorder in self.recorders},
            axes={recorder.name: recorder.axes for recorder in self.recorders},
        )

    def result(self) -> Activations:
        self.say_nan()
        return open_activations(self.writer.folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.writer.finish()
        else:
            self.writer.discard()
