"""Fashion-MNIST's 10,000 test images: clothes of 28x28 pixels, never a digit.

In the form of MNIST's files, made to be harder; here they are mostly what a network of digits should not call a digit.
Rows are as published: 6,000 for networks, 2,000 for probes, 2,000 for the test. The published training images are not
used, so accuracies are not those of the literature.

Source: Xiao, Rasul and Vollgraf, Fashion-MNIST (2017), https://arxiv.org/abs/1708.07747.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.fetch import DataFile, fetch
from models.data.idx import read_idx
from models.data.splits import split_in_order

HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
IMAGES = DataFile(
    "fashion_mnist/t10k-images-idx3-ubyte.gz",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    (HOME + "t10k-images-idx3-ubyte.gz",),
)
LABELS = DataFile(
    "fashion_mnist/t10k-labels-idx1-ubyte.gz",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    (HOME + "t10k-labels-idx1-ubyte.gz",),
)
GARMENTS = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "trainer",
    "bag",
    "ankle boot",
)


def load_clothes() -> Dataset:
    """The clothes, pixels from 0 to 1; `examples` has `number` (the published place) and `garment`.

    `BadFile` when a file is missing or altered.
    """
    images, label = read_idx(fetch(IMAGES)), read_idx(fetch(LABELS)).astype(np.int64)
    examples = pd.DataFrame(
        {
            "number": np.arange(len(label)),
            "garment": [GARMENTS[number] for number in label],
            "split": split_in_order(*CATALOGUE["clothes"].splits),
        }
    )
    return Dataset(
        "clothes",
        torch.from_numpy(images.reshape(len(images), -1)).to(torch.float32).div_(255),
        torch.from_numpy(label),
        examples,
        image_shape=(28, 28),
        classes=10,
        source="Fashion-MNIST, test images (Xiao, Rasul and Vollgraf 2017)",
    )
