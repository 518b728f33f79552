"""What an MLP is, as inert data (no torch is imported here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from models.networks.config_checks import scale
from models.refusals import Refused, one_of

Activation = Literal["sigmoid", "relu", "tanh", "gelu", "identity"]
Output = Literal["identity", "sigmoid", "softmax"]
Initialisation = Literal["normal", "lecun", "xavier", "kaiming", "uniform"]


@dataclass(frozen=True)
class MLPConfig:
    """A multilayer perceptron; `sizes` without hidden layers is a perceptron, or linear or logistic regression.

    `initialisation`: `normal` draws weights and biases from N(0, 1), as Nielsen's first network does; `lecun`, `xavier`
    and `kaiming` draw weights from N(0, 1/in), N(0, 2/(in + out)), N(0, 2/in) and set biases to 0; `uniform` draws both
    from +-1/sqrt(in), as torch.nn.Linear does. All are multiplied by `init_scale`.
    """

    sizes: tuple[int, ...]
    activation: Activation = "relu"
    output: Output = "identity"
    initialisation: Initialisation = "kaiming"
    init_scale: float = 1.0
    bias: bool = True
    family: Literal["mlp"] = "mlp"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        if len(self.sizes) < 2 or any(not isinstance(size, int) or size < 1 for size in self.sizes):
            raise Refused(
                f"sizes are inputs, hidden layers and outputs, each at least 1; given {self.sizes}."
            )
        one_of("activation", self.activation, Activation)
        one_of("output", self.output, Output)
        one_of("initialisation", self.initialisation, Initialisation)
        one_of("family", self.family, Literal["mlp"])
        scale(self.init_scale)

    @property
    def reads(self) -> Literal["numbers"]:
        """Examples are vectors of numbers."""
        return "numbers"

    @property
    def inputs(self) -> int:
        """How many numbers an example has."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for an example."""
        return self.sizes[-1]

    def resized(self, *, inputs: int, outputs: int) -> MLPConfig:
        """The same network for inputs and outputs of other lengths."""
        return replace(self, sizes=(inputs, *self.sizes[1:-1], outputs))

    @property
    def parameter_count(self) -> int:
        """Weights and biases of one network."""
        return sum(
            (inputs + self.bias) * outputs
            for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False)
        )
