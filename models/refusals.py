"""How this floor says no: what was given, what is allowed, the nearest match, what to do.

The command line turns `Refused` into exit code 2 (usage) and `BadFile` into 3 (missing or corrupt input).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args


class Refused(ValueError):
    """A call that cannot be meant: the message says what was given, what is allowed and what to do."""


class BadFile(OSError):
    """A file that is missing, truncated, altered or foreign: the message names it."""


def unknown(kind: str, given: str, allowed: Iterable[str]) -> Refused:
    """The refusal of a name that does not exist, with the nearest ones that do."""
    names = list(allowed)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    if near:
        hint = "Nearest: " + ", ".join(near) + "."
    else:
        hint = "Allowed: " + (", ".join(names[:20]) or "none") + (", …" if len(names) > 20 else "") + "."
    return Refused(f"There is no {kind} {given!r}. {hint}")


def one_of(kind: str, given: str, literal: Any) -> None:
    """Refuses a value that is not among those of a `typing.Literal`."""
    if given not in get_args(literal):
        raise unknown(kind, str(given), get_args(literal))
