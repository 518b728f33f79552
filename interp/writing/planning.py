"""Which edits of a sweep ride together, from which layer and from which position on.

Runs that start at the same layer and act at the same hooks can share a pass. Where positions before the first edited
one are known from the untouched pass, a pass begins there; a pass of many runs begins at the smallest of theirs. How
the runs of a group are best parted into passes is a shortest path: a pass costs a fixed amount (the steps between the
kernels) plus its positions, and the cheapest partition of the runs, sorted by position, is found exactly. The fixed
amount is counted in positions, from how many parameters each of them has to meet. Parts that are small enough then ride
in one batch, whatever their layers and hooks: each joins it at the layer where it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from interp.writing.changes import local
from interp.writing.clean import CleanPass
from interp.writing.edits import Edit
from interp.writing.sites import Site

POSITION_AXES = ("pos", "query_pos")
PASS_COSTS_PARAMETERS = 10_000_000
"""What the fixed cost of one layer's pass is worth, in parameters times positions (a processor of today)."""

Edits = tuple[Edit, ...]
Beginning = tuple[int, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Run:
    """One entry of a sweep: its number, its edits, and where each of them acts in the whole tensor at its hook."""

    number: int
    edits: Edits
    sites: tuple[Site, ...]
    first: int
    mixing: bool
    """Whether an edit of it makes of one position what hangs on others."""

    def at(self, hook: str) -> Iterator[tuple[Edit, Site]]:
        """Its edits at a hook, in the order given."""
        return ((edit, site) for edit, site in zip(self.edits, self.sites, strict=True) if edit.hook == hook)


@dataclass(frozen=True)
class Group:
    """Runs that start at one layer and act at the same hooks: `entering` is edited before, `inside` during the pass."""

    start: int
    entering: tuple[str, ...]
    inside: tuple[str, ...]
    runs: tuple[Run, ...]
    columns: bool
    """Whether each run is one edit, of one column of what enters."""
    mixing: bool = False
    """Whether each run's edits have to see all positions."""

    @property
    def first(self) -> int:
        """The first position that any of them changes."""
        return min(run.first for run in self.runs)


@dataclass(frozen=True)
class Together:
    """Groups whose runs share a batch, in the order of their starts: each joins it at the layer where it starts."""

    groups: tuple[Group, ...]

    @property
    def first(self) -> int:
        """The first position that any of their runs changes."""
        return min(group.first for group in self.groups)

    @property
    def mixing(self) -> bool:
        """Whether an edit of any of their runs has to see all positions."""
        return any(group.mixing for group in self.groups)

    @property
    def count(self) -> int:
        """How many runs they have."""
        return sum(len(group.runs) for group in self.groups)

    @property
    def runs(self) -> Iterator[Run]:
        """All runs, in the order of the batch."""
        return chain.from_iterable(group.runs for group in self.groups)

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that are edited while the pass runs."""
        return tuple(dict.fromkeys(hook for group in self.groups for hook in group.inside))

    def inside(self, hook: str) -> Iterator[tuple[int, Run]]:
        """The runs that edit this hook during the pass, each with its place in the batch."""
        editing = (hook in group.inside for group in self.groups for _ in group.runs)
        return (
            (place, run) for place, (run, here) in enumerate(zip(self.runs, editing, strict=True)) if here
        )

    def stages(self) -> Iterator[tuple[tuple[Group, ...], int | None]]:
        """The groups that start at each layer, and the layer at which the next ones join (None: the end)."""
        starts = sorted({group.start for group in self.groups})
        for start, stop in zip(starts, [*starts[1:], None], strict=True):
            yield tuple(group for group in self.groups if group.start == start), stop


def planned(
    clean: CleanPass, asked: Sequence[tuple[int, Edits]], *, latest: int, columns: bool
) -> list[Group]:
    """The runs, grouped by layer and hooks, in the order in which each group is first met.

    `latest`: the last position at which a run may begin (0: all begin there). `columns`: whether runs that change one
    column of what enters are apart.
    Raises `Refused` where an edit does not fit what passes its hook.
    """
    found: dict[tuple[Beginning, bool, bool], list[Run]] = {}
    known: dict[tuple[str, ...], Beginning] = {}
    for number, edits in asked:
        hooks = tuple(edit.hook for edit in edits)
        if hooks not in known:
            known[hooks] = _beginning(clean, hooks)
        run = _run(clean, number, edits, latest)
        of_one = columns and _of_one_column(run, known[hooks][1])
        found.setdefault((known[hooks], of_one, run.mixing), []).append(run)
    return [Group(*where, tuple(runs), of_one, mixing) for (where, of_one, mixing), runs in found.items()]


def _beginning(clean: CleanPass, asked: Sequence[str]) -> Beginning:
    """The layer at which runs with edits at these hooks start, which of the hooks are passed by then, and which not."""
    hooks = sorted(set(asked), key=clean.order.__getitem__)
    start = min(clean.start_of(hook) for hook in hooks)
    entering = tuple(hook for hook in hooks if clean.entered_by(hook) == start)
    return start, entering, tuple(hook for hook in hooks if hook not in entering)


def _of_one_column(run: Run, entering: Sequence[str]) -> bool:
    """Whether a run is one edit of what enters its layer, at one place along the last axis."""
    if len(run.sites) != 1 or not entering:
        return False
    (site,) = run.sites
    return len(site.positions.get(site.axes[-1], ())) == 1


def _run(clean: CleanPass, number: int, edits: Edits, latest: int) -> Run:
    sites = tuple(_site(clean, edit) for edit in edits)
    places = [_first_position(edit, site) for edit, site in zip(edits, sites, strict=True)]
    known = [place for place in places if place is not None]
    mixing = len(known) < len(places)
    return Run(number, edits, sites, 0 if mixing else min(latest, *known), mixing)


def mixes_positions(edit: Edit, axes: Sequence[str]) -> bool:
    """Whether an edit at a hook of these axes has to see all positions."""
    axis = next((axis for axis in POSITION_AXES if axis in axes), None)
    return axis is not None and not local(edit.change, axis)


def _site(clean: CleanPass, edit: Edit) -> Site:
    lengths = clean.lengths(edit.hook)
    return edit.site(tuple(lengths), tuple(lengths.values()), clean.seeds)


def _first_position(edit: Edit, site: Site) -> int | None:
    """The first position that an edit can change; 0 where it does not name its own, None where it mixes them."""
    axis = next((axis for axis in POSITION_AXES if axis in site.axes), None)
    if axis is None:
        return 0
    if not local(edit.change, axis):
        return None
    if axis in site.by_example:
        return int(site.by_example[axis].any(dim=0).nonzero()[0])
    return min(site.positions.get(axis, (0,)))


def passes(group: Group, *, length: int, most: int, pass_cost: float) -> list[Group]:
    """The group's runs in passes of at most `most` runs, parted where that is cheapest; see the module's docstring.

    `length`: positions of a whole run. `pass_cost`: what a pass costs besides, in positions of one run.
    """
    runs = sorted(group.runs, key=lambda run: run.first)
    if sum(run.first - runs[0].first for run in runs) <= pass_cost:
        return [replace(group, runs=tuple(some)) for some in _parted(runs, most)]
    firsts = sorted({run.first for run in runs})
    behind = [0, *(sum(run.first <= first for run in runs) for first in firsts)]
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(firsts) + 1):
        costs = [
            best[begin][0] + pass_cost + (behind[end] - behind[begin]) * (length - firsts[begin])
            for begin in range(end)
        ]
        cheapest = min(range(end), key=costs.__getitem__)
        best.append((costs[cheapest], cheapest))
    parts, end = [], len(firsts)
    while end:
        begin = best[end][1]
        parts.append(runs[behind[begin] : behind[end]])
        end = begin
    return [replace(group, runs=tuple(some)) for part in reversed(parts) for some in _parted(part, most)]


def joined(groups: Sequence[Group], *, most: Callable[[Group], int], pass_cost: float) -> Iterator[Together]:
    """Groups that are cheaper in one pass: few enough runs in all, few positions more than each by itself."""
    waiting: list[Group] = []
    for group in sorted(groups, key=lambda group: (group.columns, group.first, group.start)):
        trial = [*waiting, group]
        count, first = sum(len(one.runs) for one in trial), min(one.first for one in trial)
        more = sum(len(one.runs) * (one.first - first) for one in trial)
        if waiting and (group.columns or count > min(map(most, trial)) or more > pass_cost):
            yield _in_order(waiting)
            trial = [group]
        waiting = trial
    if waiting:
        yield _in_order(waiting)


def _in_order(groups: Sequence[Group]) -> Together:
    return Together(tuple(sorted(groups, key=lambda group: group.start)))


def _parted(runs: Sequence[Run], most: int) -> Iterator[Sequence[Run]]:
    """As equal parts as can be, of at most `most` runs."""
    count = -(-len(runs) // most)
    bounds = [len(runs) * place // count for place in range(count + 1)]
    return (runs[begin:end] for begin, end in pairwise(bounds))
