"""How a network is trained, as inert data (no torch is imported here)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, Literal

from models.networks.config_checks import whole
from models.refusals import Refused, one_of

Loss = Literal["squared_error", "cross_entropy"]
OptimizerName = Literal["sgd", "momentum", "adam", "adamw"]
ScheduleName = Literal["constant", "step", "cosine", "plateau"]
DType = Literal["float32", "float64"]

FORBID: dict[str, str] = {"extra": "forbid"}


def _refuse_unless(holds: bool, what: str, given: object) -> None:
    if not holds:
        raise Refused(f"{what}; given {given!r}.")


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


@dataclass(frozen=True)
class Optimizer:
    """`sgd`, `momentum` (heavy ball), `adam` (Kingma and Ba 2015) or `adamw` (Loshchilov and Hutter 2019).

    `rate` is the learning rate; `beta1` the momentum of `momentum`, `adam` and `adamw`; `beta2` and `epsilon` belong to
    the last two. `weight_decay` is decoupled in `adamw` and added to the gradient in the others.
    """

    name: OptimizerName
    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    __pydantic_config__: ClassVar[dict[str, str]] = FORBID

    def __post_init__(self) -> None:
        one_of("optimizer", self.name, OptimizerName)
        _refuse_unless(_is_number(self.rate) and self.rate > 0, "The rate is a positive number", self.rate)
        for name, beta in (("beta1", self.beta1), ("beta2", self.beta2)):
            _refuse_unless(_is_number(beta) and 0 <= beta < 1, f"{name} lies from 0 to below 1", beta)
        _refuse_unless(
            _is_number(self.epsilon) and self.epsilon > 0, "epsilon is a positive number", self.epsilon
        )
        decays = _is_number(self.weight_decay) and self.weight_decay >= 0
        _refuse_unless(decays, "weight_decay is a number from 0", self.weight_decay)


@dataclass(frozen=True)
class Schedule:
    """How the rate changes.

    `constant`: never; `step`: times `factor` every `every` steps; `cosine`: half a cosine down to `factor` times the
    rate at the last step; `plateau`: times `factor` when a seed's own training loss has not fallen below its best for
    `every` epochs.
    """

    name: ScheduleName = "constant"
    every: int = 1
    factor: float = 0.5

    __pydantic_config__: ClassVar[dict[str, str]] = FORBID

    def __post_init__(self) -> None:
        one_of("schedule", self.name, ScheduleName)
        whole("every", self.every, 1)
        _refuse_unless(
            _is_number(self.factor) and 0 <= self.factor <= 1, "factor lies between 0 and 1", self.factor
        )


@dataclass(frozen=True)
class TrainingConfig:
    """Loss, optimizer, schedule, batch size (an int, or `full`), epochs and dtype.

    `squared_error` is half the sum over outputs, averaged over examples, as Nielsen (2015) and 3Blue1Brown have it: the
    meaning of the rate depends on it. `cross_entropy` is in nats, averaged over examples, from logits.
    """

    loss: Loss
    optimizer: Optimizer
    batch_size: int | Literal["full"]
    epochs: int
    schedule: Schedule = Schedule()
    dtype: DType = "float32"

    __pydantic_config__: ClassVar[dict[str, str]] = FORBID

    def __post_init__(self) -> None:
        one_of("loss", self.loss, Loss)
        one_of("dtype", self.dtype, DType)
        whole("epochs", self.epochs, 0)
        size = self.batch_size
        sized = size == "full" or (isinstance(size, int) and not isinstance(size, bool) and size >= 1)
        _refuse_unless(sized, "batch_size is a whole number from 1, or 'full'", size)
