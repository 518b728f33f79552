"""Where an edit acts, in a tensor as it is: its axes, the positions chosen along them, the part of it that is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from interp.writing.places import Window, mask_of


@dataclass(frozen=True)
class Site:
    """Where an edit acts: the hook, its axes as they are now, the seeds, and the positions chosen.

    `by_example`: what is chosen example by example, bool `[example, position]`. `memory` lasts as long as the `with`
    block: what is costly or random is made once there (see `once`). Where only a part of a tensor is there (a sweep
    leaves out positions that cannot change), `lengths` are those of the whole and `window` says which part it is.
    """

    hook: str
    axes: tuple[str, ...]
    seeds: tuple[int, ...] | None
    positions: Mapping[str, Sequence[int]]
    by_example: Mapping[str, Tensor] = field(default_factory=dict)
    memory: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)
    lengths: Mapping[str, int] = field(default_factory=dict)
    window: Window = field(default_factory=dict)

    def sizes(self, tensor: Tensor) -> dict[str, int]:
        """The length of each axis, of the whole where the tensor is a part."""
        return {axis: self.lengths.get(axis, n) for axis, n in zip(self.axes, tensor.shape, strict=True)}

    def windowed(self, whole: Tensor, dims: Sequence[str]) -> Tensor:
        """The part of a whole tensor that the window shows."""
        for axis, part in self.window.items():
            if axis in dims and whole.shape[dims.index(axis)] > 1:
                whole = whole[(slice(None),) * dims.index(axis) + (part,)]
        return whole

    def mask(self, tensor: Tensor) -> Tensor | None:
        """True where the edit counts, to be broadcast over the tensor; None where that is everywhere."""
        if not self.positions and not self.by_example:
            return None
        whole = mask_of(self.positions, self.sizes(tensor), self.by_example)
        return self.windowed(whole, self.axes).to(tensor.device)

    def place(self, tensor: Tensor) -> tuple[slice, ...] | None:
        """The part of the tensor where the edit counts, where that is one range along each axis; else None."""
        if self.by_example or any(len(chosen) > 1 for chosen in self.positions.values()):
            return None
        found = []
        for axis, length in zip(self.axes, tensor.shape, strict=True):
            if axis not in self.positions:
                found.append(slice(0, length))
                continue
            begin = self.positions[axis][0] - (self.window[axis].start if axis in self.window else 0)
            found.append(slice(begin, begin + 1) if 0 <= begin < length else slice(0, 0))
        return tuple(found)

    def once(self, key: object, make: Any) -> Any:
        """What `make()` gave when it was first asked for in this block."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]
