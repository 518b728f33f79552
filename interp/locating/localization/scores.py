"""What a method is: `scores = method(model, facts, reference)`, higher where the facts in question rather are.

Most methods measure an effect of each part on each fact. `Paired` makes a score of it: the effect on a fact less the
effect on its peer, matched by margin, as a standardised difference over the pairs (interp/measuring/matching.py). So a
part that matters to every fact alike scores zero, however much it matters. NaN says that a method cannot see a part.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from interp.locating.localization.asking import FactData
from interp.locating.localization.inquiry import Inquiry
from interp.locating.localization.parts import Part, parts_of
from interp.measuring.matching import standardised_difference
from interp.reading.capture import evaluating
from interp.refusals import Refused

FEWEST_PAIRS = 10
Effect = Callable[[Inquiry, Sequence[Part]], Float[Tensor, "*seed part example"]]
Measure = Callable[[Inquiry, Sequence[Part]], Float[Tensor, "*seed part"]]


class TooFewPairs(Refused):
    """Facts and reference of other relations or too unlike margins, or too few that the network knows."""


class Method(Protocol):
    """Scores of a network's parts, `[seed, component]` (`[component]` of one network): how much these facts are there.

    `facts` and `reference` are data sets of facts the network knows; nothing is told of how it came to know them.
    `components`: which parts, all whole ones unless given. A user's own method is any function of this form.
    """

    def __call__(
        self,
        model: nn.Module,
        facts: FactData,
        reference: FactData,
        *,
        components: Sequence[str] | None = None,
    ) -> xr.DataArray: ...


class Inquiring(ABC):
    """A method that asks by an `Inquiry`: several share one, so that facts are paired once (`localize`)."""

    def __call__(
        self,
        model: nn.Module,
        facts: FactData,
        reference: FactData,
        *,
        components: Sequence[str] | None = None,
    ) -> xr.DataArray:
        """`[seed, component]`; the attribute `pairs` says how many pairs each seed had."""
        parts = parts_of(model, components)
        return self.scores(Inquiry.of(model, facts, reference), parts)

    def scores(self, inquiry: Inquiry, parts: Sequence[Part]) -> xr.DataArray:
        """The same of an inquiry, in eval mode. Raises `TooFewPairs` where it has not enough of them."""
        with evaluating(inquiry.model):
            check_pairs(inquiry)
            return labelled(self.of_members(inquiry, parts).detach().cpu().double(), inquiry, parts)

    @abstractmethod
    def of_members(self, inquiry: Inquiry, parts: Sequence[Part]) -> Float[Tensor, "member part"]:
        """The scores of every seed; one row for a single network."""


@dataclass(frozen=True)
class Paired(Inquiring):
    """A method by its effect on each fact: the standardised difference between facts and their peers."""

    effect: Effect

    def __repr__(self) -> str:
        return f"by pairs: {said_of(self.effect)}"

    def of_members(self, inquiry: Inquiry, parts: Sequence[Part]) -> Tensor:
        """The mean over the standard deviation of the pairs' differences."""
        effects = inquiry.per_fact(self.effect(inquiry, parts).detach())
        members = effects.reshape(-1, len(parts), effects.shape[-1]).cpu().double()
        scores = [
            standardised_difference(member[:, pairs[:, 0]] - member[:, pairs[:, 1]])
            for member, pairs in zip(members, inquiry.pairs, strict=True)
        ]
        return torch.stack(scores)


@dataclass(frozen=True)
class OfParts(Inquiring):
    """A method that has one number for each part, measured on all facts together."""

    measure: Measure

    def __repr__(self) -> str:
        return f"of parts: {said_of(self.measure)}"

    def of_members(self, inquiry: Inquiry, parts: Sequence[Part]) -> Tensor:
        """The measure as it is."""
        return self.measure(inquiry, parts).reshape(-1, len(parts))


def said_of(measure: Effect | Measure) -> str:
    """What a measure says of itself in its docstring's first line."""
    return (inspect.getdoc(measure) or str(getattr(measure, "__name__", "a measure"))).splitlines()[0]


def labelled(scores: Float[Tensor, "member part"], inquiry: Inquiry, parts: Sequence[Part]) -> xr.DataArray:
    """The scores with their names."""
    names, pairs = [part.name for part in parts], [len(found) for found in inquiry.pairs]
    if inquiry.seeds is None:
        return xr.DataArray(
            scores[0].numpy(), coords={"component": names}, dims=["component"], attrs={"pairs": pairs[0]}
        )
    coords = {"seed": list(inquiry.seeds), "component": names}
    return xr.DataArray(scores.numpy(), coords=coords, dims=list(coords), attrs={"pairs": pairs})


def check_pairs(inquiry: Inquiry) -> None:
    """Raises `TooFewPairs` where facts and reference have too few pairs of a like margin."""
    pairs = [len(found) for found in inquiry.pairs]
    if min(pairs) < FEWEST_PAIRS:
        count = len(inquiry.relations)
        known = (inquiry.per_fact(inquiry.untouched) > 0).reshape(-1, count).sum(-1).tolist()
        raise TooFewPairs(
            f"Facts are compared with {FEWEST_PAIRS} or more reference facts of their relation and of a like margin; "
            f"found {pairs} among {inquiry.facts} facts and {count - inquiry.facts} others, of which {known} are "
            "known. Give more facts, or reference facts of the same relations that the network knows as well."
        )
