"""MNIST: 70,000 handwritten digits of 28x28 pixels, with writers where QMNIST's labels are present.

The published test digits stay the test split. Of the 60,000 training digits, 50,000 train networks and 10,000
probes: with QMNIST's labels, a seeded choice of whole writers that wrote exactly 10,000; without them
Nielsen's cut, the first 50,000 and the last 10,000. What the labels show: the published test digits are by
297 writers, none of whom is among the 539 of the training digits; Nielsen's cut is not writer-disjoint: 251
of the 305 writers of its last 10,000 also wrote some of its first 50,000.

Rows stand in the order network, probe, test (so each split is one piece of memory), and within a split as
published; `number` in `examples` is the published place: 0 to 59,999 training, 60,000 to 69,999 test.

QMNIST's eight columns are: digit, NIST series (HSF), writer, index within the writer, NIST class code, index
within NIST's digits, duplicate, unused. Joined are `writer`, `nist_series` (0, 1: census employees; 4:
high-school students, held to be harder: a confound to probe for), and `nist_class` (30 to 39: the digit's
ASCII code in hexadecimal, so it says no more than the digit).

Sources: LeCun, Cortes and Burges (1998), http://yann.lecun.com/exdb/mnist. Yadav and Bottou, Cold Case: The
Lost MNIST Digits (2019), https://arxiv.org/abs/1905.10498, columns in
https://github.com/facebookresearch/qmnist. Nielsen, Neural Networks and Deep Learning (2015),
http://neuralnetworksanddeeplearning.com/chap1.html.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.fetch import DataFile, fetch, find
from models.data.idx import read_idx
from models.data.splits import group_sample, split_in_order

_MNIST_HOMES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_QMNIST_HOMES = ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",)
_WRITER_SEED = 0
_KNOWN = "Writers from QMNIST (Yadav and Bottou 2019): no writer is in two splits."
_UNKNOWN = (
    "Writers unknown, as qmnist/qmnist-{train,test}-labels-idx2-int.gz are not both here: the probe split is "
    "the last 10,000 training digits, and shares writers with the network split."
)


def _mnist(name: str, sha256: str) -> DataFile:
    return DataFile(f"mnist/{name}", sha256, tuple(home + name for home in _MNIST_HOMES))


def _qmnist(name: str, sha256: str) -> DataFile:
    return DataFile(f"qmnist/{name}", sha256, tuple(home + name for home in _QMNIST_HOMES))


TRAIN_IMAGES = _mnist(
    "train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
)
TRAIN_LABELS = _mnist(
    "train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
)
TEST_IMAGES = _mnist(
    "t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
)
TEST_LABELS = _mnist(
    "t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
)
TRAIN_WRITERS = _qmnist(
    "qmnist-train-labels-idx2-int.gz", "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f"
)
TEST_WRITERS = _qmnist(
    "qmnist-test-labels-idx2-int.gz", "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06"
)


def load_mnist() -> Dataset:
    """MNIST, 50,000 / 10,000 / 10,000. `BadFile` when a file is missing or altered."""
    images, digit = _read(TRAIN_IMAGES, TEST_IMAGES), _read(TRAIN_LABELS, TEST_LABELS).astype(np.int64)
    examples = pd.DataFrame({"number": np.arange(70_000), "digit": digit})
    writers = _writers()
    examples = examples if writers is None else examples.join(writers)
    order = _order(writers)
    return Dataset(
        "mnist",
        _scaled(images[order]),
        torch.from_numpy(digit[order]),
        examples.iloc[order].reset_index(drop=True).assign(split=split_in_order(*CATALOGUE["mnist"].splits)),
        image_shape=(28, 28),
        classes=10,
        source=f"MNIST (LeCun, Cortes and Burges 1998). {_UNKNOWN if writers is None else _KNOWN}",
    )


def _order(writers: pd.DataFrame | None) -> NDArray[np.int64]:
    """The published places in the order network, probe, test."""
    train = np.arange(60_000)
    if writers is None:
        probe = train >= 50_000
    else:
        probe = group_sample(writers["writer"].to_numpy()[train], 10_000, seed=_WRITER_SEED)
    return np.concatenate([train[~probe], train[probe], np.arange(60_000, 70_000)])


def _scaled(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)).to(torch.float32).div_(255)


def _read(*files: DataFile) -> NDArray[Any]:
    """The arrays in these files, one after another; what is in each is settled by its checksum."""
    return np.concatenate([read_idx(fetch(file)) for file in files])


def _writers() -> pd.DataFrame | None:
    """QMNIST's knowledge of the 70,000 examples, or None when one of its two files is not here."""
    if find(TRAIN_WRITERS) is None or find(TEST_WRITERS) is None:
        return None
    known = _read(TRAIN_WRITERS, TEST_WRITERS)[:70_000]
    columns = {"writer": 2, "nist_series": 1, "nist_class": 4}
    return pd.DataFrame({name: known[:, column].astype(np.int64) for name, column in columns.items()})
