"""Images moved about: framed, shifted by whole pixels, turned, pixels shuffled; what was known of each stays with it.

Shifting sets each image into a larger frame, at a place of its own: nothing is cut off, and the same image at another
place is made of the same pixels. Turning goes about the image's centre, by an angle of each image's own, between the
pixels linearly, within the frame; what leaves it is lost, and turning blurs a little. Shuffling gives each pixel
another place, the same in all images: a network that does not care which pixels are neighbours loses nothing.

When they mislead: how well a network copes with shifts depends on whether it was trained with them: say which.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.data.dataset import Dataset
from models.data.validation import at_least
from models.refusals import Refused
from models.seeds import generator


def framed(data: Dataset, width: int) -> Dataset:
    """Each image in the middle of a frame of blank pixels, `width` on each side: as `shifted` has it, but unmoved."""
    at_least("width", width, 1)
    frame = F.pad(data.images, [width] * 4)
    return _with_images(data, frame, f"{data.name}-framed", f"each in a frame of {width} blank pixels", {})


def pixels_shuffled(data: Dataset, *, seed: int = 0) -> Dataset:
    """The pixels of all images in another order, the same for each image and for all images of this many pixels."""
    order = torch.randperm(data.images[0].numel(), generator=generator(seed, "pixels"))
    shuffled = data.inputs[:, order].view_as(data.images)
    return _with_images(data, shuffled, f"{data.name}-pixels-shuffled", "pixels in another order", {})


def shifted(data: Dataset, most: int = 2, *, seed: int = 0) -> Dataset:
    """Each image by up to `most` pixels up or down and left or right, in a frame wider by `most` on each side.

    `examples` gains `shift_down` and `shift_right`, from -most to most, each as likely.
    """
    at_least("most", most, 1)
    images, (rows, columns) = data.images, data.image_shape or (0, 0)
    down, right = torch.randint(2 * most + 1, (2, len(data)), generator=generator(seed, "shift", most))
    frame = images.new_zeros(len(data), rows + 2 * most, columns + 2 * most)
    place = torch.arange(len(data))[:, None, None]
    frame[
        place,
        down[:, None, None] + torch.arange(rows)[:, None],
        right[:, None, None] + torch.arange(columns),
    ] = images
    moved = {"shift_down": (down - most).numpy(), "shift_right": (right - most).numpy()}
    return _with_images(data, frame, f"{data.name}-shifted", f"each shifted by up to {most} pixels", moved)


def rotated(data: Dataset, most: float = 45.0, *, seed: int = 0) -> Dataset:
    """Each image turned by up to `most` degrees either way; `examples` gains `degrees`, against the clock."""
    if not 0 < most <= 180:
        raise Refused(f"Images are turned by up to an angle above 0 and up to 180 degrees; given {most}.")
    degrees = (torch.rand(len(data), generator=generator(seed, "rotation")) * 2 - 1) * most
    turned = turn(data.images, degrees)
    known = {"degrees": degrees.numpy()}
    return _with_images(data, turned, f"{data.name}-rotated", f"each turned by up to {most:g} degrees", known)


def turn(images: Tensor, degrees: Tensor) -> Tensor:
    """Images `[example, row, column]` about their centre, against the clock, by an angle each `[example]`."""
    cosine, sine = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    zero, aspect = torch.zeros_like(sine), images.shape[1] / images.shape[2]
    matrix = torch.stack([cosine, -sine * aspect, zero, sine / aspect, cosine, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, [len(images), 1, *images.shape[1:]], align_corners=False)
    return F.grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)


def _with_images(
    data: Dataset, images: Tensor, name: str, how: str, known: dict[str, NDArray[Any]]
) -> Dataset:
    return dataclasses.replace(
        data,
        name=name,
        inputs=images.flatten(1).contiguous(),
        image_shape=(int(images.shape[1]), int(images.shape[2])),
        examples=data.examples.assign(**known),
        source=f"{data.source}; {how}",
    )
