"""What is alike in all networks that read images, as inert data (no torch is imported here)."""

from __future__ import annotations

import math
from typing import Literal

from models.networks.config_checks import whole
from models.refusals import Refused


class OfImages:
    """A config with an `image_shape` (rows, columns): its network reads grey images as their pixels row by row."""

    image_shape: tuple[int, int]

    def settle_shape(self) -> None:
        """Makes `image_shape` a tuple, and refuses one that is no shape of an image."""
        object.__setattr__(self, "image_shape", tuple(self.image_shape))
        if len(self.image_shape) != 2:
            raise Refused(f"image_shape is (rows, columns); given {self.image_shape}.")
        for size in self.image_shape:
            whole("Each of image_shape", size, 1)

    @property
    def reads(self) -> Literal["numbers"]:
        """Examples are vectors of numbers: the pixels of an image."""
        return "numbers"

    @property
    def inputs(self) -> int:
        """How many numbers an example has."""
        return math.prod(self.image_shape)

    @property
    def output(self) -> Literal["identity"]:
        """What follows the logits: nothing."""
        return "identity"


def shape_of(pixels: int, known: tuple[int, int]) -> tuple[int, int]:
    """The shape of images of so many pixels: the known one where it has as many, else a square.

    Raises `Refused` where neither fits: then the config itself must name the shape.
    """
    side = math.isqrt(pixels)
    if pixels == math.prod(known):
        return known
    if side * side != pixels:
        raise Refused(
            f"{pixels} pixels make no square, and which image they are is not told: give the network's image_shape."
        )
    return side, side
