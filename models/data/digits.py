"""Handwritten digits: scikit-learn's bundled 8x8 images, as they are, moved about, or replaced by noise.

The bundled digits are the test part of the Optical Recognition of Handwritten Digits data set: 1,797 images
by 13 people, each of 8x8 counts from 0 to 16 of the ink in 4x4 blocks of a 32x32 bitmap. Who wrote which is
not told, but the file goes through the writers one after another: the image nearest to an image, among those
of the same digit, lies within 150 rows in 59 % of cases, against 16 % for a random one. So the splits are
blocks of the file as it stands, 1,000 / 397 / 400, which keeps most writers within one split. It matters:
logistic regression scores 90 % on the last 400 after training on the first 1,000, and 97 % when the same
numbers are drawn at random, because then every writer has been seen. The classes stay balanced: 98 to 104, 37
to 41, 39 to 43 images a digit. One writer may still straddle each of the two cuts.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (1998), UCI Machine Learning
Repository, https://archive.ics.uci.edu/dataset/80; writers as told in scikit-learn's user guide,
https://scikit-learn.org/stable/datasets/toy_dataset.html.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.noise import noise
from models.data.splits import split_in_order
from models.data.transformed import rotated, shifted


def load_bundled_digits() -> Dataset:
    """scikit-learn's digits, pixels divided by 16; `number` in `examples` is the row in the file."""
    bundle = load_digits()
    digit = bundle.target.astype(np.int64)
    examples = pd.DataFrame(
        {
            "number": np.arange(len(digit)),
            "digit": digit,
            "split": split_in_order(*CATALOGUE["digits"].splits),
        }
    )
    return Dataset(
        "digits",
        torch.tensor(bundle.data / 16, dtype=torch.float32),
        torch.tensor(digit),
        examples,
        image_shape=(8, 8),
        classes=10,
        source="Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998), bundled with scikit-learn",
    )


def load_shifted_digits() -> Dataset:
    """The bundled digits, each shifted by up to two pixels in a wider frame."""
    return shifted(load_bundled_digits())


def load_rotated_digits() -> Dataset:
    """The bundled digits, each turned by up to 45 degrees."""
    return rotated(load_bundled_digits())


def load_digit_noise() -> Dataset:
    """Images of noise, as many and as large as the bundled digits."""
    return noise(load_bundled_digits())
