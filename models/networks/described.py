"""A network in two lines: what it is, its seeds and size, and what of its config is not as it comes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import nn


def described(model: nn.Module, config: Any, *, seeds: Sequence[int] | None, seed: int | None) -> str:
    """Two lines; `torch.nn.Module.__repr__(model)` gives the tree of modules."""
    members = 1 if seeds is None else len(seeds)
    whose = f"seed {seed}" if seeds is None else f"{members} seeds ({_listed(seeds)})"
    each = " each" if members > 1 else ""
    return f"{type(model).__name__} of {size(model) // members:,} parameters{each}, {whose}\n  {settings(config)}"


def size(model: nn.Module) -> int:
    """How many numbers its parameters are."""
    return sum(parameter.numel() for parameter in model.parameters())


def settings(config: Any) -> str:
    """A config's fields, without those that are as by default."""
    if not dataclasses.is_dataclass(config):
        return repr(config)
    given = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    told = [f"{name}={value!r}" for name, value in given.items() if value != usual[name]]
    return f"{type(config).__name__}({', '.join(told)})"


def _listed(seeds: Sequence[int]) -> str:
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and list(seeds) == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, seeds[:8])) + (", …" if len(seeds) > 8 else "")
