"""Hook points by name: the face a network shows, patterns over its names, the axes of what passes there.

A network is any `torch.nn.Module` with `hook_dict` (name -> hook point, in network order). A hook point may
declare `axes` (without the seed axis) and `read_only`; one that declares nothing gets the axes `example,
axis_1, axis_2, ...`. A population declares its `seeds`; a tensor with one dimension more than its point has
axes carries `seed` in front.

A pattern is a glob with braces. `*` matches any run of characters *within* one dotted part and `?` one such
character, so `layers.*.hook_post` never strays into `layers.0.mlp.hook_post`; `**` crosses dots; `[0-2]` is
one character of a set; `{q,k,v}` is any of its alternatives. A pattern that matches nothing is refused, and
so is a brace alternative that takes part in no match: a typo must not shrink a result in silence. (Of two
groups of braces every alternative must match, not every pair:
`{encoder,decoder}.blocks.*.{attn,cross_attn}.hook_q` is fine.)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from torch import nn

from interp.refusals import Refused, unknown

BEFORE_ALL_LAYERS = frozenset({"hook_input", "hook_embed", "hook_pos_embed"})

Choices = tuple[tuple[int, str], ...]


def hook_points(model: nn.Module) -> Mapping[str, nn.Module]:
    """The hook points of a network, in its order. Raises `Refused` for a module that has none."""
    points = getattr(model, "hook_dict", None)
    if not isinstance(points, Mapping):
        raise Refused(
            f"A {type(model).__name__} has no `hook_dict`, so nothing in it can be named. "
            "Give a network of `models`, or a torch.nn.Module whose `hook_dict` maps names to hook points."
        )
    if not points:
        raise Refused(f"This {type(model).__name__} has an empty `hook_dict`: it offers no hook point.")
    return points


def modules_of(model: nn.Module) -> list[nn.Module]:
    """The network and every module in it, each once: as `model.modules()`, in a third of the time."""
    found: dict[nn.Module, None] = {}
    waiting = [model]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found[module] = None
            waiting += [child for child in module._modules.values() if child is not None]
    return list(found)


def hook_point(model: nn.Module, name: str) -> nn.Module:
    """The hook point of exactly this name. Raises `Refused` naming the nearest."""
    points = hook_points(model)
    if name not in points:
        raise unknown("hook", name, points)
    return points[name]


def declared_axes(point: nn.Module) -> tuple[str, ...] | None:
    """The axes a hook point declares, the seed axis left out; None for one that declares nothing."""
    axes = getattr(point, "axes", None)
    return None if axes is None else tuple(axes)


def seeds_of(model: nn.Module) -> tuple[int, ...] | None:
    """The seeds of a population, in the order of its seed axis; None for one network."""
    seeds = getattr(model, "seeds", None)
    return None if seeds is None else tuple(int(seed) for seed in seeds)


def matching(patterns: str | Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    """The names that any of the patterns matches, in the order of `names`, each once.

    Raises `Refused` for an empty list, a malformed pattern, and for every pattern or brace alternative that
    matches nothing, naming the nearest hooks.
    """
    known = tuple(names)
    asked = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    if not asked:
        raise Refused(f"No hook pattern was given. Hooks: {', '.join(known[:20])}.")
    found: set[str] = set()
    for pattern in asked:
        found |= _matched_by(pattern, known)
    return tuple(name for name in known if name in found)


def axes_of(name: str, point: nn.Module, *, ndim: int, seeds: Sequence[int] | None) -> tuple[str, ...]:
    """The axis names of a tensor of `ndim` dimensions seen at a hook point; `seed` comes in front.

    Raises `Refused` when the tensor fits the declared axes neither with nor without a seed axis.
    """
    axes = declared_axes(point)
    if axes is None:
        return ("example", *(f"axis_{i}" for i in range(1, ndim)))
    if ndim == len(axes):
        return axes
    if ndim == len(axes) + 1 and seeds is not None:
        return ("seed", *axes)
    raise Refused(
        f"Hook {name!r} declares the axes [{', '.join(axes)}], but a tensor of {ndim} dimensions passed it"
        + (
            " (and the network declares no `seeds`, so no seed axis can stand in front)."
            if seeds is None
            else "."
        )
    )


@lru_cache(maxsize=4096)
def layer_of(name: str) -> int | None:
    """The layer or block a hook belongs to: -1 before the first, None after the last or where unknown."""
    if name in BEFORE_ALL_LAYERS:
        return -1
    found = re.match(r"(?:layers|blocks)\.(\d+)\.", name)
    return int(found.group(1)) if found else None


def stop_after(model: nn.Module, names: Iterable[str]) -> int | None:
    """The `stop_at_layer` that still lets every named hook fire; None: the network must run to its end."""
    layers = [layer_of(name) for name in names]
    known = [layer for layer in layers if layer is not None]
    if len(known) < len(layers) or "stop_at_layer" not in inspect.signature(model.forward).parameters:
        return None
    return max(known) + 1


def _matched_by(pattern: str, names: Sequence[str]) -> set[str]:
    """Names matched by one pattern, every alternative of its braces taking part."""
    found: set[str] = set()
    hopes: set[tuple[int, str]] = set()
    fulfilled: set[tuple[int, str]] = set()
    for text, choices in _expanded(pattern):
        glob = _compiled(text)
        matches = {name for name in names if glob.fullmatch(name)}
        found |= matches
        hopes |= set(choices)
        fulfilled |= set(choices) if matches else set()
    if not found:
        raise _no_match(pattern, names)
    if idle := sorted(hopes - fulfilled):
        alternative = idle[0]
        text = next(text for text, choices in _expanded(pattern) if alternative in choices)
        raise Refused(
            f"In {pattern!r} the alternative {alternative[1]!r} matches nothing. {_no_match(text, names)}"
        )
    return found


def _no_match(pattern: str, names: Sequence[str]) -> Refused:
    """The refusal of a pattern without a match, with the nearest hooks and the commonest slip."""
    wider = re.sub(r"\*+", "**", pattern)
    slip = any(_compiled(text).fullmatch(name) for text, _ in _expanded(wider) for name in names)
    hint = f" `*` stops at a dot and `**` does not: {wider!r} would match." if slip else ""
    return Refused(f"{unknown('hook', pattern, names)}{hint}")


def _expanded(pattern: str) -> Iterator[tuple[str, Choices]]:
    """Every brace-free reading of a pattern, with the alternatives chosen as (place from the end, text)."""
    start = pattern.find("{")
    if start < 0:
        if "}" in pattern:
            raise Refused(f"The pattern {pattern!r} closes a brace that it never opened.")
        yield pattern, ()
        return
    alternatives, end = _alternatives(pattern, start)
    tails = list(_expanded(pattern[end:]))
    for alternative in alternatives:
        for middle, inner in _expanded(alternative):
            for tail, later in tails:
                here = (len(pattern) - start, alternative)
                yield pattern[:start] + middle + tail, (here, *inner, *later)


def _alternatives(pattern: str, start: int) -> tuple[list[str], int]:
    """The alternatives of the brace opened at `start`, and where the text after it begins."""
    depth, begin, found = 0, start + 1, []
    for place in range(start, len(pattern)):
        letter = pattern[place]
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if (letter == "," and depth == 1) or depth == 0:
            found.append(pattern[begin:place])
            begin = place + 1
        if depth == 0:
            return found, begin
    raise Refused(f"The pattern {pattern!r} opens a brace that it never closes.")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A brace-free glob as a regular expression."""
    pieces = re.findall(r"\*\*|\*|\?|\[[^\]]+\]|.", pattern, flags=re.DOTALL)
    meaning = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    return re.compile("".join(meaning.get(p) or _literal_or_set(p) for p in pieces))


def _literal_or_set(piece: str) -> str:
    """One character as itself, or a set such as `[0-2]` or `[!0]`."""
    if len(piece) == 1:
        return re.escape(piece)
    negated = piece.startswith("[!")
    inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", piece[2 if negated else 1 : -1])
    return f"[{'^.' if negated else ''}{inside}]"
