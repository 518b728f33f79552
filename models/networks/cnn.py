"""The convolutional network: the same small kernel at every place of an image, then dense layers.

A convolution layer is `activation(W * x + b)`, `*` the sum over a kernel's window (LeCun et al. 1998,
http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf), and where it pools, the maximum or mean of neighbouring squares.
Layers are numbered through: `layers.0`, … are convolutions, those after them dense layers as an MLP's.

Hook points: `hook_input [example, pixel]`; of a convolution `layers.{l}.hook_pre` (before the activation),
`layers.{l}.hook_post`, and where it pools `layers.{l}.hook_pool [example, channel, row, column]`; of a dense layer
`layers.{l}.hook_pre` and `hook_post [example, neuron]`; `hook_logits [example, class]`. What enters the first layer
after the convolutions is `[example, channel, row, column]` still. In a population `seed` stands in front, except on
images that all members share.

Members of a population are convolved one after the other: a member then has the same bits whoever trains beside it, and
on a processor one grouped convolution of all of them was not faster (8 members of LeNet's size took 1.4 times as long).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.cnn_config import CNNConfig, Convolution
from models.networks.hooked import HookedModel, hook, layers_between
from models.networks.mlp import ACTIVATIONS, Affine, HiddenLayer, affine
from models.networks.parameters import Draw
from models.refusals import Refused


def convolved(
    x: Float[Tensor, "*seed example channel_in row column"],
    W: Float[Tensor, "*seeds channel channel_in kernel kernel"],
    b: Float[Tensor, "*seeds channel"],
    *,
    stride: int = 1,
    padding: int = 0,
) -> Float[Tensor, "*seeds example channel new_row new_column"]:
    """W * x + b, for one network, or for every member of a population (x shared by all, or one for each)."""
    if W.ndim == 4:
        return F.conv2d(x, W, b, stride=stride, padding=padding)
    members = x.expand(W.shape[0], *x.shape[-4:]).unbind(0)
    each = zip(members, W.unbind(0), b.unbind(0), strict=True)
    return torch.stack([F.conv2d(own, w, c, stride=stride, padding=padding) for own, w, c in each])


def pooled(
    x: Float[Tensor, "*any channel row column"], size: int, *, pooling: str
) -> Float[Tensor, "*any channel new_row new_column"]:
    """The maximum or mean of every square of `size` x `size`."""
    images = x.flatten(0, -4)
    smaller = F.max_pool2d(images, size) if pooling == "max" else F.avg_pool2d(images, size)
    return smaller.view(*x.shape[:-2], *smaller.shape[-2:])


class ConvolutionLayer(nn.Module):
    """`W [*seed, channel, channel_in, kernel, kernel]`, `b [*seed, channel]`, and the layer's hook points."""

    def __init__(
        self, config: Convolution, draw: Draw, *, channels_in: int, activation: str, scale: float
    ) -> None:
        super().__init__()
        self.config, self.activation = config, ACTIVATIONS[activation]
        size = (config.channels, channels_in, config.kernel, config.kernel)
        self.W = draw.normal(*size, std=scale * (2 / (channels_in * config.kernel**2)) ** 0.5)
        self.b = draw.constant(config.channels)
        axes = ("example", "channel", "row", "column")
        self.hook_pre, self.hook_post = hook(*axes), hook(*axes)
        if config.pool > 1:
            self.hook_pool = hook(*axes)

    def forward(self, x: Tensor) -> Tensor:
        """What leaves the layer, `[*seed, example, channel, row, column]`."""
        stride, padding = self.config.stride, self.config.padding
        x = self.hook_pre(convolved(x, self.W, self.b, stride=stride, padding=padding))
        x = self.hook_post(self.activation(x))
        if self.config.pool == 1:
            return x
        return self.hook_pool(pooled(x, self.config.pool, pooling=self.config.pooling))  # type: ignore[no-any-return]


def densely(
    layer: HiddenLayer, x: Tensor, activation: Callable[[Tensor], Tensor]
) -> Float[Tensor, "*seed example neuron"]:
    """A hidden layer as an MLP's: what leaves it."""
    post: Tensor = layer.hook_post(activation(layer.hook_pre(affine(x, layer.W, layer.b))))
    return post


class CNN(HookedModel):
    """A convolutional network, or a population of them; see `CNNConfig`."""

    config: CNNConfig
    activation: Callable[[Tensor], Tensor]

    def __init__(self, config: CNNConfig, *, seeds: int | Sequence[int] = 0) -> None:
        super().__init__(config, seeds)
        draw = Draw(self.every_seed, alone=self.seeds is None)
        layers: list[nn.Module] = [
            ConvolutionLayer(
                convolution, draw, channels_in=shape[0], activation=config.activation, scale=config.init_scale
            )
            for convolution, shape in zip(config.convolutions, config.image_shapes, strict=False)
        ]
        for widths in zip(config.widths, config.dense, strict=False):
            layers.append(HiddenLayer(*self._dense(draw, *widths)))
        self.activation = ACTIVATIONS[config.activation]
        self.hook_input = hook("example", "pixel")
        self.layers = nn.ModuleList(layers)
        self.unembed = Affine(*self._dense(draw, config.widths[-1], config.outputs))
        self.hook_logits = hook("example", "class")
        self.ready()

    def _dense(self, draw: Draw, fan_in: int, fan_out: int) -> tuple[Tensor, Tensor]:
        std = self.config.init_scale * (2 / fan_in) ** 0.5
        return draw.normal(fan_in, fan_out, std=std), draw.constant(fan_out)

    def example_input(self) -> Tensor:
        """One blank image, `[1, pixel]`."""
        return torch.zeros(1, self.config.inputs, dtype=self.dtype, device=self.device)

    def forward(
        self, inputs: Tensor, *, start_at_layer: int | None = None, stop_at_layer: int | None = None
    ) -> Tensor:
        """The logits, `[*seed, example, class]`, of images `[example, pixel]` (or `[seed, example, pixel]`).

        `start_at_layer=l`: `inputs` are what enters layer l. `stop_at_layer=l`: returns what enters layer l; for l=0
        the pixels. The layer after the last hidden one makes the logits.
        """
        start, stop = layers_between(start_at_layer, stop_at_layer, last=self.config.layers)
        self._check(inputs, start)
        x = self.hook_input(inputs) if start_at_layer is None else inputs
        for place in range(start, stop):
            layer, x = self.layers[place], self._shaped(x, place)
            x = densely(layer, x, self.activation) if isinstance(layer, HiddenLayer) else layer(x)
        if stop_at_layer is not None:
            return x
        return self.hook_logits(self.unembed(self._shaped(x, stop)))  # type: ignore[no-any-return]

    def _shaped(self, x: Tensor, layer: int) -> Tensor:
        """Pixels as an image before the first layer, images as a row of numbers after the last convolution."""
        if layer == 0:
            return x.reshape(*x.shape[:-1], 1, *self.config.image_shape)
        return x.flatten(-3) if layer == len(self.config.convolutions) else x

    def _check(self, x: Tensor, layer: int) -> None:
        """Refuses what does not enter this layer: pixels the first, images the others up to the dense ones."""
        images = len(self.config.convolutions)
        shape: tuple[int, ...] = (self.config.inputs,)
        if layer:
            shape = (
                self.config.image_shapes[layer] if layer <= images else (self.config.widths[layer - images],)
            )
        lead = len(shape) + 1
        fits = x.shape[-len(shape) :] == shape and (
            x.ndim == lead or (self.seeds is not None and x.ndim == lead + 1 and len(x) == len(self.seeds))
        )
        if not fits:
            axes = ", ".join(map(str, shape))
            own = "" if self.seeds is None else f" or [{len(self.seeds)} seeds, example, {axes}]"
            raise Refused(f"Layer {layer} takes inputs [example, {axes}]{own}; given shape {tuple(x.shape)}.")
