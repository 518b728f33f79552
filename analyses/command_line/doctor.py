"""`interp doctor`: is everything here that the laboratory needs, and is it what it takes it for?

Each check gives findings: `ok`, `note` (nothing is wrong, but good to know) or `wrong`, with what to do. One `wrong`
makes the exit code 4. The checks import as little as they can, so that they can also tell why an import fails.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from analyses.command_line.environment import OFF, ON, VARIABLES
from analyses.command_line.options import Shared, parse
from analyses.command_line.output import show, show_json, table

if TYPE_CHECKING:
    from models.data.fetch import DataFile

HOME = Path(__file__).parents[2]
FLOORS = ("interp", "models", "analyses")
STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


@dataclass(frozen=True)
class Finding:
    """What one check found; `detail` says what to do where something is to be done."""

    status: Literal["ok", "note", "wrong"]
    what: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Shared):
    """What is installed, where data are found, what is missing and where it comes from (exit 4: something is wrong)."""


def doctor(arguments: Sequence[str], _questions: Path) -> int:
    """Runs every check and prints what they found."""
    options = parse(DoctorOptions, arguments, command="doctor")
    findings = [finding for check in CHECKS for finding in _safely(check)]
    healthy = all(finding.status != "wrong" for finding in findings)
    if options.json:
        show_json({"healthy": healthy, "findings": [asdict(finding) for finding in findings]})
    else:
        rows: list[list[str | Text]] = [
            [Text(f.status, style=STYLES[f.status]), f.what, f.detail] for f in findings
        ]
        show(table("interp doctor", ("", "what", "found"), rows))
        show("All is well." if healthy else "Something is wrong: see above.")
    return 0 if healthy else 4


def _safely(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """A check that fails is itself a finding."""
    try:
        return list(check())
    except Exception as error:
        return [Finding("wrong", check.__name__, f"{type(error).__name__}: {error}")]


def versions() -> Iterator[Finding]:
    """Python and every library against the ranges that the package declares."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    python, libraries = _declared()
    yield _in_range("Python", ".".join(map(str, sys.version_info[:3])), SpecifierSet(python))
    for line in libraries:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield _in_range(wanted.name, _installed(wanted.name), wanted.specifier)


def _declared() -> tuple[str, list[str]]:
    """Ranges of Python and of libraries: of the checkout this file lies in, else those it was installed with."""
    checkout = HOME / "pyproject.toml"
    if checkout.is_file():
        project = tomllib.loads(checkout.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "interp-lab":
            return project["requires-python"], project["dependencies"]
    return metadata.metadata("interp-lab")["Requires-Python"], metadata.requires("interp-lab") or []


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _in_range(name: str, found: str | None, allowed: object) -> Finding:
    if found is None:
        return Finding("wrong", name, f"is missing; needed is {name}{allowed}: pip install '{name}{allowed}'")
    if found not in allowed:  # type: ignore[operator]
        return Finding("wrong", name, f"is {found}; needed is {allowed}: pip install '{name}{allowed}'")
    return Finding("ok", name, f"{found} ({allowed})" if str(allowed) else found)


def shadows() -> Iterator[Finding]:
    """Files that stand where Python would look before it finds ours."""
    for floor in FLOORS:
        spec = find_spec(floor)
        origin = Path(spec.origin) if spec is not None and spec.origin else None
        if origin != HOME / floor / "__init__.py":
            yield Finding("wrong", floor, f"is imported from {origin}, not {HOME / floor}: rename that one")
    places = {
        Path(place or ".").resolve() for place in ("", *os.environ.get("PYTHONPATH", "").split(os.pathsep))
    }
    for place in sorted(places - {HOME}):
        for floor in FLOORS:
            for stray in (place / f"{floor}.py", place / floor / "__init__.py"):
                if stray.exists():
                    detail = f"shadows our {floor!r} for programs started in that folder: rename it"
                    yield Finding("wrong", str(stray), detail)


def computing() -> Iterator[Finding]:
    """torch's threads and GPU."""
    import torch

    cores = os.cpu_count() or 1
    yield Finding(
        "ok", "threads", f"torch would use {torch.get_num_threads()} of {cores} cores; interp uses 1"
    )
    if torch.cuda.is_available():
        yield Finding("ok", "GPU", torch.cuda.get_device_name(0))
    else:
        yield Finding("note", "GPU", "none that torch can use: everything runs on the processor")


def data() -> Iterator[Finding]:
    """Which published files are here and whole, and where the missing ones may come from."""
    from models.data.fetch import DataFile

    yield Finding("ok", "digits", "come with scikit-learn")
    files = [
        value for value in vars(import_module("models.data.mnist")).values() if isinstance(value, DataFile)
    ]
    for folder in dict.fromkeys(Path(file.path).parent.name for file in files):
        yield from _data_folder(folder, [file for file in files if Path(file.path).parent.name == folder])


def _data_folder(name: str, files: Sequence[DataFile]) -> Iterator[Finding]:
    """The files of one data set, told together."""
    from models.data.fetch import cache_folder, find
    from models.refusals import BadFile

    here, missing = [], []
    for file in files:
        try:
            found = find(file)
        except BadFile as error:
            yield Finding("wrong", file.path, str(error))
            continue
        if found is None:
            missing.append(file)
        else:
            here.append(found)
    if here:
        yield Finding("ok", name, f"{len(here)} of {len(files)} files in {here[0].parent}")
    if missing:
        looked = " or ".join(filter(None, (os.environ.get("INTERP_DATA_DIR"), str(cache_folder()))))
        homes = " or ".join(url.rpartition("/")[0] + "/" for url in missing[0].urls)
        yield Finding(
            "note",
            name,
            f"not in {looked}: {', '.join(file.path for file in missing)}. They come from {homes}: save "
            "them under these names in INTERP_DATA_DIR. What an analysis cannot do without is downloaded when needed",
        )


def cache() -> Iterator[Finding]:
    """How large the cache is, and whether it can be written."""
    from models.data.fetch import cache_folder

    folder = cache_folder()
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        detail = f"{nearest} cannot be written to: let INTERP_CACHE_DIR name a folder that can"
        yield Finding("wrong", "cache", detail)
        return
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    networks = len(list(folder.glob("trained/*/seed-*")))
    yield Finding("ok", "cache", f"{folder}: {sum(sizes) / 1e6:,.1f} MB, {networks:,} trained networks")


def environment() -> Iterator[Finding]:
    """Variables with values that mean nothing, and names that look like one of ours."""
    from interp.refusals import unknown

    allowed = {name for name in VARIABLES if name.startswith("INTERP_")} | {"INTERP_REQUIRE_DATA"}
    for name in sorted(name for name in os.environ if name.startswith("INTERP_")):
        if name not in allowed:
            yield Finding("wrong", name, f"does nothing. {unknown('variable', name, sorted(allowed))}")
    for name in ("INTERP_DATA_DIR", "INTERP_CACHE_DIR", "INTERP_RUNS_DIR"):
        value = os.environ.get(name)
        if value and Path(value).exists() and not Path(value).is_dir():
            yield Finding("wrong", name, f"names {value}, which is a file: name a folder")
        elif value and name == "INTERP_DATA_DIR" and not Path(value).exists():
            yield Finding("wrong", name, f"names {value}, which does not exist: correct it, or unset it")
    offline = os.environ.get("INTERP_OFFLINE", "")
    if offline.strip().lower() not in (*OFF, *ON):
        yield Finding("wrong", "INTERP_OFFLINE", f"is {offline!r} and taken for yes: give 1 or 0")
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and not epoch.isdigit():
        yield Finding("wrong", "SOURCE_DATE_EPOCH", f"is {epoch!r}: give whole seconds since 1970")


CHECKS = (versions, shadows, computing, data, cache, environment)
