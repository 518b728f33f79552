"""The face every network shows: named hook points with named axes, one or many seeds, start and stop at a layer.

A network is one of a seed, or a population: then `seeds` names its members, and every parameter and every activation
has a leading `seed` axis. Weights are drawn for each seed alone, so a member has the same bits as that network by
itself. Built on transformer-lens's `HookPoint` and `HookedRootModule` (Nanda and Bloom 2022,
https://github.com/TransformerLensOrg/TransformerLens); hooks are attached with torch's own `register_forward_hook`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformer_lens.hook_points import HookPoint
from transformer_lens.HookedRootModule import HookedRootModule

from models.networks.components import components, weights_of
from models.networks.described import described
from models.refusals import Refused, unknown
from models.seeds import seed_tuple


class AxisHookPoint(HookPoint):
    """A hook point that says what its axes are, and whether it may only be read."""

    def __init__(self, *axes: str, read_only: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.axes = axes
        self.read_only = read_only

    @property
    def listened(self) -> bool:
        """Whether anybody reads or edits here: what is costly to lay open is laid open only then."""
        return bool(
            self._forward_hooks or self._backward_hooks or self._forward_pre_hooks or self._backward_pre_hooks
        )


def hook(*axes: str, read_only: bool = False) -> AxisHookPoint:
    """A hook point with these axes (a population's `seed` axis is understood, not named)."""
    return AxisHookPoint(*axes, read_only=read_only)


class HookedModel(HookedRootModule):
    """A network, or a population of networks that differ in their seed.

    A family sets its modules between `super().__init__(config, seeds)` and `self.ready()`, in forward order, and gives
    `forward(inputs, *, start_at_layer=None, stop_at_layer=None)`. `seeds` an int: one network without a seed axis;
    a sequence: a population (`model.seeds`). `spelt_with`: the digest of the tokenizer that its training data were
    spelt with; None where it was trained on no text, or nobody said.
    """

    causal: bool = False
    spelt_with: str | None = None

    def __init__(self, config: Any, seeds: int | Sequence[int]) -> None:
        super().__init__()
        self.config = config
        self.seed = seeds if isinstance(seeds, int) else None
        self.seeds = None if isinstance(seeds, int) else seed_tuple(seeds)

    def ready(self) -> None:
        """Names the hook points; called by a family at the end of its constructor."""
        self.setup()  # type: ignore[no-untyped-call]

    def example_input(self) -> torch.Tensor:
        """One example that the network takes, to see shapes by."""
        raise NotImplementedError(f"{type(self).__name__} gives no example input.")

    @property
    def every_seed(self) -> tuple[int, ...]:
        """The population's seeds, or the one seed."""
        return self.seeds if self.seeds is not None else (self.seed or 0,)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the parameters are."""
        return next(self.parameters()).dtype

    def member(self, seed: int) -> HookedModel:
        """The network of this seed alone: a copy without the seed axis."""
        place = self._place(seed)
        alone = type(self)(self.config, seeds=seed).to(device=self.device, dtype=self.dtype)
        alone.load_state_dict(self.state_dict() if place is None else self._slices(place))
        alone.spelt_with = self.spelt_with
        return alone.train(self.training)

    def components(self) -> list[str]:
        """The whole components that can hold something, by name (models/networks/components.py)."""
        return components(self)

    def weights_of(self, component: str) -> Mapping[str, torch.Tensor]:
        """Which weights belong to a component: a bool mask for each of its parameters, without the seed axis."""
        return weights_of(self, component)

    def __repr__(self) -> str:
        return described(self, self.config, seeds=self.seeds, seed=self.seed)

    def _place(self, seed: int) -> int | None:
        if seed not in self.every_seed:
            raise unknown("seed", str(seed), map(str, self.every_seed))
        return None if self.seeds is None else self.seeds.index(seed)

    def _slices(self, place: int) -> dict[str, torch.Tensor]:
        return {name: value[place] for name, value in self.state_dict().items()}


def layers_between(start: int | None, stop: int | None, *, last: int) -> tuple[int, int]:
    """Which layers `start_at_layer` and `stop_at_layer` leave to be run; refuses those that do not exist."""
    first, end = start or 0, last if stop is None else stop
    if not 0 <= first <= end <= last:
        raise Refused(f"Layers go from 0 to {last}, start before stop; given start {start}, stop {stop}.")
    return first, end


def population(members: Sequence[HookedModel]) -> HookedModel:
    """These networks (of one config, dtype and device, each with its own seed) as one population.

    Raises `Refused` when they differ in more than their seed and weights.
    """
    if not members or any(member.seeds is not None for member in members):
        raise Refused("A population is made of one or more single networks, each without a seed axis.")
    first = members[0]
    for member in members[1:]:
        if (type(member), member.config, member.dtype) != (type(first), first.config, first.dtype):
            raise Refused(
                f"The members of a population share config and dtype: {member.config} is not {first.config}."
            )
    spelt = {member.spelt_with for member in members} - {None}
    if len(spelt) > 1:
        raise Refused(
            "The members of a population share a tokenizer; these were trained with different ones."
        )
    joined = type(first)(first.config, seeds=[member.every_seed[0] for member in members])
    joined.to(device=first.device, dtype=first.dtype)
    joined.spelt_with = next(iter(spelt), None)
    states = [member.state_dict() for member in members]
    joined.load_state_dict({name: torch.stack([state[name] for state in states]) for name in states[0]})
    return joined.train(first.training)
