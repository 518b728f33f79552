"""What a recurrent network is, as inert data (no torch is imported here)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from models.networks.config_checks import scale, whole
from models.refusals import Refused, one_of

CellName = Literal["rnn", "lstm", "gru"]
Answers = Literal["last", "each"]

NO_BOUND = 2**31 - 1
GATES: dict[str, int] = {"rnn": 1, "lstm": 4, "gru": 3}


@dataclass(frozen=True)
class RecurrentConfig:
    """A stack of `layers` recurrent layers of `units` units, and a linear map to `outputs` numbers.

    It reads sequences of `features` numbers a position, or of tokens of a `vocabulary`, embedded in `d_model`
    dimensions (0: as many as units); one of the two is given. `answers`: `last` gives its outputs once, at the last
    real position (classes, or numbers to predict), `each` at every position (the next token). `cell`: `rnn` (tanh),
    `lstm` (Hochreiter and Schmidhuber 1997, with forget gates: Gers et al. 2000), `gru` (Cho et al. 2014, the reset
    gate after the matrix, as torch has it).

    Weights and biases of the layers and of the output are drawn from +-init_scale/sqrt(units), as torch.nn draws them;
    embeddings from N(0, init_scale^2 / d_model). `forget_bias` is added to the LSTM's forget gate (Jozefowicz et al.
    2015 advise 1).
    """

    units: int
    outputs: int
    cell: CellName = "lstm"
    layers: int = 1
    features: int = 0
    vocabulary: int = 0
    d_model: int = 0
    answers: Answers = "last"
    forget_bias: float = 0.0
    init_scale: float = 1.0
    family: Literal["recurrent"] = "recurrent"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        self._refuse_sizes()
        one_of("cell", self.cell, CellName)
        one_of("answers", self.answers, Answers)
        one_of("family", self.family, Literal["recurrent"])
        if bool(self.features) == bool(self.vocabulary):
            raise Refused(
                "A recurrent network reads either numbers (features) or tokens (vocabulary); given "
                f"features={self.features}, vocabulary={self.vocabulary}."
            )
        if self.d_model and not self.vocabulary:
            raise Refused("d_model is the width of token embeddings, and this network reads numbers.")
        if self.forget_bias and self.cell != "lstm":
            raise Refused(f"Only an LSTM has a forget gate to bias; given cell {self.cell!r}.")
        scale(self.init_scale)
        if not math.isfinite(self.forget_bias):
            raise Refused(f"forget_bias is a finite number; given {self.forget_bias}.")
        if self.vocabulary:
            object.__setattr__(self, "d_model", self.d_model or self.units)

    def _refuse_sizes(self) -> None:
        for name in ("units", "outputs", "layers", "features", "vocabulary", "d_model"):
            whole(name, getattr(self, name), 1 if name in ("units", "outputs", "layers") else 0)

    @property
    def context(self) -> None:
        """The most positions it reads: there is no bound."""
        return

    @property
    def reads(self) -> Literal["tokens", "number sequences"]:
        """Examples are sequences, of tokens or of so many numbers a position."""
        return "tokens" if self.vocabulary else "number sequences"

    @property
    def inputs(self) -> int:
        """How many numbers a position has; of tokens, how many an example has at most: there is no bound."""
        return self.features or NO_BOUND

    @property
    def output(self) -> Literal["identity"]:
        """What follows the logits: nothing."""
        return "identity"

    @property
    def widths(self) -> tuple[int, ...]:
        """How many numbers a position has as it enters each layer, and the output."""
        return (self.d_model if self.vocabulary else self.features, *[self.units] * self.layers)

    @property
    def parameter_count(self) -> int:
        """Weights and biases of one network; each gate has two biases, as in torch."""
        layers = sum(GATES[self.cell] * self.units * (width + self.units + 2) for width in self.widths[:-1])
        return self.vocabulary * self.d_model + layers + (self.units + 1) * self.outputs

    def resized(self, *, inputs: int, outputs: int) -> RecurrentConfig:
        """The same network for inputs of another width and other outputs; of tokens, for another vocabulary."""
        if not self.vocabulary:
            return replace(self, features=inputs, outputs=outputs)
        return replace(self, vocabulary=outputs, outputs=outputs)
