"""The work behind a sweep: untouched pass, plan, passes in batches that fit, the metric of every run.

A pass takes as many runs as fill the cache, at most as many as fit in the memory allowed (room.py); where not even one
run of all examples fits, the examples are parted, each part with an untouched pass of its own, and the metric is taken
of the outputs joined again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interp.reading.headroom import amount
from interp.reading.points import hook_points, modules_of, seeds_of
from interp.refusals import Refused
from interp.writing.changes import Noise, Resample, local
from interp.writing.clean import Abilities, CleanPass, Share, clean_pass
from interp.writing.edits import checked_point, edited
from interp.writing.passes import Passing
from interp.writing.planning import Edits, Group, Together, joined, passes, planned
from interp.writing.progress import Progress
from interp.writing.room import Room, allowed

Metric = Callable[[Tensor], Tensor]
OWN = ("transformer_lens.",)
"""Whose functions are no stranger's: a bridged network carries hooks of its library's own."""
Numbered = Sequence[tuple[int, Edits]]


@dataclass(frozen=True)
class Sweeping:
    """What a sweep is made of; `axis`: where the examples are in the inputs."""

    model: nn.Module
    inputs: Tensor
    metric: Metric
    axis: int
    at: int | None
    memory: int | None

    def values(self, asked: Sequence[Edits]) -> Tensor:
        """The metric of every entry, `[edit, (seed), example]`."""
        for edit in (edit for edits in asked for edit in edits):
            checked_point(edit, self.model)
            if isinstance(edit.change, Noise | Resample) and isinstance(edit.change.draw, torch.Generator):
                raise Refused(f"{edit!r} draws from a generator that goes on; a sweep takes draw=, a seed.")
        check_position(self.model, self.inputs, self.at)
        if self.run_whole:
            return _gathered(self._one_by_one(asked), len(asked))
        return _gathered(self._side_by_side(asked), len(asked))

    @cached_property
    def abilities(self) -> Abilities:
        """What the network can leave out."""
        return Abilities.of(self.model)

    @cached_property
    def run_whole(self) -> bool:
        """Whether nothing can be left out: no start at a layer, or somebody else's hooks are there."""
        return not self.abilities.layers or has_foreign_hooks(self.model)

    @property
    def total(self) -> int:
        """How many examples there are."""
        return int(self.inputs.shape[self.axis])

    def _one_by_one(self, asked: Sequence[Edits]) -> Iterator[tuple[int, Tensor]]:
        if self.memory is not None:
            allowed(self.memory)
            raise Refused(
                "memory= bounds runs side by side, and this network is run whole, one edit at a time, on all examples "
                "(it has somebody else's hooks, or no start_at_layer): leave memory= out, or give fewer examples."
            )
        for number, edits in enumerate(asked):
            with edited(self.model, edits):
                output = self.model(self.inputs)
            if not isinstance(output, Tensor):
                raise Refused(f"The network gave a {type(output).__name__}; a sweep reads one tensor.")
            yield number, self._measured(output)

    def _side_by_side(self, asked: Sequence[Edits]) -> Iterator[tuple[int, Tensor]]:
        numbered, whole = (
            list(enumerate(asked)),
            Share(self.inputs, self.axis, slice(0, self.total), self.total),
        )
        room = Room.of(self.model, whole, asked, at=self.at, memory=self.memory)
        if room.examples < self.total:
            yield from self._in_parts(numbered, room)
        else:
            yield from (
                (number, self._measured(output)) for number, output in self._outputs(numbered, whole, room)
            )

    def _in_parts(self, numbered: Numbered, room: Room) -> Iterator[tuple[int, Tensor]]:
        """Part after part of the examples, for as many entries at a time as the memory has room for the outputs of."""
        for edit in (edit for _, edits in numbered for edit in edits):
            if not local(edit.change, "example"):
                raise Refused(
                    f"{edit!r} needs all {self.total} examples at once, which do not fit in {amount(room.memory)}: "
                    "allow more memory, or give fewer examples."
                )
        lead = 0 if seeds_of(self.model) is None else 1
        for begin in range(0, len(numbered), room.outputs):
            some = numbered[begin : begin + room.outputs]
            joined: dict[int, list[Tensor]] = {number: [] for number, _ in some}
            for share in self._shares(room.examples):
                for number, output in self._outputs(some, share, room):
                    joined[number].append(output.clone())  # a view would keep its whole pass
            yield from (
                (number, self._measured(torch.cat(joined.pop(number), dim=lead))) for number, _ in some
            )

    def _shares(self, examples: int) -> Iterator[Share]:
        for begin in range(0, self.total, examples):
            end = min(begin + examples, self.total)
            part = self.inputs.narrow(self.axis, begin, end - begin)
            yield Share(part, self.axis, slice(begin, end), self.total)

    def _outputs(self, numbered: Numbered, share: Share, room: Room) -> Iterator[tuple[int, Tensor]]:
        """The output of each entry on these examples, `[*seed, example, ...]`."""
        abilities = self.abilities
        hooks = dict.fromkeys(edit.hook for _, edits in numbered for edit in edits)
        clean = clean_pass(self.model, share, hooks, abilities=abilities, at=self.at)
        at = None if self.at is None else self.at % self.inputs.shape[-1]
        passing = Passing(self.model, clean, abilities, at)
        last = self.inputs.shape[-1] - 1 if at is None else at
        latest = last if abilities.positions else 0
        groups = planned(clean, numbered, latest=latest, columns=abilities.columns)
        for together in self._passes(groups, clean, room):
            output = passing.output(together)
            for place, run in enumerate(together.runs):
                yield run.number, output.select(clean.lead, place)

    def _passes(self, groups: Sequence[Group], clean: CleanPass, room: Room) -> Iterator[Together]:
        examples = clean.share.inputs.shape[self.axis]
        length = self.inputs.shape[-1] if self.abilities.positions else 1
        cost = room.pass_cost / examples
        parts: list[Group] = []
        for group in groups:
            parts += passes(group, length=length, most=room.runs(clean, group, examples), pass_cost=cost)
        return joined(parts, most=lambda group: room.runs(clean, group, examples), pass_cost=cost)

    def _measured(self, output: Tensor) -> Tensor:
        """The metric of one entry's output, `[(seed), example]`."""
        if self.at is not None:
            axis = self.position_axis
            length = output.shape[axis]
            if self.run_whole and not -length <= self.at < length:
                raise Refused(f"at={self.at} is beyond the output, which has {length} positions.")
            output = output.select(axis, 0 if length == 1 else self.at)
        values = self.metric(output)
        if not isinstance(values, Tensor) or tuple(values.shape) != self.shape:
            given = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise Refused(
                f"The metric gave {given} for an output of shape {list(output.shape)}; it gives a number for each "
                f"{'example' if len(self.shape) == 1 else 'seed and example'}, {list(self.shape)}: leave the "
                "averaging out."
            )
        return values

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """What the metric gives for an entry: a number for each (seed and) example."""
        seeds = seeds_of(self.model)
        return (self.total,) if seeds is None else (len(seeds), self.total)

    @cached_property
    def position_axis(self) -> int:
        """Which axis of the output is the positions."""
        return position_axis(self.model)


def _gathered(found: Iterator[tuple[int, Tensor]], count: int) -> Tensor:
    """The numbered rows in order, each laid down as it comes: nothing that it was made from is kept."""
    table: Tensor | None = None
    with Progress(count) as progress:
        for number, row in found:
            if table is None:
                table = row.new_empty(count, *row.shape)
            table[number] = row
            progress.done(1)
    assert table is not None  # a sweep has at least one entry
    return table


def position_axis(model: nn.Module) -> int:
    """Which axis of the output is the positions. Raises `Refused` where the network does not say."""
    axes = tuple(getattr(hook_points(model).get("hook_logits"), "axes", ()))
    if "pos" not in axes:
        raise Refused("at= chooses a position, and this network's hook_logits declares no `pos` axis.")
    return axes.index("pos") + (0 if seeds_of(model) is None else 1)


def has_foreign_hooks(model: nn.Module) -> bool:
    """Whether somebody else's forward hooks are attached anywhere, with torch's methods or transformer-lens's."""
    hooked = [
        module
        for module in dict.fromkeys([*modules_of(model), *hook_points(model).values()])
        if module._forward_hooks or module._forward_pre_hooks
    ]
    return any(
        not (getattr(function, "__module__", None) or "").startswith(OWN)
        for module in hooked
        for function in _functions(module)
    )


def _functions(module: nn.Module) -> Iterator[object]:
    """What the forward hooks of a module call: where transformer-lens wrapped a function, that function."""
    handles: Sequence[Any] = getattr(module, "fwd_hooks", ())
    wrapped = {handle.hook.id: handle.user_hook for handle in handles}
    for key, function in module._forward_hooks.items():
        found = wrapped.get(key, function)
        yield found.func if isinstance(found, partial) else found
    yield from module._forward_pre_hooks.values()


def whole_position(at: Any) -> int | None:
    """A position given as any whole number (numpy's too) as an int. Raises `Refused` for anything else."""
    if at is None or type(at) is int:
        return at
    try:
        if isinstance(at, bool | np.bool_):
            raise TypeError("a truth value")
        return operator.index(at)
    except TypeError as error:
        raise Refused(f"at= is a position, a whole number; given {at!r}.") from error


def check_position(model: nn.Module, inputs: Tensor, at: int | None) -> None:
    """Refuses `at` for a network without positions, or beyond them."""
    if at is None:
        return
    position_axis(model)
    length = inputs.shape[-1]
    if not -length <= at < length:
        raise Refused(
            f"at= is one of the {length} positions, a whole number from {-length} to {length - 1}; given {at!r}."
        )
