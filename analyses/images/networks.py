"""Three networks for the same images with nearly equal numbers of parameters: convolutions, dense layers, patches.

The convolutional network is given; the other two are made as wide as its number of parameters allows. An MLP and a
vision transformer gain a fixed number of parameters for each neuron, so the nearest width is found by one division.
"""

from __future__ import annotations

from typing import Any

import models

CNN, DENSE, VIT = "convolutional network", "MLP", "vision transformer"
CHANNELS = (8, 16, 32)
SMALLEST_SIDE = 4
PATCHES_A_SIDE = 4
HEADS = 4


def networks(shape: tuple[int, int], classes: int) -> dict[str, Any]:
    """The configs of the three, by name, for square images whose side is a multiple of four."""
    convolutional = convolutional_network(shape, classes)
    target = parameters(convolutional)
    return {
        CNN: convolutional,
        DENSE: dense_network(shape[0] * shape[1], classes, target),
        VIT: patch_network(shape, classes, target),
    }


def parameters(config: Any) -> int:
    """Weights and biases of one network of this config, counted."""
    return sum(parameter.numel() for parameter in models.network_class(config)(config, seeds=0).parameters())


def convolutional_network(shape: tuple[int, int], classes: int) -> models.CNNConfig:
    """Kernels of 3x3, each layer halving the image until its side is below 5 pixels (or 3 layers), then 32 neurons."""
    side, convolutions = min(shape), []
    for channels in CHANNELS:
        if side > SMALLEST_SIDE:
            convolutions.append(models.Convolution(channels, 3, padding=1, pool=2))
            side //= 2
    return models.CNNConfig(shape, tuple(convolutions), dense=(32,), outputs=classes)


def dense_network(pixels: int, classes: int, target: int) -> models.MLPConfig:
    """One hidden layer."""
    each = pixels + 1 + classes
    return models.MLPConfig((pixels, max(1, round((target - classes) / each)), classes))


def patch_network(shape: tuple[int, int], classes: int, target: int) -> models.ViTConfig:
    """4 x 4 patches, two layers: the widest stream whose MLPs can be about twice as wide with so many parameters."""

    def of(d_model: int, d_mlp: int) -> models.ViTConfig:
        return models.ViTConfig(
            shape, shape[0] // PATCHES_A_SIDE, d_model=d_model, heads=HEADS, d_mlp=d_mlp, outputs=classes
        )

    d_model = HEADS
    while parameters(of(d_model + HEADS, 2 * (d_model + HEADS))) <= target:
        d_model += HEADS
    least = parameters(of(d_model, 1))
    each = parameters(of(d_model, 2)) - least
    return of(d_model, max(1, 1 + round((target - least) / each)))
