"""How this floor says no: what was given, what is allowed, the nearest match, what to do.

The command line turns `Refused` into exit code 2 (usage) and `BadFile` into 3 (missing or corrupt input).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


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


def unknown_axis(hook: str, given: str, axes: Sequence[str]) -> Refused:
    """The refusal of an axis that a hook does not have, with those that it has and the nearest."""
    near = difflib.get_close_matches(given, axes, n=1, cutoff=0.5)
    hint = f" Nearest: {near[0]}." if near else ""
    if given == "head" and "key_head" in axes:
        hint = " Keys and values have key_head instead, as several heads of queries may share one: give key_head."
    return Refused(f"{hook!r} has no axis {given!r}: its axes are [{', '.join(axes)}].{hint}")
