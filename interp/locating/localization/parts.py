"""The parts of a transformer that scores are given to, by name, and what can be read, replaced or changed of each.

A part is a whole component (`embed`, `blocks.1.attn`, `blocks.1.mlp`, `unembed`), a weight matrix
(`blocks.1.mlp.W_in`), some heads of an attention (`blocks.0.attn[2]`) or some neurons of an MLP (`blocks.1.mlp[0:64]`).
Its output is what passes a hook point, restricted to those heads or neurons; the unembedding's output is the answer
itself, so nothing can be replaced there. The last matrix of a part has the part's own output: a method that replaces or
reads outputs cannot tell `blocks.1.mlp.W_out` from `blocks.1.mlp`. Its weights are masks over the network's parameters,
which the network names itself (`weights_of`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from interp.reading.points import hook_points
from interp.refusals import Refused, unknown

OUTPUTS = {
    "Q": "attn.hook_q",
    "K": "attn.hook_k",
    "V": "attn.hook_v",
    "O": "hook_attn_out",
    "gate": "mlp.hook_pre",
    "in": "mlp.hook_pre",
    "out": "hook_mlp_out",
}


PART = re.compile(
    r"(?P<whole>embed|unembed|(?P<block>blocks\.\d+)\.(?P<kind>attn|mlp))(?:\[(?P<numbers>[\d,:]+)\]|\.(?P<matrix>\w+))?"
)


@runtime_checkable
class HasParts(Protocol):
    """A network that names its parts: all whole ones, and the weights of any."""

    def components(self) -> list[str]: ...

    def weights_of(self, component: str) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True)
class Part:
    """A part by name: where its output passes (None: nowhere that could be replaced), and restricted to what."""

    name: str
    hook: str | None
    where: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def layer(self) -> int | None:
        """The block it stands in; None before the first and after the last."""
        found = re.match(r"blocks\.(\d+)\.", self.name)
        return int(found[1]) if found else None

    @property
    def is_mlp(self) -> bool:
        """Whether it is an MLP, or of one."""
        return ".mlp" in self.name

    def weights(self, model: nn.Module) -> Mapping[str, Tensor]:
        """The part's parameters, each with a bool mask of what belongs to it (on the device of the parameter)."""
        named = dict(model.named_parameters())
        return {
            name: mask.to(named[name].device) for name, mask in _naming(model).weights_of(self.name).items()
        }

    def chosen(self, tensor: Tensor) -> Tensor:
        """Of what passes the part's hook, what is its own, the axes after pos flattened: `[..., pos, entry]`."""
        for axis, numbers in self.where.items():
            place = -2 if axis in ("head", "key_head") else -1
            tensor = tensor.index_select(place, torch.tensor(numbers, device=tensor.device))
        return tensor.flatten(-2) if self.per_head else tensor

    @property
    def per_head(self) -> bool:
        """Whether its hook has a head axis before the last."""
        return self.hook is not None and ".attn.hook_" in self.hook


def parts_of(model: nn.Module, names: Sequence[str] | None) -> list[Part]:
    """The parts of these names, all whole components unless given.

    Raises `Refused` for a network that does not name its parts, a part that it does not have, and one given twice.
    """
    if isinstance(names, str):
        names = [names]
    if not _naming(model).components():
        raise Refused(
            f"A {type(model).__name__} names no parts that can be scored, as the transformers of `models` do; its "
            "hooks can be read, edited and patched (`capture`, `edited`, `ablation`, `activation_patching`)."
        )
    wanted = list(_naming(model).components() if names is None else names)
    parts = [_part(model, name) for name in wanted]
    if len(parts) < 2 or len(set(wanted)) < len(wanted):
        raise Refused(f"Scores compare two or more parts, each named once; given {wanted}.")
    return parts


def _naming(model: nn.Module) -> HasParts:
    if not isinstance(model, HasParts):
        raise Refused(
            f"A {type(model).__name__} does not name its parts: give it `components()` and `weights_of(component)`, as "
            "the transformers of `models` have."
        )
    return model


def _part(model: nn.Module, name: str) -> Part:
    _naming(model).weights_of(name)
    found = PART.fullmatch(name)
    if found is None:
        raise unknown("part", name, _naming(model).components())
    block, kind, numbers, matrix = found["block"], found["kind"], found["numbers"], found["matrix"]
    if block is None:
        return Part(name, "hook_embed" if found["whole"] == "embed" else None)
    if numbers is not None:
        hook, axis = ("attn.hook_z", "head") if kind == "attn" else ("mlp.hook_post", "neuron")
        return Part(name, f"{block}.{hook}", {axis: _numbers(numbers)})
    return Part(name, f"{block}.hook_{kind}_out" if matrix is None else _output(model, block, matrix))


def _output(model: nn.Module, block: str, matrix: str) -> str | None:
    """Where what a matrix or bias makes passes; in a gated MLP W_gate makes what is activated, W_in what it scales."""
    hook = OUTPUTS.get(matrix.partition("_")[2])
    if matrix == "W_in" and f"{block}.mlp.hook_pre_linear" in hook_points(model):
        hook = "mlp.hook_pre_linear"
    return None if hook is None else f"{block}.{hook}"


def _numbers(text: str) -> list[int]:
    """`0,5,7` or `0:64` as numbers."""
    numbers: list[int] = []
    for piece in text.split(","):
        first, colon, last = piece.partition(":")
        if colon and not (first and last):
            raise Refused(f"A range of heads or neurons has both ends, as in [0:64]; given [{text}].")
        numbers += range(int(first), int(last)) if colon else [int(first)]
    return sorted(numbers)
