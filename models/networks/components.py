"""The parts of a network that can hold something, by name.

A component is the weights under a name: `embed`, `blocks.1.attn`, `blocks.1.mlp`, `unembed`, or one matrix,
`blocks.1.mlp.W_in`. In brackets stand the heads of an attention, or the neurons of an MLP, that are meant:
`blocks.0.attn[2]`, `blocks.1.mlp[0,5,7]`, `blocks.1.mlp[0:64]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from models.refusals import Refused, unknown

Masks = Mapping[str, Tensor]
HEADS = {"W_Q": -1, "b_Q": -1, "W_K": -1, "b_K": -1, "W_V": -1, "b_V": -1, "W_O": -2}
NEURONS = {"W_gate": -1, "W_in": -1, "b_in": -1, "W_out": -2}


class Named(Protocol):
    """A network of a config, or a population of them, with named parameters."""

    config: Any

    @property
    def seeds(self) -> tuple[int, ...] | None: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


def components(model: Named) -> list[str]:
    """The whole components of a transformer: embedding, every attention and MLP, unembedding."""
    found = dict.fromkeys(_whole(name) for name, _ in model.named_parameters())
    return [name for name in found if name is not None]


def _whole(parameter: str) -> str | None:
    match = re.match(r"(embed|unembed|blocks\.\d+\.(?:attn|mlp))\.", parameter)
    return None if match is None else match[1]


def weights_of(model: Named, component: str) -> Masks:
    """Which weights belong to a component: for each of its parameters a bool mask, without the seed axis.

    Raises `Refused` for a component the network does not have, with the nearest, and for heads or neurons it lacks.
    """
    if not isinstance(component, str):
        raise Refused(
            f"One component is given by its name, such as 'blocks.0.mlp' or 'blocks.0.mlp[0:64]'; given {component!r}. "
            "For several, ask (or plant into) one after the other."
        )
    match = re.fullmatch(r"([\w.]+?)(?:\[([\d:,]+)\])?", component)
    whole, selected = (component, None) if match is None else match.groups()
    parameters = dict(model.named_parameters())
    own = {name: value for name, value in parameters.items() if name == whole or name.startswith(whole + ".")}
    if not own:
        raise unknown("component", component, [*components(model), *parameters])
    lead = 0 if model.seeds is None else 1
    blank = {name: torch.zeros(value.shape[lead:], dtype=torch.bool) for name, value in own.items()}
    if selected is None:
        return {name: mask.fill_(True) for name, mask in blank.items()}
    return _selected(model, whole, selected, blank)


def _selected(model: Named, whole: str, selected: str, blank: dict[str, Tensor]) -> Masks:
    """The masks of some heads or neurons; what all of them share (the output's bias) stays out."""
    kind = whole.rpartition(".")[2]
    if kind not in ("attn", "mlp"):
        raise Refused(
            f"Only attentions (heads) and MLPs (neurons) have parts to choose; given {whole}[{selected}]."
        )
    axes = HEADS if kind == "attn" else NEURONS
    count, width = _parts(model, kind)
    chosen = torch.tensor(_numbers(selected, count, whole))
    entries = (chosen[:, None] * width + torch.arange(width)).flatten()
    masks = {}
    for name, mask in blank.items():
        axis = axes.get(name.rpartition(".")[2])
        if axis is not None:
            masks[name] = mask.index_fill(axis, entries, True)
    return masks


def _parts(model: Named, kind: str) -> tuple[int, int]:
    """How many heads or neurons there are, and how many entries of a matrix each has."""
    config = model.config
    if kind == "mlp":
        return config.d_mlp, 1
    if config.key_heads != config.heads:
        raise Refused(
            "Heads that share keys and values have no weights of their own: choose the whole attention."
        )
    return config.heads, config.d_head


def _numbers(selected: str, count: int, whole: str) -> list[int]:
    numbers: list[int] = []
    if re.fullmatch(r"(\d+|\d*:\d*)(,(\d+|\d*:\d*))*", selected) is None:
        raise Refused(
            f"Parts are chosen as in {whole}[2], {whole}[0,5,7] or {whole}[0:64]; given [{selected}]."
        )
    for piece in selected.split(","):
        first, colon, last = piece.partition(":")
        numbers += range(int(first or 0), int(last or count)) if colon else [int(first)]
    if not numbers or max(numbers) >= count or len(set(numbers)) < len(numbers):
        raise Refused(f"{whole} has parts 0 to {count - 1}, each to be named once; given [{selected}].")
    return sorted(numbers)
