"""How many examples and runs of a sweep fit in the memory allowed, and how many are worth a pass.

What a pass takes is found by trying: one example is run untouched, with the edited hooks listened to (what is costly to
lay open is then laid open), and its tensors are counted while they live (footprint.py). Everything the sweep makes is
allowed for: the results, the draws that are made for all examples at once, what is kept of the untouched pass, what
edited runs have alive at their peak, their outputs. Where a rough estimate (the widest matrix of the network times the
positions) says that all of it is small beside what may be taken unasked, nothing is tried.

Runs share a pass as long as its widest activation stays in the processor's cache; more are not worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interp.reading.headroom import USABLE, amount, available_ram
from interp.reading.points import hook_points, layer_of, modules_of, seeds_of
from interp.refusals import Refused
from interp.writing.changes import Noise, Resample
from interp.writing.clean import Abilities, CleanPass, Share, clean_pass
from interp.writing.footprint import Footprint
from interp.writing.planning import PASS_COSTS_PARAMETERS, Edits, Group, mixes_positions

CACHE = 2_000_000
"""Bytes of a pass's widest activation that are worth sharing a pass; more fall out of the cache."""
CACHE_OF_COLUMNS = 8_000_000
"""The same where runs share the product of what enters: more of them are worth it."""
ALIVE = 8
"""How many tensors as wide as the widest a run has alive at once, roughly."""
UNASKED = 500_000_000
"""Bytes that are taken without asking how much is free, where a sixteenth of them will do for a run."""
DRAWN = 16
"""Bytes that a random number drawn in float64 takes until it is laid over an activation."""


@dataclass(frozen=True)
class Need:
    """Bytes that one example takes: kept of the untouched pass, by an edited run at its peak, by its output, drawn."""

    kept: int
    run: int
    output: int
    drawn: int = 0

    @classmethod
    def tried(cls, model: nn.Module, one: Share, asked: Sequence[Edits], at: int | None) -> Need:
        """Of this one example, with these edits' hooks laid open."""
        abilities, hooks = Abilities.of(model), dict.fromkeys(edit.hook for edits in asked for edit in edits)
        with Footprint() as untouched:
            clean = clean_pass(model, one, hooks, abilities=abilities, at=at)
        passed, every = clean.passed, [edit for edits in asked for edit in edits]
        whole_output = at is None or any(mixes_positions(edit, passed[edit.hook].axes) for edit in every)
        handles = [hook_points(model)[hook].register_forward_hook(_listening) for hook in hooks]
        try:
            with Footprint() as whole:
                output = model(one.inputs, **({"at": at} if abilities.logits and not whole_output else {}))
        finally:
            for handle in handles:
                handle.remove()
        edited = max(clean.passed[hook].tensor.nbytes for hook in hooks)
        entering = max(tensor.nbytes for tensor in clean.entering.values())
        # half as much again: keys and values of earlier positions are joined to those of a run's own
        run = whole.peak + whole.peak // 2 + 4 * max(edited, entering) + 3 * output.nbytes
        return cls(untouched.alive, run, output.nbytes, _drawn(asked, clean))


def _listening(module: nn.Module, inputs: object, output: object) -> None:
    """Changes nothing, and has a costly point laid open."""


def _drawn(asked: Sequence[Edits], clean: CleanPass) -> int:
    """Bytes for each example of what the hungriest edit draws for all of them at once."""
    hooks = {edit.hook for edits in asked for edit in edits if isinstance(edit.change, Noise | Resample)}
    return DRAWN * max((clean.passed[hook].tensor.numel() for hook in hooks), default=0)


@dataclass(frozen=True)
class Room:
    """Bytes for passes, what an example needs of them, how wide it is; what a pass costs; how many examples."""

    memory: int
    need: Need
    width: int
    pass_cost: float
    total: int

    @classmethod
    def of(
        cls, model: nn.Module, whole: Share, asked: Sequence[Edits], *, at: int | None, memory: int | None
    ) -> Room:
        """What there is for these entries. Raises `Refused` where one example does not fit."""
        seeds, total = len(seeds_of(model) or (0,)), whole.total
        width, pass_cost = _rough(model, whole.inputs, seeds)
        images = whole.inputs.is_floating_point() and whole.inputs.ndim > whole.axis + 2
        if memory is None and not images and 16 * ALIVE * width * total < UNASKED:
            return cls(UNASKED, Need(ALIVE * width, ALIVE * width, width), width, pass_cost, total)
        one = Share(whole.inputs.narrow(whole.axis, 0, 1), whole.axis, slice(0, 1), 1)
        need = Need.tried(model, one, asked, at)
        results = 8 * seeds * total * len(asked)
        # of an entry's output on all examples there are two more while its metric is taken
        besides = results + whole.inputs.nbytes + total * (2 * need.output + need.drawn)
        given = allowed(memory)
        room = cls(given - besides, need, width, pass_cost, total)
        if not room.examples or not room.outputs:
            least = besides + max(4 * (need.kept + need.run) // 3, 4 * total * need.output)
            raise Refused(
                f"One example takes about {amount(need.kept + need.run)}, with what {total} examples and "
                f"{len(asked)} entries take in any case {amount(least)}; memory={amount(given)} is allowed."
            )
        return room

    @property
    def examples(self) -> int:
        """How many examples ride together: all, or those that fit where outputs of parts take a quarter."""
        each = self.need.kept + self.need.run
        return self.total if self.memory >= self.total * each else max(0, 3 * self.memory // (4 * each))

    @property
    def outputs(self) -> int:
        """Of how many entries the outputs on all examples fit beside a pass of a part of them."""
        return max(0, self.memory // (4 * self.need.output * self.total))

    def runs(self, clean: CleanPass, group: Group, examples: int) -> int:
        """How many runs of these examples a pass takes."""
        edited_there = [clean.passed[hook].tensor.nbytes for hook in (*group.entering, *group.inside)]
        worth = CACHE_OF_COLUMNS if group.columns else CACHE
        usable = self.memory if self.examples == self.total else 3 * self.memory // 4
        free = usable - examples * self.need.kept
        wide = max(self.width * examples, *edited_there)
        return max(1, min(worth // wide, free // (examples * self.need.run)))


def _rough(model: nn.Module, inputs: Tensor, seeds: int) -> tuple[int, float]:
    """Bytes of an example's widest activation, by the widest matrix; what a pass costs, in positions of a run."""
    parameters = [p for module in modules_of(model) for p in module._parameters.values() if p is not None]
    widest = max([max(parameter.shape[-2:], default=1) for parameter in parameters], default=1)
    itemsize = max([parameter.itemsize for parameter in parameters], default=4)
    positions = 1 if inputs.is_floating_point() else inputs.shape[-1]
    layers = 1 + max(
        (layer for name in hook_points(model) if (layer := layer_of(name)) is not None), default=0
    )
    each = max(1, sum(map(torch.numel, parameters))) / max(1, layers)
    return seeds * positions * widest * itemsize, PASS_COSTS_PARAMETERS / each


def allowed(memory: int | None) -> int:
    """The bytes that may be taken: those given, or half of what is free."""
    if memory is None:
        return int((available_ram() or 2_000_000_000) * USABLE / 2)
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise Refused(f"memory= is a number of bytes; given {memory!r}.")
    return memory
