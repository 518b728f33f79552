"""`interp train`: a recipe's network, trained for many seeds at once, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

import interp
import models
from analyses.command_line.environment import one_thread, runs_folder
from analyses.command_line.options import Shared, Switch, optional, parse, positional
from analyses.command_line.output import say, show, show_json, table
from analyses.command_line.reports import check_writable
from models.refusals import Refused, unknown

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("known", "held_out_paraphrase", "held_out_fact", "test_accuracy", "test_loss")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Shared):
    """Trains a recipe's network for many seeds at once. `interp list` names the recipes."""

    recipe: Annotated[str, tyro.conf.Positional, positional("RECIPE")]
    """the recipe"""
    seeds: int = 8
    """how many networks: seeds 0, 1, 2, …"""
    data: Annotated[str | None, optional("NAME", "the recipe's")] = None
    """train on this data set; the network's first and last layer are made to fit"""
    out: Annotated[Path | None, optional("DIR", "runs/RECIPE", "-o")] = None
    """folder for the run"""
    resume: Switch = False
    """go on where a run in that folder was cut off"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to compute; auto is the GPU where there is one"""
    epochs: Annotated[int | None, optional("INT", "the recipe's")] = None
    """times through the training examples"""
    rate: Annotated[float | None, optional("FLOAT", "the recipe's")] = None
    """learning rate"""
    batch_size: Annotated[int | None, optional("INT", "the recipe's")] = None
    """examples in a step"""
    dry_run: Switch = False
    """print the recipe with these changes, and train nothing"""


def train(arguments: Sequence[str], _questions: Path) -> int:
    """Trains, and prints what each seed reached."""
    options = parse(TrainOptions, arguments, command="train")
    recipe = _changed(options)
    out = options.out or runs_folder() / recipe.name
    if options.dry_run:
        show_json({"recipe": asdict(recipe), "seeds": options.seeds, "out": str(out)})
        return 0
    check_writable(out)
    one_thread()
    try:
        done = models.train(
            recipe, seeds=options.seeds, folder=out, resume=options.resume, device=options.device
        )
    except KeyboardInterrupt:
        say(f"stopped; go on with the same command and --resume (the run is in {out})", quiet=options.quiet)
        raise
    for gone in done.divergences:
        say(
            f"seed {gone.seed} diverged at step {gone.step} (rate {gone.rate:g}); try a lower --rate",
            quiet=False,
        )
    reached = _reached(done.metrics)
    if options.json:
        diverged = [gone._asdict() for gone in done.divergences]
        show_json({"run": str(out), "recipe": recipe.name, "seeds": reached, "diverged": diverged})
    else:
        show(_table(recipe, reached), f"Run: {out}   (interp hooks {out} shows what can be looked at)")
    return 0


def _changed(options: TrainOptions) -> models.Recipe:
    """The recipe with what the flags change."""
    recipe = models.recipe(options.recipe)
    if options.data is not None and options.data != recipe.data:
        recipe = _on(recipe, options.data)
    changes = {name: getattr(options, name) for name in ("epochs", "rate", "batch_size")}
    return recipe.but(**{name: value for name, value in changes.items() if value is not None})


def _on(recipe: models.Recipe, data: str) -> models.Recipe:
    """The recipe on another data set, with as many inputs and outputs as that has."""
    if data not in models.CATALOGUE:
        raise unknown("data set", data, models.CATALOGUE)
    entry = models.CATALOGUE[data]
    if entry.reads != recipe.network.reads:
        fitting = [name for name, other in models.RECIPES.items() if other.network.reads == entry.reads]
        raise Refused(
            f"The network of {recipe.name!r} reads {recipe.network.reads}, and {data!r} holds {entry.reads}. Recipes "
            f"for it: {', '.join(fitting)}."
        )
    return recipe.on(data, inputs=entry.width, outputs=entry.outputs)


def _reached(metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """The last row of every seed that did not diverge, as far as it is known."""
    known = [name for name in ("epoch", "train_loss", *MEASURES) if name in metrics]
    diverged = metrics["diverged"].eq(True) if "diverged" in metrics else metrics["seed"].lt(0)
    last = (
        metrics[~metrics["seed"].isin(metrics.loc[diverged, "seed"])]
        .groupby("seed")[known]
        .last()
        .reset_index()
    )
    rows = last.to_dict("records")
    return [{str(key): value for key, value in row.items() if value == value} for row in rows]


def _table(recipe: models.Recipe, reached: Sequence[dict[str, Any]]) -> Any:
    measures = [name for name in MEASURES if all(name in row for row in reached)]
    rows = [
        [str(row["seed"]), str(row["epoch"]), *(f"{row[name]:.4f}" for name in measures)] for row in reached
    ]
    if len(reached) > 1:
        means = [interp.measured([row[name] for row in reached]) for name in measures]
        rows.append(
            ["mean", "", *(f"{m.estimate:.4f} [{m.interval[0]:.4f}, {m.interval[1]:.4f}]" for m in means)]
        )
    columns = ("seed", "epochs", *(name.replace("_", " ") for name in measures))
    about = recipe.about
    if recipe.data != models.recipe(recipe.name).data:
        about += f"; here the first and last layer are made to fit {recipe.data}"
    return table(f"{recipe.name} on {recipe.data}: {about}", columns, rows, right=columns)
