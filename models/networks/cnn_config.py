"""What a convolutional network is, as inert data (no torch is imported here)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal

from models.networks.config_checks import scale, whole
from models.networks.image_config import OfImages, shape_of
from models.networks.mlp_config import Activation
from models.refusals import Refused, one_of

Pooling = Literal["max", "mean"]


@dataclass(frozen=True)
class Convolution:
    """One convolution layer: `channels` maps, a square `kernel` moved by `stride` over an image set in `padding` zeros.

    After the activation, squares of `pool` x `pool` become their maximum or mean (1: no pooling, and no hook for it);
    rows and columns that fill no square are left out. `pool` as large as the image pools all of it.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    pool: int = 1
    pooling: Pooling = "max"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "stride", "pool"):
            whole(name, getattr(self, name), 1)
        whole("padding", self.padding, 0)
        one_of("pooling", self.pooling, Pooling)
        if self.padding >= self.kernel:
            raise Refused(
                f"A padding of {self.padding} would let a kernel of {self.kernel} see nothing but zeros."
            )

    def convolved(self, length: int) -> int:
        """How many rows (or columns) its maps have on an image of so many; below 1 where the kernel does not fit."""
        return (length + 2 * self.padding - self.kernel) // self.stride + 1

    def leaves(self, length: int) -> int:
        """The same after pooling."""
        return self.convolved(length) // self.pool


@dataclass(frozen=True)
class CNNConfig(OfImages):
    """Convolution layers, then dense layers, then a linear map to `outputs` logits.

    It reads grey images of `image_shape` (rows, columns), given as their pixels row by row. `dense`: widths of the
    hidden layers after the last convolution, which may be none. Weights are drawn from N(0, 2 init_scale^2 / fan_in)
    (He et al. 2015), biases are 0.
    """

    image_shape: tuple[int, int]
    convolutions: tuple[Convolution, ...]
    dense: tuple[int, ...] = ()
    outputs: int = 10
    activation: Activation = "relu"
    init_scale: float = 1.0
    family: Literal["cnn"] = "cnn"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name in ("convolutions", "dense"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self.settle_shape()
        if not self.convolutions:
            raise Refused("A convolutional network has at least one convolution; MLPConfig has none.")
        for size in (*self.dense, self.outputs):
            whole("Each of dense and outputs", size, 1)
        one_of("activation", self.activation, Activation)
        one_of("family", self.family, Literal["cnn"])
        scale(self.init_scale)
        self._refuse_what_leaves_nothing()

    def _refuse_what_leaves_nothing(self) -> None:
        for layer, (convolution, (_, rows, columns)) in enumerate(
            zip(self.convolutions, self.image_shapes[1:], strict=True)
        ):
            if rows < 1 or columns < 1:
                _, *before = self.image_shapes[layer]
                raise Refused(
                    f"Convolution {layer} leaves nothing of images of {before[0]}x{before[1]}: {convolution}. Give "
                    "padding, a smaller kernel or less pooling, or larger images."
                )

    @property
    def image_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(channel, row, column) of what enters each convolution layer, and of what the last one leaves."""
        shapes = [(1, *self.image_shape)]
        for convolution in self.convolutions:
            _, rows, columns = shapes[-1]
            shapes.append((convolution.channels, convolution.leaves(rows), convolution.leaves(columns)))
        return tuple(shapes)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many numbers enter each dense layer, and the output's."""
        return (math.prod(self.image_shapes[-1]), *self.dense)

    @property
    def layers(self) -> int:
        """Convolution layers and hidden dense layers together: they are numbered through."""
        return len(self.convolutions) + len(self.dense)

    @property
    def parameter_count(self) -> int:
        """Weights and biases of one network."""
        kernels = zip(self.image_shapes, self.convolutions, strict=False)
        convolved = sum((shape[0] * c.kernel**2 + 1) * c.channels for shape, c in kernels)
        lengths = (*self.widths, self.outputs)
        return convolved + sum((i + 1) * o for i, o in pairwise(lengths))

    def resized(self, *, inputs: int, outputs: int) -> CNNConfig:
        """The same network for images of another size and another number of classes; see `shape_of`."""
        return replace(self, image_shape=shape_of(inputs, self.image_shape), outputs=outputs)
