"""One hook point being read: a forward hook that copies what passes into a buffer allocated once.

The first batch is kept as it is (its shape tells how large the whole will be), later ones are copied into
their rows of the buffer at the moment they pass, so that what the network does to the tensor afterwards does
not matter. A hook that fires twice in a forward pass, or with another shape than before, is refused: neither
has a place in the buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.reading.points import axes_of
from interp.refusals import Refused


@dataclass
class Cursor:
    """Where in the buffers the batch under way belongs; shared by all recorders of a capture."""

    batch: int = 0
    offset: int = 0
    length: int = 0

    def move(self, offset: int, length: int) -> None:
        """Begins the next batch."""
        self.batch += 1
        self.offset, self.length = offset, length


class Recorder:
    """Reads one hook point; `buffer` holds the examples so far along the axis `example_axis`."""

    reads_only = True  # recurrent layers call a hook that edits once a step, and readers once, at the end
    axes: tuple[str, ...]
    buffer: Tensor

    def __init__(
        self,
        name: str,
        point: nn.Module,
        *,
        cursor: Cursor,
        seeds: Sequence[int] | None,
        dtype: torch.dtype | None,
    ) -> None:
        self.name, self.point, self.cursor, self.seeds, self.dtype = name, point, cursor, seeds, dtype
        self.batch = 0
        self.checksum: Tensor | None = None

    @property
    def fired(self) -> bool:
        """Whether the hook fired in the batch under way."""
        return self.batch == self.cursor.batch

    @property
    def bytes_per_example(self) -> int:
        """Bytes one example takes in the buffer."""
        return self.buffer.numel() * self.buffer.itemsize // self.buffer.shape[self.example_axis]

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """The forward hook; returns nothing, so that the network goes on with what it had."""
        cursor = self.cursor
        if self.batch == cursor.batch:
            raise Refused(
                f"Hook {self.name!r} fired twice in one forward pass; which of the two is meant is unclear."
            )
        if self.batch == 0:
            self._keep_first(output)
        else:
            rows = self.buffer.narrow(self.example_axis, cursor.offset, cursor.length)
            if output.shape != rows.shape:
                raise self._misshapen(output.shape)
            rows.copy_(output)
            self._check_range(output, rows)
        self.batch = cursor.batch
        if output.is_floating_point():
            total = output.detach().sum()
            self.checksum = total if self.checksum is None else self.checksum + total

    def extend(self, rows: int) -> None:
        """Makes room for `rows` examples, the ones read so far in front."""
        if rows > self.buffer.shape[self.example_axis]:
            shape = list(self.buffer.shape)
            first, shape[self.example_axis] = self.buffer, rows
            self.buffer = _empty(shape, first.dtype)
            self.rows(first.shape[self.example_axis]).copy_(first)

    def rows(self, count: int) -> Tensor:
        """The first `count` examples in the buffer."""
        return self.buffer.narrow(self.example_axis, 0, count)

    def count_nan(self, count: int) -> int:
        """How many of the first `count` examples hold NaN; the sums of the batches say whether to look."""
        checksum, self.checksum = self.checksum, None
        if checksum is None or not bool(checksum.isnan()):
            return 0
        examples_first = self.rows(count).movedim(self.example_axis, 0)
        return int(examples_first.isnan().flatten(1).any(dim=1).sum())

    def _keep_first(self, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise Refused(f"What passes hook {self.name!r} is a {type(output).__name__}, not a tensor.")
        self.axes = axes_of(self.name, self.point, ndim=output.ndim, seeds=self.seeds)
        if "example" not in self.axes:
            raise Refused(f"Hook {self.name!r} has no axis `example` among [{', '.join(self.axes)}].")
        self.example_axis = self.axes.index("example")
        if output.ndim <= self.example_axis or output.shape[self.example_axis] != self.cursor.length:
            raise self._misshapen(output.shape)
        dtype = self.dtype if self.dtype is not None and output.is_floating_point() else output.dtype
        first = torch.empty(output.shape, dtype=dtype)
        self.buffer = first.copy_(output.detach())
        self._check_range(output, self.buffer)

    def _check_range(self, output: Tensor, kept: Tensor) -> None:
        """Refuses a value too large for the dtype asked for: it would turn into infinity."""
        if kept.dtype == output.dtype or not kept.is_floating_point():
            return
        if torch.finfo(kept.dtype).max < torch.finfo(output.dtype).max:
            overflowed = kept.isinf() & output.detach().isfinite().to(kept.device)
            if bool(overflowed.any()):
                largest = float(output.detach().abs().nan_to_num(posinf=0.0).max())
                raise Refused(
                    f"Hook {self.name!r} reaches {largest:.3g}, more than {kept.dtype} holds "
                    f"({torch.finfo(kept.dtype).max:.3g}): leave dtype out, or take bfloat16."
                )

    def _misshapen(self, shape: Sequence[int]) -> Refused:
        before = "" if self.batch == 0 else f" (so far: {tuple(self.buffer.shape)})"
        return Refused(
            f"Hook {self.name!r} [{', '.join(self.axes)}] passed shape {tuple(shape)} in a batch of "
            f"{self.cursor.length} examples{before}: its example axis must have the batch's length, "
            "and the others must not change."
        )


def _empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Uninitialised memory from numpy, which asks the kernel for huge pages: 512 times fewer page faults."""
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return torch.from_numpy(np.empty(count, np.uint8)).view(dtype).view(tuple(shape))
