"""`interp run` answers a question; `interp verify` runs a report's analysis again and compares.

The flags of `run` are its own and the fields of the question's Config. A flag beats the file given with --config, the
file beats --quick, --quick beats the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, make_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import tyro

import interp
from analyses.command_line.environment import one_thread, runs_folder
from analyses.command_line.options import Shared, Switch, optional, parse, positional
from analyses.command_line.output import say, show, show_json, table
from analyses.command_line.questions import Analysis, analysis, config_of, questions
from analyses.command_line.reports import check_place, show_report
from interp.refusals import BadFile, Refused


@dataclass(frozen=True, kw_only=True)
class RunOptions(Shared):
    """How the question is answered, and where the report goes."""

    quick: Switch = False
    """start from the question's quick settings"""
    config: Annotated[Path | None, optional("FILE", "none", "-c")] = None
    """a .json or .toml file with settings"""
    out: Annotated[Path | None, optional("DIR", "runs/QUESTION", "-o")] = None
    """folder for the report"""
    force: Switch = False
    """replace another question's report in that folder"""
    dry_run: Switch = False
    """print the settings, and run nothing"""


def run(arguments: Sequence[str], folder: Path) -> int:
    """Answers a question and writes the report."""
    found = questions(folder)
    name, rest = _question(list(arguments), found)
    if not name:
        parse(RunOptions, ["--help"], command="run QUESTION", about=_overview(found))
    asked = analysis(name, folder)
    options, config = _parsed(asked, rest)
    out = options.out or runs_folder() / name
    if options.dry_run:
        show_json({"question": name, "config": asdict(config), "out": str(out)})
        return 0
    check_place(out, name, force=options.force)
    one_thread()
    report = asked.answer(config)
    interp.write(report, out)
    show_report(report, out, as_json=options.json)
    return 0


def _question(arguments: list[str], found: Mapping[str, str]) -> tuple[str, list[str]]:
    """The question among the arguments, and the others; no question only beside --help.

    A mistyped one is taken to be the first word that is neither a flag nor, right after a flag, perhaps its value.
    """
    pairs = list(pairwise(["", *arguments]))
    words = [word for _, word in pairs if not word.startswith("-")]
    free = [word for before, word in pairs if not before.startswith("-") and not word.startswith("-")]
    known = [word for word in words if word.replace("-", "_") in found]
    word = next(iter([*known, *free, *words]), None)
    if word is not None:
        arguments.remove(word)
        return word.replace("-", "_"), arguments
    if not {"-h", "--help"} & set(arguments):
        raise Refused(f"Which question? One of: {', '.join(found)}.")
    return "", arguments


def _overview(found: Mapping[str, str]) -> str:
    listed = "\n".join(f"{name}: {question}" for name, question in found.items())
    return f"Answers a question; interp run QUESTION --help shows its settings, too.\n\n{listed}"


def _parsed(asked: Analysis, rest: list[str]) -> tuple[RunOptions, Any]:
    """The run's options and the question's config, read from one command line."""
    start = asked.config().quick() if "--quick" in rest else asked.config()
    if file := _value_of(rest, "--config", "-c"):
        start = config_of(asked.config, _settings(Path(file)), start=start)
    both = make_dataclass("Run", [("run", RunOptions), ("question", asked.config)], frozen=True)
    command = f"run {asked.name}"
    parsed: Any = parse(both, rest, command=command, default=both(RunOptions(), start), about=asked.question)
    return parsed.run, parsed.question


def _value_of(arguments: Sequence[str], *flags: str) -> str:
    """What was given for a flag, read before the others are known."""
    for word, following in pairwise([*arguments, ""]):
        if word in flags:
            return following
        if word.startswith(tuple(f"{flag}=" for flag in flags)):
            return word.partition("=")[2]
    return ""


def _settings(file: Path) -> Mapping[str, Any]:
    import json
    import tomllib

    try:
        text = file.read_text(encoding="utf-8")
        given = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise BadFile(f"{file} cannot be read as settings: {error}") from error
    if not isinstance(given, dict):
        raise BadFile(
            f"{file} holds no settings: a .json object or a .toml file of names and values is needed."
        )
    return given


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(Shared):
    """Runs a report's analysis again, with its settings, and says which figures hold (exit 4 when one does not).

    Trained networks are taken from the cache where they are there.
    """

    report: Annotated[Path, tyro.conf.Positional, positional("REPORT")]
    """the report's folder"""
    tolerance: float = 1e-6
    """how far a number may differ, relative or absolute"""


def verify(arguments: Sequence[str], folder: Path) -> int:
    """Compares a report with what its analysis says today."""
    options = parse(VerifyOptions, arguments, command="verify")
    record = interp.read_report(options.report)
    asked = _analysis_of(record, options.report, folder)
    config = _config_of(record, asked, options.report)
    one_thread()
    report = asked.answer(config)
    for change in _changes(record["provenance"], report.provenance):
        say(change, quiet=options.quiet)
    compared = interp.compare(record, report, tolerance=options.tolerance)
    rows: list[Mapping[str, Any]] = [dict(row) for _, row in compared.iterrows()]
    holds = all(row["holds"] for row in rows)
    if options.json:
        show_json({"report": str(options.report), "holds": holds, "figures": rows})
    else:
        _show_comparison(rows, options.report)
    return 0 if holds else 4


def _analysis_of(record: Mapping[str, Any], report: Path, folder: Path) -> Analysis:
    from analyses.command_line.probe import PROBE

    name = record["analysis"]
    try:
        return PROBE if name == PROBE.name else analysis(name, folder)
    except Refused as error:
        raise BadFile(f"{report} cannot be run again. {error}") from error


def _config_of(record: Mapping[str, Any], asked: Analysis, report: Path) -> Any:
    given = record["provenance"].get("config")
    names = {field.name for field in fields(asked.config)}
    if not isinstance(given, dict) or set(given) != names:
        raise BadFile(
            f"{report} was written by another version of {asked.name}: its settings are not "
            f"{', '.join(sorted(names))}. Run the question again."
        )
    try:
        return config_of(asked.config, given)
    except Refused as error:
        raise BadFile(f"{report} holds settings that are not possible. {error}") from error


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs in data and versions, which may be why a figure does not hold."""
    return [
        f"{kind} {name} was {before.get(kind, {}).get(name)}, now {value}"
        for kind in ("data", "versions")
        for name, value in dict(now.get(kind, {})).items()
        if before.get(kind, {}).get(name) != value
    ]


def _show_comparison(rows: Sequence[Mapping[str, Any]], report: Path) -> None:
    where = dict.fromkeys(str(row["where"]) for row in rows)
    counts = [
        [
            f"{sum(row['holds'] for row in rows if row['where'] == place)} of "
            f"{sum(row['where'] == place for row in rows)}",
            place,
        ]
        for place in where
    ]
    show(table(f"{report}: figures that hold", ("hold", "where"), counts, right=["hold"]))
    broken = [row for row in rows if not row["holds"]]
    if broken:
        cells = [[str(row[key]) for key in ("figure", "recorded", "now", "where")] for row in broken]
        show(table("Figures that do not hold", ("figure", "recorded", "now", "where"), cells))
    else:
        show("Every figure holds.")
