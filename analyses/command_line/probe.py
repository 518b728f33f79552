"""`interp probe`: where in a trained network can a label be read?

Linear probes are fitted to each hook on the `probe` split and judged on the `test` split, for every seed, beside the
same probes on an untrained network of the same shape and seeds, on the raw input, on shuffled labels and on a random
label per type of input (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644; Hewitt and Liang 2019,
https://arxiv.org/abs/1909.03368). Three claims a hook: training makes the label easier to decode there, it is easier to
decode than from the input, and the probe reads the label rather than what inputs look like. It is built like an
analysis, so that `interp verify` runs it again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

import interp
import models
from analyses.command_line.capture import given_hooks
from analyses.command_line.environment import one_thread, runs_folder
from analyses.command_line.options import Globs, RunFolder, Shared, Switch, optional, parse
from analyses.command_line.output import table
from analyses.command_line.questions import Analysis
from analyses.command_line.reports import check_place, show_report
from analyses.command_line.run_folder import opened_run
from interp.reporting.wording import number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(Shared):
    """Where a label can be read in a trained network, with controls, intervals over seeds and verdicts."""

    run: RunFolder
    """folder that `interp train` wrote"""
    hooks: Globs
    """hook names or patterns, as 'layers.*.hook_post'; `interp hooks RUN` lists the names"""
    label: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """what to read: a column of the data set's examples, as digit"""
    data: Annotated[str | None, optional("NAME", "what the network was trained on")] = None
    """data set"""
    probe: Literal["ridge", "logistic"] = "ridge"
    """kind of linear probe"""
    at: Annotated[str, tyro.conf.arg(metavar="POSITION")] = "answer_pos"
    """of sequences, where they are read: a position, or a column of the examples, as subject_last"""
    out: Annotated[Path | None, optional("DIR", "runs/RUN-probe-LABEL", "-o")] = None
    """folder for the report"""
    force: Switch = False
    """replace another question's report in that folder"""


@dataclass(frozen=True)
class Config:
    """What `interp probe` was asked; `run` as it was given, seen from the folder in which the command was typed."""

    run: str
    hooks: tuple[str, ...]
    label: str
    data: str | None = None
    probe: Literal["ridge", "logistic"] = "ridge"
    at: str | int = "answer_pos"


def probe(arguments: Sequence[str], _questions: Path) -> int:
    """Probes, prints the figures and the claims, and writes the report."""
    options = parse(ProbeOptions, arguments, command="probe")
    hooks = given_hooks(options.hooks, options.run)
    out = options.out or runs_folder() / f"{options.run.resolve().name}-probe-{options.label}"
    check_place(out, PROBE.name, force=options.force)
    one_thread()
    at = int(options.at) if options.at.lstrip("-").isdigit() else options.at
    report = answer(Config(str(options.run), hooks, options.label, options.data, options.probe, at))
    interp.write(report, out)
    figures = _shown(report.tables["probes"], title=f"Test accuracy of a linear probe for {options.label!r}")
    show_report(report, out, as_json=options.json, first=[figures])
    return 0


def answer(config: Config) -> interp.Report:
    """Loads the run, probes every hook beside its controls, judges."""
    begun = time.monotonic()
    recipe, trained = opened_run(Path(config.run))
    data, model = models.run_data(config.run, recipe, config.data), trained.model
    nothing_held_out = not data.split_counts()["test"]
    data = models.halves_by_subject(data) if nothing_held_out else data
    untrained = type(model)(model.config, seeds=model.every_seed).to(device=model.device, dtype=model.dtype)
    decoding = interp.decode(
        model,
        data,
        config.hooks,
        label=config.label,
        untrained=untrained,
        probe=config.probe,
        at=config.at,
    )
    enough = len(model.every_seed) > 1
    return interp.Report(
        question=f"Where in the network can {config.label!r} be read?",
        analysis=PROBE.name,
        config=config,
        claims=interp.judge(interp.decodability(decoding)) if enough else [],
        tables={"probes": _table(decoding), "every_seed": decoding.to_dataframe()},
        figures={"probes": _figure(decoding, config.label)} if enough else {},
        notes=_notes(config, data, enough=enough, nothing_held_out=nothing_held_out),
        provenance=interp.gather(
            seeds=model.every_seed,
            data={data.name: data.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def _hooks(decoding: interp.Decoding) -> list[str]:
    return [str(hook) for hook in decoding.accuracy["hook"].to_numpy()]


def _table(decoding: interp.Decoding) -> pd.DataFrame:
    """One row a hook and condition: mean over seeds, its interval (none for one seed), and the selectivity."""
    import pandas as pd

    measured = {
        (hook, name): values
        for hook in _hooks(decoding)
        for name, values in [
            *((condition, decoding.under(hook, condition)) for condition in interp.CONDITIONS),
            ("selectivity", decoding.selectivity(hook)),
        ]
    }
    rows = [(hook, name, *_over_seeds(values)) for (hook, name), values in measured.items()]
    frame = pd.DataFrame(rows, columns=["hook", "figure", "mean", "low", "high"])
    frame = frame.astype({"low": "Float64", "high": "Float64"})
    frame.attrs["caption"] = (
        "Test accuracy of the probes, and selectivity (accuracy less that on a random label per type): mean over seeds "
        "with its interval"
    )
    return frame


def _over_seeds(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    if len(values) == 1:
        return values[0], None, None
    over_seeds = interp.measured(values)
    return over_seeds.estimate, *over_seeds.interval


def _figure(decoding: interp.Decoding, label: str) -> Any:
    spots = [
        interp.Spot.over_seeds(hook, name, decoding.under(hook, name))
        for name in interp.CONDITIONS
        for hook in _hooks(decoding)
    ]
    caption = (
        f"How well {label} can be read at each hook, and what the probe reaches where nothing should be found. "
        "Intervals over seeds."
    )
    return interp.interval_plot(spots, measure="test accuracy of the probe", caption=caption)


def _notes(config: Config, data: models.Dataset, *, enough: bool, nothing_held_out: bool) -> list[str]:
    said = [
        f"The probe is a {config.probe} probe with standardised features.",
        "That a label can be read at a hook does not say that the network uses it.",
    ]
    if data.mask is not None:
        said.append(f"Sequences are read at {config.at!r}; the raw input is which token stands where.")
    if nothing_held_out:
        said.append(
            f"Nothing of {data.name!r} is held out: probes are fitted on half of the subjects and judged on the other "
            "half, and the network was trained on all of them."
        )
    alone = "The run has one seed: no interval and no verdict. Train more, for example with --seeds 8."
    return said if enough else [alone, *said]


def _shown(frame: pd.DataFrame, *, title: str) -> Any:
    """The table with a row for each hook and a column for each figure."""
    figures = [*interp.CONDITIONS, "selectivity"]
    cells = {(row["hook"], row["figure"]): _cell(row) for _, row in frame.iterrows()}
    rows = [[hook, *(cells[hook, name] for name in figures)] for hook in dict.fromkeys(frame["hook"])]
    return table(title, ("hook", *figures), rows, right=figures)


def _cell(row: pd.Series[Any]) -> str:
    mean = number(row["mean"], 3)
    point = row.isna().any() or row["low"] == row["high"]
    return mean if point else f"{mean}\n[{number(row['low'], 3)}, {number(row['high'], 3)}]"


PROBE = Analysis("probe", "Where in the network can a label be read?", Config, answer)
