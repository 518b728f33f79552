"""Handwritten Latin letters of Omniglot, made to look like MNIST: 26 letters by the same 20 people.

Each drawing of 105x105 black and white pixels is brought into MNIST's form: the ink's box is scaled, smoothed, to fit
20x20, and set into 28x28 with the ink's centre of mass in the middle (LeCun et al. 1998). Omniglot's lines are thin:
before scaling they are thickened by 2 pixels on each side, so that they are about as wide as MNIST's.

Whole people are in one split (10, 5 and 5 of them): who draws a letter in `test` drew none in `network`. o and l (and
more) look like digits: no network of digits can tell all letters from them.

Source: Lake, Salakhutdinov and Tenenbaum, Human-level concept learning (2015), https://github.com/brendenlake/omniglot.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.io import imread
from skimage.morphology import dilation, disk
from skimage.transform import resize

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.fetch import DataFile, fetch
from models.data.splits import split_in_order
from models.refusals import BadFile

ARCHIVE = DataFile(
    "omniglot/images_background_small1.zip",
    "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
    ("https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_background_small1.zip",),
)
NAME = re.compile(r".*/Latin/character(\d+)/\d+_(\d+)\.png")
BOX, SIDE, THICKENED = 20, 28, 2


def load_letters() -> Dataset:
    """The letters, pixels from 0 to 1; `examples` has `letter` (a to z) and `drawer` (1 to 20).

    `BadFile` when the file is missing or altered.
    """
    drawn = _drawings(fetch(ARCHIVE))
    order = sorted(drawn, key=lambda place: (place[1], place[0]))  # by person, so that splits are people
    examples = pd.DataFrame(
        {
            "letter": [chr(ord("a") + letter - 1) for letter, _ in order],
            "drawer": [drawer for _, drawer in order],
            "split": split_in_order(*CATALOGUE["letters"].splits),
        }
    )
    images = np.stack([as_mnist(drawn[place]) for place in order])
    return Dataset(
        "letters",
        torch.from_numpy(images).flatten(1).to(torch.float32),
        torch.tensor([letter - 1 for letter, _ in order]),
        examples,
        image_shape=(SIDE, SIDE),
        classes=26,
        source="Omniglot, Latin letters (Lake, Salakhutdinov and Tenenbaum 2015), in MNIST's form",
    )


def _drawings(path: Path) -> dict[tuple[int, int], NDArray[np.float64]]:
    """Each letter and drawer's drawing, ink 1 and paper 0."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {name: NAME.fullmatch(name) for name in archive.namelist()}
            return {
                (int(match[1]), int(match[2])): 1.0 - np.asarray(imread(io.BytesIO(archive.read(name))) > 0)
                for name, match in found.items()
                if match is not None
            }
    except (OSError, zipfile.BadZipFile) as error:
        raise BadFile(f"{path} cannot be read: {error}. {ARCHIVE.remedy}") from error


def as_mnist(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """A drawing `[row, column]`, ink 1 and paper 0, as MNIST would show it: 28x28, from 0 to 1."""
    ink = dilation(ink, disk(THICKENED))  # type: ignore[no-untyped-call]
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shrunk = BOX / max(box.shape)
    shape = [max(1, round(side * shrunk)) for side in box.shape]
    small = np.clip(resize(box, shape, order=1, anti_aliasing=True), 0, 1)  # type: ignore[no-untyped-call]
    masses = [
        np.average(np.arange(side), weights=small.sum(axis=1 - axis)) for axis, side in enumerate(shape)
    ]
    top, left = (
        int(np.clip(round((SIDE - 1) / 2 - mass), 0, SIDE - side))
        for mass, side in zip(masses, shape, strict=True)
    )
    image = np.zeros((SIDE, SIDE))
    image[top : top + shape[0], left : left + shape[1]] = small
    return image
