"""The multilayer perceptron: `x -> activation(x W + b)`, layer after layer.

Hook points: `hook_input [example, pixel]`, hidden layers `layers.{l}.hook_pre` (before the activation) and
`layers.{l}.hook_post [example, neuron]`, `hook_logits [example, class]`, and `hook_output` after the output's own
non-linearity where it has one. In a population `seed` stands in front, except on inputs that all members share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.hooked import HookedModel, hook, layers_between
from models.networks.mlp_config import MLPConfig
from models.refusals import Refused
from models.seeds import generator


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), the same bits for a number wherever it stands in the tensor.

    torch.sigmoid treats the last few entries of a tensor by other code, so that a member of a population would come
    out differently in a population of another size; logsigmoid does not.
    """
    return F.logsigmoid(x).exp()


def identity(x: Tensor) -> Tensor:
    """x itself."""
    return x


def softmax(logits: Tensor) -> Tensor:
    """Shares that sum to one over the last axis."""
    return torch.softmax(logits, dim=-1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": identity,
    "relu": torch.relu,
    "sigmoid": sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
}


Changed = tuple[Int[Tensor, " row"], Int[Tensor, " row"], Float[Tensor, "*seed row"]]
"""Rows that are examples with one number changed: of which example, in which column, and what stands there."""


def affine(
    x: Float[Tensor, "*seed example fan_in"], W: Float[Tensor, "*seeds fan_in fan_out"], b: Tensor | None
) -> Float[Tensor, "*seeds example fan_out"]:
    """x W + b, for one network, or for every member of a population at once (x shared by all, or one for each)."""
    if W.ndim == 2:
        return x @ W if b is None else torch.addmm(b, x, W)
    members = x.expand(W.shape[0], *x.shape[-2:])
    return torch.bmm(members, W) if b is None else torch.baddbmm(b.unsqueeze(-2), members, W)


def affine_of_changed(
    x: Float[Tensor, "*seed example fan_in"],
    changed: Changed,
    W: Float[Tensor, "*seeds fan_in fan_out"],
    b: Tensor | None,
) -> Float[Tensor, "*seeds row fan_out"]:
    """x W + b for rows that differ from an example in one column: the product once, and a row of W for each of them."""
    examples, columns, values = changed
    difference = (values - x[..., examples, columns]).unsqueeze(-1)
    products, rows_of_W = affine(x, W, b).index_select(-2, examples), W.index_select(-2, columns)
    return torch.addcmul(products, difference, rows_of_W)


class Affine(nn.Module):
    """The weights of one layer: `W [*seed, in, out]`, `b [*seed, out]` or None."""

    def __init__(self, W: Tensor, b: Tensor | None) -> None:
        super().__init__()
        self.W = nn.Parameter(W)
        self.b = None if b is None else nn.Parameter(b)

    def forward(self, x: Tensor, changed: Changed | None = None) -> Tensor:
        return affine(x, self.W, self.b) if changed is None else affine_of_changed(x, changed, self.W, self.b)


class HiddenLayer(Affine):
    """The weights of a hidden layer and its two hook points; the network itself calls them."""

    def __init__(self, W: Tensor, b: Tensor | None) -> None:
        super().__init__(W, b)
        self.hook_pre = hook("example", "neuron")
        self.hook_post = hook("example", "neuron")


class MLP(HookedModel):
    """A multilayer perceptron, or a population of them; see `MLPConfig`."""

    config: MLPConfig
    activation: Callable[[Tensor], Tensor]
    output: Callable[[Tensor], Tensor] | None

    def __init__(self, config: MLPConfig, *, seeds: int | Sequence[int] = 0) -> None:
        super().__init__(config, seeds)
        weights = initial_weights(config, self.every_seed)
        if self.seeds is None:
            weights = [(W[0], None if b is None else b[0]) for W, b in weights]
        self.hook_input = hook("example", "pixel")
        self.layers = nn.ModuleList(HiddenLayer(W, b) for W, b in weights[:-1])
        self.unembed = Affine(*weights[-1])
        self.hook_logits = hook("example", "class")
        self.activation = ACTIVATIONS[config.activation]
        self.output = OUTPUTS.get(config.output)
        if self.output is not None:
            self.hook_output = hook("example", "class")
        self.ready()

    def example_input(self) -> Tensor:
        """One blank example, `[1, pixel]`."""
        return torch.zeros(1, self.config.sizes[0], dtype=self.dtype, device=self.device)

    def forward(
        self,
        inputs: Tensor,
        *,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        changed: Changed | None = None,
    ) -> Tensor:
        """The network's output, `[*seed, example, class]`.

        `start_at_layer=l`: `inputs` are what enters layer l. `stop_at_layer=l`: returns what enters layer l. The layer
        after the last hidden one makes the logits. `changed`, with a start: what enters are these rows instead, each
        an example of `inputs` but for one column; of the first product each costs a row of W.
        """
        start, stop = layers_between(start_at_layer, stop_at_layer, last=len(self.layers))
        width = self.config.sizes[start]
        if inputs.ndim not in ((2,) if self.seeds is None else (2, 3)) or inputs.shape[-1] != width:
            raise Refused(
                f"Layer {start} takes inputs {self._axes(width)}; given shape {tuple(inputs.shape)}."
            )
        if changed is not None and (start_at_layer is None or start == stop_at_layer):
            raise Refused(
                "`changed` says how runs differ where they start: give start_at_layer, and a layer to run."
            )
        x = self.hook_input(inputs) if start_at_layer is None else inputs
        # x is bound anew each time: what is passed by is freed while it is still in cache
        for layer in cast("Sequence[HiddenLayer]", self.layers[start:stop]):
            x = layer.hook_pre(
                affine(x, layer.W, layer.b)
                if changed is None
                else affine_of_changed(x, changed, layer.W, layer.b)
            )
            x, changed = layer.hook_post(self.activation(x)), None
        if stop_at_layer is not None:
            return x
        logits = self.hook_logits(self.unembed(x, changed))
        return logits if self.output is None else self.hook_output(self.output(logits))  # type: ignore[no-any-return]

    def _axes(self, width: int) -> str:
        shared = f"[example, {width}]"
        return shared if self.seeds is None else f"{shared} or [{len(self.seeds)} seeds, example, {width}]"


def initial_weights(config: MLPConfig, seeds: Sequence[int]) -> list[tuple[Tensor, Tensor | None]]:
    """Weights and biases `[seed, …]` of every layer, each seed's drawn from its own generator."""
    members = [_draw(config, generator(seed, "initialisation")) for seed in seeds]
    return [
        (
            torch.stack([member[layer][0] for member in members]),
            torch.stack([member[layer][1] for member in members]) if config.bias else None,
        )
        for layer in range(len(config.sizes) - 1)
    ]


def _draw(config: MLPConfig, randomness: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    pairs = zip(config.sizes, config.sizes[1:], strict=False)
    return [INITIALISATIONS[config.initialisation](i, o, config.init_scale, randomness) for i, o in pairs]


def _normal(weight_std: Callable[[int, int], float], bias_std: float) -> Any:
    def draw(fan_in: int, fan_out: int, scale: float, randomness: torch.Generator) -> tuple[Tensor, Tensor]:
        W = torch.randn(fan_in, fan_out, generator=randomness) * (scale * weight_std(fan_in, fan_out))
        return W, torch.randn(fan_out, generator=randomness) * (scale * bias_std)

    return draw


def _uniform(fan_in: int, fan_out: int, scale: float, randomness: torch.Generator) -> tuple[Tensor, Tensor]:
    bound = scale / fan_in**0.5
    W, b = torch.rand(fan_in, fan_out, generator=randomness), torch.rand(fan_out, generator=randomness)
    return (2 * W - 1) * bound, (2 * b - 1) * bound


INITIALISATIONS: dict[str, Callable[[int, int, float, torch.Generator], tuple[Tensor, Tensor]]] = {
    "normal": _normal(lambda fan_in, fan_out: 1.0, 1.0),
    "lecun": _normal(lambda fan_in, fan_out: fan_in**-0.5, 0.0),
    "xavier": _normal(lambda fan_in, fan_out: (2 / (fan_in + fan_out)) ** 0.5, 0.0),
    "kaiming": _normal(lambda fan_in, fan_out: (2 / fan_in) ** 0.5, 0.0),
    "uniform": _uniform,
}
