"""One pass of a sweep: many edited runs of the same examples, side by side along the example axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from interp.reading.points import hook_points
from interp.refusals import Refused
from interp.writing.changes import local
from interp.writing.clean import BEFORE, Abilities, CleanPass, Passed
from interp.writing.places import Window
from interp.writing.planning import POSITION_AXES, Group, Run, Together


@dataclass(frozen=True)
class Passing:
    """A network, its untouched pass on some examples, and which position's logits are wanted (None: all)."""

    model: nn.Module
    clean: CleanPass
    abilities: Abilities
    at: int | None

    def output(self, together: Together) -> Tensor:
        """The output `[*seed, run, example, ...]` of every run of these groups, in their order."""
        if self.at is not None and self.abilities.logits and together.mixing:
            # in the last layer the edits would be shown that position alone
            return replace(self, at=None).output(together).narrow(-2, self.at, 1)
        (group, *more) = together.groups
        if group.columns and not more:
            return self._of_changed(group)
        first, points, handles = together.first, hook_points(self.model), []
        riders = {hook: _Rider(hook, list(together.inside(hook)), self, first) for hook in together.hooks}
        try:
            handles += [points[hook].register_forward_hook(rider) for hook, rider in riders.items()]
            output = self._through(together, first)
        finally:
            for handle in handles:
                handle.remove()
        for rider in riders.values():
            rider.check_fired()
        runs = parted(output, self.clean.lead, together.count)
        if self.clean.output is None or not first or self.at is not None:
            return runs
        # the output of all positions: those before the first one computed are as untouched
        beginning = self.clean.output.unsqueeze(self.clean.lead).narrow(-2, 0, first)
        shape = (*runs.shape[: self.clean.lead + 1], *beginning.shape[self.clean.lead + 1 :])
        return torch.cat((beginning.expand(shape), runs), dim=-2)

    def _through(self, together: Together, first: int) -> Tensor:
        """The output of all runs: each group joins the batch where it starts."""
        x: Tensor | None = None
        for groups, stop in together.stages():
            start = groups[0].start
            joining = [self._entering(group, first) for group in groups]
            there = joining if x is None else [x, *joining]
            x = there[0] if len(there) == 1 else torch.cat(there, dim=self.clean.example_axis(start))
            joining = there = []
            x = self._forward(x, start, first, stop=stop)
        assert x is not None  # there is at least one group
        return x

    def _of_changed(self, group: Group) -> Tensor:
        """The same of runs that change one column of what enters: the examples left as they were are not run again."""
        untouched, inputs, lead = self.clean.output, self.clean.entering[group.start], self.clean.lead
        assert untouched is not None  # a clean pass is taken to its end where columns can be changed
        columns, values = _Rider(group.entering[0], list(enumerate(group.runs)), self, 0).columns(inputs)
        differs = values != inputs[..., columns].mT
        changed = differs.any(dim=0) if differs.ndim > 2 else differs
        runs, examples = changed.nonzero(as_tuple=True)
        output = untouched.unsqueeze(lead).repeat_interleave(len(group.runs), dim=lead)
        if len(runs):
            rows = (examples, columns[runs], values[..., runs, examples])
            output[(slice(None),) * lead + (runs, examples)] = self._forward(
                inputs, group.start, 0, changed=rows
            )
        return output

    def _entering(self, group: Group, first: int) -> Tensor:
        """What enters the layer at which the group starts, every run with its own edits of it."""
        x, place = self.clean.entering[group.start], self.clean.example_axis(group.start)
        if first:
            axis = x.ndim - (1 if group.start == BEFORE else 2)
            x = x.narrow(axis, first, x.shape[axis] - first)
        shape = (*x.shape[:place], len(group.runs), *x.shape[place:])
        x = x.unsqueeze(place).expand(shape).contiguous().flatten(place, place + 1)
        for hook in group.entering:
            x = _Rider(hook, list(enumerate(group.runs)), self, first).ridden(x, own=len(group.runs) > 1)
        return x

    def _forward(
        self,
        x: Tensor,
        start: int,
        first: int,
        *,
        stop: int | None = None,
        changed: tuple[Tensor, ...] | None = None,
    ) -> Tensor:
        more: dict[str, Any] = {} if start == BEFORE else {"start_at_layer": start}
        if first:
            more |= {"first_pos": first, "past": self.clean.past}
        if stop is not None:
            more["stop_at_layer"] = stop
        elif self.at is not None and self.abilities.logits:
            more["at"] = self.at
        if changed is not None:
            more["changed"] = changed
        output: Tensor = self.model(x, **more)
        return output


class _Rider:
    """The edits at one hook of some runs of a batch, by their place in it."""

    def __init__(self, hook: str, runs: Sequence[tuple[int, Run]], passing: Passing, first: int) -> None:
        self.hook, self.passed, self.first, self.at = hook, passing.clean.passed[hook], first, passing.at
        self.share, self.lengths = passing.clean.share, passing.clean.lengths(hook)
        self.edits = [(place, list(run.at(hook))) for place, run in runs]
        self.fired = False

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise Refused(f"What passes hook {self.hook!r} is a {type(output).__name__}, not a tensor.")
        self.fired = True
        return self.ridden(output)

    def columns(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Which column of an untouched tensor each run changes, and what is there then, `[*seed, run, example]`."""
        chosen = [site.positions[site.axes[-1]][0] for _, ((_, site),) in self.edits]
        values = tensor.new_empty(*tensor.shape[:-2], len(chosen), tensor.shape[-2])
        for column, (run, ((edit, site),)) in zip(chosen, self.edits, strict=True):
            alone = len(site.positions) == 1 and not site.by_example
            window = {} if self.share.whole else {"example": self.share.examples}
            part, along = tensor, column
            if local(edit.change, site.axes[-1]):
                part, along = tensor.narrow(-1, column, 1), 0
                window = {**window, site.axes[-1]: slice(column, column + 1)}
            site = replace(site, lengths=self.lengths, window=window) if window else site
            values[..., run, :] = (edit.changed if alone else edit.apply)(part, site)[..., along]
        return torch.tensor(chosen, device=tensor.device), values

    def ridden(self, tensor: Tensor, *, own: bool = False) -> Tensor:
        """The tensor with the edits of each run made in its share of the examples; `own`: it may be written into."""
        place = self.passed.axes.index("example")
        window = window_of(self.passed, tensor, first=self.first, at=self.at)
        if not self.share.whole:
            window = {**window, "example": self.share.examples}
        examples = self.share.examples
        changed = parted(tensor, place, tensor.shape[place] // (examples.stop - examples.start))
        changed = changed if own else changed.clone()
        for run, edits in self.edits:
            share = changed.select(place, run)
            for edit, site in edits:
                edit.write(share, replace(site, lengths=self.lengths, window=window) if window else site)
        return changed.flatten(place, place + 1)

    def check_fired(self) -> None:
        if not self.fired:
            raise Refused(
                f"The edit at {self.hook!r} did not fire, though the network ran: it did not pass that hook."
            )


def parted(tensor: Tensor, place: int, runs: int) -> Tensor:
    """The example axis at `place` as two: run, example."""
    return tensor.reshape(*tensor.shape[:place], runs, -1, *tensor.shape[place + 1 :])


def window_of(passed: Passed, tensor: Tensor, *, first: int, at: int | None) -> Window:
    """Which positions of the whole a tensor of a pass shows: all, those from `first` on, or `at` alone."""
    for place, axis in enumerate(passed.axes):
        length, whole = tensor.shape[place], passed.tensor.shape[place]
        if axis not in POSITION_AXES or length == whole:
            continue
        if length == whole - first:
            return {axis: slice(first, whole)}
        if length == 1 and at is not None:
            return {axis: slice(at, at + 1)}
        raise Refused(
            f"{length} positions passed {axis!r} of a hook that has {whole}; a part from {first} was meant."
        )
    return {}
