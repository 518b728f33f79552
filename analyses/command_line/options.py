"""Flags: a frozen dataclass is a command's flags, its docstring the help, its types what is allowed (tyro)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

Options = TypeVar("Options")
Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]


def switch(*aliases: str) -> object:
    """How a flag that is on or off shows itself, with short names."""
    return tyro.conf.arg(aliases=list(aliases), help_behavior_hint="")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Flags of every command."""

    json: Switch = False
    """print the result as JSON"""
    quiet: Annotated[bool, switch("-q")] = False
    """no progress and no remarks on stderr, only errors"""
    verbose: Annotated[bool, switch("-v")] = False
    """on an error, show where in the code it came from"""
    no_progress: Switch = False
    """no progress bars"""
    offline: Switch = False
    """download nothing"""


def optional(metavar: str, default: str, *aliases: str) -> object:
    """How a flag without a fixed default shows itself: its metavar, what happens without it, short names."""
    return tyro.conf.arg(metavar=metavar, aliases=list(aliases), help_behavior_hint=f"(default: {default})")


def positional(metavar: str) -> object:
    """How a positional argument shows itself."""
    return tyro.conf.arg(metavar=metavar)


RunFolder = Annotated[Path, tyro.conf.Positional, positional("RUN")]
Globs = Annotated[
    tuple[tuple[str, ...], ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="GLOB …", help_behavior_hint=""),
]


def parse(
    kind: type[Options],
    arguments: Sequence[str],
    *,
    command: str,
    default: Options | None = None,
    about: str | None = None,
) -> Options:
    """The command's flags as its dataclass; tyro prints help, or what is wrong with the nearest flags, and exits."""
    given: dict[str, Any] = {} if default is None else {"default": default}
    parsed: Options = tyro.cli(
        kind,
        prog=f"interp {command}",
        description=about,
        args=list(arguments),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        **given,
    )
    return parsed
