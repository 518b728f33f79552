"""The work behind a sweep: untouched pass, plan, passes in batches that fit, the metric of every run.

How much a run needs is estimated from above: the widest matrix of the network, or the widest edited activation, times
positions, times as many tensors as are alive at once. A pass takes as many runs as fill the cache, at most as many as
fit in the memory allowed; where not even one run of all examples fits, the examples are parted, each part with an
untouched pass of its own, and the metric is taken of the outputs joined again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from torch import Tensor, nn

from interp.reading.headroom import USABLE, amount, available_ram
from interp.reading.points import hook_points, layer_of, seeds_of
from interp.refusals import Refused
from interp.writing.changes import Noise, Resample, local
from interp.writing.clean import Abilities, CleanPass, Share, clean_pass
from interp.writing.edits import checked_point, edited
from interp.writing.passes import Passing
from interp.writing.planning import PASS_COSTS_PARAMETERS, Edits, Group, passes, planned
from interp.writing.progress import Progress

Metric = Callable[[Tensor], Tensor]
CACHE = 2_000_000
"""Bytes of a pass's widest activation that are worth sharing a pass; more fall out of the cache."""
CACHE_OF_COLUMNS = 8_000_000
"""The same where runs share the product of what enters: more of them are worth it."""
ALIVE = 8
"""How many tensors as wide as the widest are alive at once in a pass, at most."""
UNASKED = 500_000_000
"""Bytes that are taken without asking how much is free, where a sixteenth of them will do for a run."""
OWN = ("transformer_lens.",)
"""Whose hooks are no stranger's: a bridged network carries its library's own."""


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
        abilities = Abilities.of(self.model)
        with Progress(len(asked)) as progress:
            if not abilities.layers or has_foreign_hooks(self.model):
                rows = dict(enumerate(self._one_by_one(asked, progress)))
            else:
                rows = self._side_by_side(asked, abilities, progress)
        return torch.stack([rows[number] for number in range(len(asked))])

    @property
    def total(self) -> int:
        """How many examples there are."""
        return int(self.inputs.shape[self.axis])

    def _one_by_one(self, asked: Sequence[Edits], progress: Progress) -> Iterator[Tensor]:
        for edits in asked:
            with edited(self.model, edits):
                output = self.model(self.inputs)
            if not isinstance(output, Tensor):
                raise Refused(f"The network gave a {type(output).__name__}; a sweep reads one tensor.")
            yield self._measured(output)
            progress.done(1)

    def _side_by_side(
        self, asked: Sequence[Edits], abilities: Abilities, progress: Progress
    ) -> dict[int, Tensor]:
        room, numbered = Room.of(self.model, self.inputs, self.axis, self.memory), list(enumerate(asked))
        if room.examples >= self.total:
            share = Share(self.inputs, self.axis, slice(0, self.total), self.total)
            found = {}
            for number, output in self._outputs(numbered, share, abilities, room):
                found[number] = self._measured(output)
                progress.done(1)
            return found
        return self._in_parts(numbered, abilities, room, progress)

    def _in_parts(
        self, numbered: Sequence[tuple[int, Edits]], abilities: Abilities, room: Room, progress: Progress
    ) -> dict[int, Tensor]:
        """Part after part of the examples, for as many entries at a time as the memory has room for the outputs of."""
        for edit in (edit for _, edits in numbered for edit in edits):
            if not local(edit.change, "example"):
                raise Refused(
                    f"{edit!r} needs all {self.total} examples at once, which do not fit in {amount(room.memory)}: "
                    "allow more memory, or give fewer examples."
                )
        found: dict[int, Tensor] = {}
        for begin in range(0, len(numbered), room.outputs):
            some = numbered[begin : begin + room.outputs]
            joined: dict[int, list[Tensor]] = {number: [] for number, _ in some}
            for share in self._shares(room.examples):
                for number, output in self._outputs(some, share, abilities, room):
                    joined[number].append(output)
            lead = 0 if seeds_of(self.model) is None else 1
            found |= {number: self._measured(torch.cat(parts, dim=lead)) for number, parts in joined.items()}
            progress.done(len(some))
        return found

    def _shares(self, examples: int) -> Iterator[Share]:
        for begin in range(0, self.total, examples):
            end = min(begin + examples, self.total)
            part = self.inputs.narrow(self.axis, begin, end - begin)
            yield Share(part, self.axis, slice(begin, end), self.total)

    def _outputs(
        self, numbered: Sequence[tuple[int, Edits]], share: Share, abilities: Abilities, room: Room
    ) -> Iterator[tuple[int, Tensor]]:
        """The output of each entry on these examples, `[*seed, example, ...]`."""
        hooks = dict.fromkeys(edit.hook for _, edits in numbered for edit in edits)
        clean = clean_pass(
            self.model,
            share,
            hooks,
            remember=abilities.positions,
            to_the_end=abilities.columns or (abilities.positions and self.at is None),
        )
        at = None if self.at is None else self.at % self.inputs.shape[-1]
        passing = Passing(self.model, clean, abilities, at)
        last = self.inputs.shape[-1] - 1 if at is None else at
        for group in planned(clean, numbered, latest=last if abilities.positions else 0):
            for some in self._passes(group, clean, abilities, room):
                output = passing.output(some)
                for place, run in enumerate(some.runs):
                    yield run.number, output.select(clean.lead, place)

    def _passes(self, group: Group, clean: CleanPass, abilities: Abilities, room: Room) -> list[Group]:
        most = room.runs(clean, group, clean.share.inputs.shape[self.axis])
        length = self.inputs.shape[-1] if abilities.positions else 1
        return passes(
            group, length=length, most=most, pass_cost=room.pass_cost / clean.share.inputs.shape[self.axis]
        )

    def _measured(self, output: Tensor) -> Tensor:
        """The metric of one entry's output, `[(seed), example]`."""
        if self.at is not None:
            axis = self.position_axis
            output = output.select(axis, 0 if output.shape[axis] == 1 else self.at)
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


@dataclass(frozen=True)
class Room:
    """How much fits: bytes allowed, bytes a run of one example takes, bytes of its output, the cost of a pass."""

    memory: int
    example: int
    output: int
    pass_cost: float
    total: int

    @classmethod
    def of(cls, model: nn.Module, inputs: Tensor, axis: int, memory: int | None) -> Room:
        """Estimated from the network's parameters and its inputs. Raises `Refused` where one example does not fit."""
        parameters = list(model.parameters())
        seeds = len(seeds_of(model) or (0,))
        total = int(inputs.shape[axis])
        positions = 1 if inputs.is_floating_point() else inputs[0].numel() // (1 if axis == 0 else total)
        widest = max([max(parameter.shape[-2:], default=1) for parameter in parameters], default=1)
        itemsize = max([parameter.itemsize for parameter in parameters], default=4)
        output = seeds * positions * widest * itemsize
        memory = UNASKED if memory is None and 16 * ALIVE * output * total < UNASKED else allowed(memory)
        if ALIVE * output > memory:
            raise Refused(
                f"One example takes about {amount(ALIVE * output)} and memory={amount(memory)} is allowed."
            )
        known = [layer for name in hook_points(model) if (layer := layer_of(name)) is not None]
        layers = max(1, 1 + max(known, default=0))
        each = max(1, sum(map(torch.numel, parameters))) / layers
        return cls(memory, output, output, PASS_COSTS_PARAMETERS / each, total)

    @property
    def examples(self) -> int:
        """How many examples of one run fit, its untouched pass taking the other half."""
        return max(1, self.memory // (2 * ALIVE * self.example))

    @property
    def outputs(self) -> int:
        """Of how many entries the outputs on all examples fit beside a pass."""
        return max(1, self.memory // (4 * self.output * self.total))

    def runs(self, clean: CleanPass, group: Group, examples: int) -> int:
        """How many runs of these examples a pass takes."""
        edited_there = [clean.passed[hook].tensor.nbytes for hook in (*group.entering, *group.inside)]
        each = max(self.example * examples, *edited_there)
        worth = CACHE_OF_COLUMNS if group.columns else CACHE
        return max(1, min(worth // each, self.memory // (2 * ALIVE * each)))


def allowed(memory: int | None) -> int:
    """The bytes that may be taken: those given, or half of what is free."""
    if memory is None:
        return int((available_ram() or 2_000_000_000) * USABLE / 2)
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise Refused(f"memory= is a number of bytes; given {memory!r}.")
    return memory


def position_axis(model: nn.Module) -> int:
    """Which axis of the output is the positions. Raises `Refused` where the network does not say."""
    axes = tuple(getattr(hook_points(model).get("hook_logits"), "axes", ()))
    if "pos" not in axes:
        raise Refused("at= chooses a position, and this network's hook_logits declares no `pos` axis.")
    return axes.index("pos") + (0 if seeds_of(model) is None else 1)


def has_foreign_hooks(model: nn.Module) -> bool:
    """Whether somebody else's forward hooks are attached anywhere."""
    hooked = [
        module
        for module in chain(model.modules(), hook_points(model).values())
        if module._forward_hooks or module._forward_pre_hooks
    ]
    return any(
        not getattr(hook, "__module__", "").startswith(OWN)
        for module in hooked
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    )


def check_position(model: nn.Module, inputs: Tensor, at: int | None) -> None:
    """Refuses `at` for a network without positions, or beyond them."""
    if at is None:
        return
    position_axis(model)
    length = inputs.shape[-1]
    if isinstance(at, bool) or not isinstance(at, int) or not -length <= at < length:
        raise Refused(
            f"at= is one of the {length} positions, a whole number from {-length} to {length - 1}; given {at!r}."
        )
