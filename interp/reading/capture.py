"""Capture: run a network over data once and keep what passes the hook points asked for.

Hooks attach for the call and are gone after it, exceptions included; whatever else is attached to the network
stays and runs first, so a capture inside an edit (or beside a user's own hook) sees the edited values. The
network is in eval mode meanwhile, each module back as it was afterwards; no gradient is recorded. The pass
stops after the last layer asked for, where the network can. After the first batch the size of the whole is
known: what will not fit in memory (or, with `to=`, on the disk) is refused there with the figures.
Activations that hold NaN are kept and a RuntimeWarning says how many: a diverged seed is a finding, a probe
will refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from interp.reading.activations import Activations
from interp.reading.feeding import Feed, LabelledData, feed_of
from interp.reading.keepers import InMemory, Keeper, OnDisk
from interp.reading.points import hook_points, matching, modules_of, seeds_of, stop_after
from interp.reading.recorder import Cursor, Recorder
from interp.refusals import Refused, unknown

DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64")
}


def capture(
    model: nn.Module,
    data: LabelledData | Tensor,
    patterns: str | Sequence[str],
    *,
    batch_size: int | None = None,
    dtype: str | torch.dtype | None = None,
    to: str | Path | None = None,
) -> Activations:
    """What passes the hook points matching `patterns` (see points.py) for every example, as labelled arrays.

    `patterns`: `*` stops at a dot, so "*" is only the hooks without one (hook_embed, hook_logits); "**" is every hook.
    `data`: a tensor `[example, ...]` (`[seed, example, ...]` for inputs of each member of a population), or
    anything with `inputs` and `examples`; its `mask`, where it has one, tells the network where sequences end, and
    what is captured at padded positions means nothing (the `mask` of the result says which these are; means made by
    edits leave them out). `batch_size`: 256 unless given. `dtype`: float16, bfloat16,
    float32 or float64 for floating activations; kept as they are unless given. `to`: a folder that does not exist
    yet; activations go to disk and are read from there where they are used, so they may exceed the memory.

    Raises `Refused` for unknown hooks, hooks that do not fire, fire twice or change shape, and for what will
    not fit.
    """
    points = hook_points(model)
    names = matching(patterns, points)
    feed = feed_of(model, data, batch_size=batch_size, masked=True)
    seeds, kept_as, cursor = seeds_of(model), _dtype(dtype), Cursor()
    recorders = [Recorder(name, points[name], cursor=cursor, seeds=seeds, dtype=kept_as) for name in names]
    keeper = (
        InMemory(recorders, feed, seeds) if to is None else OnDisk(recorders, feed, seeds, folder=Path(to))
    )
    stop = stop_after(model, names)
    forward = model if stop is None else partial(model, stop_at_layer=stop)
    with keeper, attached(recorders), evaluating(model), torch.no_grad():
        _record(forward, feed, cursor, keeper)
    return keeper.result()


def _record(forward: Callable[..., object], feed: Feed, cursor: Cursor, keeper: Keeper) -> None:
    """Every batch through the network; the keeper takes the buffers over whenever they are full."""
    rows, filled, done = 0, 0, 0
    for batch, masked in zip(feed.batches(), feed.masks(), strict=True):
        length = batch.shape[feed.axis]
        cursor.move(filled, length)
        forward(batch, **masked)
        _check_fired(keeper.recorders)
        rows = rows or keeper.plan(length)
        filled, done = filled + length, done + length
        if filled == rows or done == feed.total:
            keeper.keep(filled)
            filled = 0


def _check_fired(recorders: Sequence[Recorder]) -> None:
    if silent := [recorder.name for recorder in recorders if not recorder.fired]:
        raise Refused(
            f"Hook {silent[0]!r} did not fire: the network ran without passing it"
            + (f" (nor {', '.join(silent[1:])})." if silent[1:] else ".")
        )


@contextmanager
def attached(recorders: Sequence[Recorder]) -> Iterator[None]:
    """The recorders as forward hooks of their points, for the length of the block."""
    handles = [recorder.point.register_forward_hook(recorder) for recorder in recorders]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network in eval mode for the length of the block, each module's own mode back afterwards."""
    training = [module for module in modules_of(model) if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _dtype(given: str | torch.dtype | None) -> torch.dtype | None:
    if given is None:
        return None
    name = str(given).removeprefix("torch.")
    if name not in DTYPES:
        raise unknown("dtype for activations", name, DTYPES)
    return DTYPES[name]
