"""What methods are held against: luck, the truth, and a leak.

- `random_scores`: the floor. Numbers from a seed.
- `weight_change(before)`: the oracle. How far each part's weights are from those before planting; it knows the history,
  which no method may.
- `weight_norm(others)`: the leak. How unusual the length of a part's weights is among networks of other seeds where
  nothing was planted. Planting that makes weights longer gives itself away by that alone, and a method that only
  measured lengths would look clever.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part
from interp.locating.localization.scores import Measure
from interp.locating.localization.weights import lengths
from interp.reading.points import seeds_of
from interp.refusals import Refused


@dataclass(frozen=True)
class RandomScores:
    """Luck: for each seed and part a standard normal number, drawn anew for other facts."""

    seed: int = 0

    def __call__(self, inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "*seed part"]:
        facts = inquiry.asked.inputs[inquiry.of_fact < inquiry.facts].cpu().numpy().tobytes()
        text = f"{self.seed} {[part.name for part in parts]}".encode()
        drawn = torch.Generator().manual_seed(zlib.crc32(facts + text + _weights_digest(inquiry.model)))
        seeds = () if inquiry.seeds is None else (len(inquiry.seeds),)
        return torch.randn(*seeds, len(parts), generator=drawn)


def _weights_digest(model: nn.Module) -> bytes:
    return b"".join(value.detach().cpu().double().sum().numpy().tobytes() for value in model.parameters())


def weight_change(before: nn.Module) -> Measure:
    """The distance of each part's weights from `before`, relative to their length there."""

    def change(inquiry: Inquiry, parts: Sequence[Part]) -> Tensor:
        old, new = dict(before.named_parameters()), dict(inquiry.model.named_parameters())
        _check_alike(old, new)
        if _seeds(before) != _seeds(inquiry.model):
            raise Refused(
                "The network before is of the same seeds: weights of another seed are elsewhere from the start. Given "
                f"{_seeds(before)}, asked of {_seeds(inquiry.model)}."
            )
        moved = {name: new[name] - old[name] for name in new}
        masks = [part.weights(inquiry.model) for part in parts]
        return torch.stack([lengths(moved, mask) / lengths(old, mask) for mask in masks], dim=-1)

    return change


def weight_norm(others: nn.Module) -> Measure:
    """How many standard deviations each part's length lies from those of a population where nothing was planted.

    A seed is held against the other seeds of `others` only.
    """

    def unusual(inquiry: Inquiry, parts: Sequence[Part]) -> Tensor:
        old, new = dict(others.named_parameters()), dict(inquiry.model.named_parameters())
        seeds = getattr(others, "seeds", None)
        if seeds is None or inquiry.seeds is None or len(seeds) < 3:
            raise Refused(
                "A weight norm is unusual among other seeds: give populations, the others of 3 seeds or more."
            )
        _check_alike(old, new, lead=1)
        found = []
        for part in parts:
            masks = part.weights(inquiry.model)
            own, usual = lengths(new, masks).log(), lengths(old, masks).log()
            rows = [
                torch.stack([length for seed, length in zip(seeds, usual, strict=True) if seed != mine])
                for mine in inquiry.seeds
            ]
            found.append(
                torch.stack([(o - row.mean()) / row.std() for o, row in zip(own, rows, strict=True)])
            )
        return torch.stack(found, dim=-1)

    return unusual


def _seeds(model: nn.Module) -> object:
    return seeds_of(model) or getattr(model, "seed", None)


def _check_alike(old: Mapping[str, Tensor], new: Mapping[str, Tensor], *, lead: int = 0) -> None:
    """Raises `Refused` for other names or shapes, of which the first `lead` axes do not count."""
    shapes = [{name: tuple(value.shape[lead:]) for name, value in weights.items()} for weights in (old, new)]
    if shapes[0] != shapes[1]:
        raise Refused(
            "The network to compare with has weights of other names or shapes: give one of the same family and size, "
            "with the same seeds where it is the one before planting."
        )
