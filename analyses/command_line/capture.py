"""`interp hooks` shows what can be looked at in a trained network, `interp capture` writes it to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

import interp
import models
from analyses.command_line.environment import one_thread
from analyses.command_line.options import Globs, RunFolder, Shared, optional, parse
from analyses.command_line.output import show, show_json, table
from analyses.command_line.run_folder import opened_run
from interp.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERY = "**"
PATTERNS = "In patterns * stands for anything but a dot, ** for anything: '**' is every hook."


@dataclass(frozen=True, kw_only=True)
class HooksOptions(Shared):
    """Every hook point of a trained network, in its order, with axes and shape."""

    run: RunFolder
    """folder that `interp train` wrote"""


def hooks(arguments: Sequence[str], _questions: Path) -> int:
    """Prints every hook point of a run's network."""
    options = parse(HooksOptions, arguments, command="hooks")
    one_thread()
    recipe, trained = opened_run(options.run)
    found = hook_shapes(trained.model)
    if options.json:
        show_json({"run": str(options.run), "seeds": list(trained.model.every_seed), "hooks": found})
        return 0
    rows = [[hook["hook"], _axes(hook), _shape(hook), "no" if hook["read_only"] else "yes"] for hook in found]
    title = f"{options.run}: {recipe.name}, {len(trained.model.every_seed)} seeds (n examples)"
    show(table(title, ("hook", "axes", "shape", "can be edited"), rows), PATTERNS)
    return 0


def hook_shapes(model: models.HookedModel) -> list[dict[str, Any]]:
    """Name, axes, shape (None: as many as there are examples) and whether it may be edited, of every hook point."""
    seen = interp.capture(model, model.example_input(), EVERY)
    return [
        {
            "hook": name,
            "axes": list(seen.axes(name)),
            "shape": [None if axis == "example" else size for axis, size in seen[name].sizes.items()],
            "dtype": str(seen[name].dtype),
            "read_only": bool(getattr(model.hook_dict[name], "read_only", False)),
        }
        for name in seen
    ]


def _axes(hook: Mapping[str, Any]) -> str:
    return f"[{', '.join(hook['axes'])}]"


def _shape(hook: Mapping[str, Any]) -> str:
    return " × ".join("n" if size is None else f"{size:,}" for size in hook["shape"])


@dataclass(frozen=True, kw_only=True)
class CaptureOptions(Shared):
    """Runs a trained network over data once, and writes what passes its hook points to a folder."""

    run: RunFolder
    """folder that `interp train` wrote"""
    hooks: Globs
    """hook names or patterns, as 'layers.*.hook_post' (* stops at a dot, ** does not: '**' is every hook); `interp
    hooks RUN` lists the names"""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR", aliases=["-o"])]
    """new folder for the activations"""
    data: Annotated[str | None, optional("NAME", "what the network was trained on")] = None
    """data set"""
    split: Annotated[
        Literal["network", "probe", "test", "all"] | None,
        optional("SPLIT", "test; all where nothing is held out"),
    ] = None
    """which part of it: network, probe, test or all"""
    dtype: Annotated[
        Literal["float16", "bfloat16", "float32", "float64"] | None, optional("DTYPE", "the network's")
    ] = None
    """how numbers are kept: float16, bfloat16, float32 or float64"""
    batch_size: int = 256
    """examples at once"""
    limit: Annotated[int | None, optional("N", "all")] = None
    """only the first N examples"""


def capture(arguments: Sequence[str], _questions: Path) -> int:
    """Writes activations, and prints what was written."""
    options = parse(CaptureOptions, arguments, command="capture")
    patterns = given_hooks(options.hooks, options.run)
    one_thread()
    recipe, trained = opened_run(options.run)
    examples = _examples(models.run_data(options.run, recipe, options.data), options)
    seen = interp.capture(
        trained.model,
        examples,
        patterns,
        to=options.out,
        dtype=options.dtype,
        batch_size=options.batch_size,
    )
    found = [{"hook": name, "axes": list(seen.axes(name)), "shape": list(seen[name].shape)} for name in seen]
    if options.json:
        show_json({"activations": str(options.out), "bytes": seen.nbytes, "hooks": found})
        return 0
    rows = [[str(hook["hook"]), _axes(hook), _shape(hook)] for hook in found]
    title = f"{options.out}: {len(examples):,} examples of {examples.name}, {seen.nbytes / 1e6:,.1f} MB"
    opened = f'Read them in Python: interp.open_activations("{options.out}")'
    show(table(title, ("hook", "axes", "shape"), rows), opened)
    return 0


def given_hooks(globs: tuple[tuple[str, ...], ...], run: Path) -> tuple[str, ...]:
    """All patterns given with --hooks, however often; none is refused."""
    patterns = tuple(pattern for group in globs for pattern in group)
    if not patterns:
        raise Refused(
            f"No hooks were given: add --hooks with names or patterns; `interp hooks {run}` lists the names."
        )
    return patterns


def _examples(data: models.Dataset, options: CaptureOptions) -> models.Dataset:
    split = options.split or ("test" if data.split_counts()["test"] else "all")
    part: models.Dataset = data if split == "all" else getattr(data, split)
    if options.limit is None:
        return part
    if options.limit < 1:
        raise Refused(f"--limit is at least 1; given {options.limit}.")
    return part.subset(range(min(options.limit, len(part))))
