"""Which positions a pass computes: all, or the last part of a sequence whose beginning is known, or one.

A causal network's position depends on itself and what is before it. Where the beginning of a sequence is as in another
pass, the rest is computed from that pass's keys and values alone; and where one position's logits are wanted, the last
layer needs its keys and values everywhere but everything else at that position only. Results are those of the whole
pass, to rounding. torch's fused attention aligns its own causal flag to the upper left corner, so a part of the queries
brings its own mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.refusals import Refused


@dataclass(frozen=True)
class Span:
    """Positions from `first` on, those before it known from `past` (hook name -> activations `[*seed, example, pos,
    key_head, d_head]`, from position 0 and as long or longer); where `at` is given, the layer gives that one alone."""

    first: int = 0
    past: Mapping[str, Tensor] = field(default_factory=dict)
    at: int | None = None

    def queries(self, x: Float[Tensor, "*any pos d_model"]) -> Float[Tensor, "*any query_pos d_model"]:
        """What the layer gives its results for."""
        return x if self.at is None else x.narrow(-2, self.at - self.first, 1)

    def with_past(
        self, name: str, new: Float[Tensor, "*seed example pos head d_head"]
    ) -> Float[Tensor, "*seed example key_pos head d_head"]:
        """Keys or values of these positions behind the earlier ones, which repeat for every run of the examples."""
        if not self.first:
            return new
        earlier = self.past[name].narrow(-3, 0, self.first).unsqueeze(-5)
        runs = new.shape[-4] // earlier.shape[-4]
        shape = (*earlier.shape[:-5], runs, *earlier.shape[-4:])
        return torch.cat((earlier.expand(shape).flatten(-5, -4), new), dim=-3)

    def visible(self, queries: int, keys: int, device: torch.device) -> Bool[Tensor, "query_pos key_pos"]:
        """Which keys (positions 0 to `keys`) each query of a causal network may see."""
        first = self.first if self.at is None else self.at
        return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(diagonal=first)


def span_of(
    length: int,
    *,
    first: int,
    past: Mapping[str, Tensor] | None,
    at: int | None,
    needed: tuple[str, ...],
) -> Span:
    """The span of a pass over `length` positions from `first`.

    `needed`: the hooks whose earlier positions the network needs. Raises `Refused` for those that are not given or too
    short, and for a position that is not computed.
    """
    for name in needed if first else ():
        if past is None or name not in past or past[name].shape[-3] < first:
            raise Refused(
                f"Beginning at position {first} takes `past` with {name!r} of {first} positions or more."
            )
    place = None if at is None else at + (first + length if at < 0 else 0)
    if place is not None and not first <= place < first + length:
        raise Refused(f"Position {at} is not computed: positions {first} to {first + length - 1} are.")
    return Span(first, past or {}, place)
