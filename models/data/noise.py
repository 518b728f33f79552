"""Images that show nothing, in four families: what does a network of digits call them?

`uniform`: each pixel anything from 0 to 1. `gaussian`: each pixel from N(0.5, 0.5^2), cut to 0 and 1. `blank`: all
pixels alike, each image a grey of its own. `shuffled`: real images, the pixels of each shuffled anew, so that how much
ink there is stays and where it is does not.

When they mislead: a network may tell noise by its mean brightness alone; `shuffled` is the family where it cannot.

Source: Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples (2017),
https://arxiv.org/abs/1610.02136, for the first two, on other scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.splits import Counts, split_in_order
from models.refusals import Refused
from models.seeds import generator

Maker = Callable[[Tensor, torch.Generator], Tensor]

NOISE: Mapping[str, Maker] = MappingProxyType(
    {
        "uniform": lambda like, randomness: torch.rand(like.shape, generator=randomness),
        "gaussian": lambda like, randomness: (
            0.5 + 0.5 * torch.randn(like.shape, generator=randomness)
        ).clamp(0, 1),
        "blank": lambda like, randomness: torch.rand(len(like), 1, generator=randomness).expand_as(like),
        "shuffled": lambda like, randomness: like.gather(
            1, torch.rand(like.shape, generator=randomness).argsort(dim=1)
        ),
    }
)


def noise(like: Dataset, *, splits: Counts = CATALOGUE["noise"].splits, seed: int = 0) -> Dataset:
    """Noise of the shape of these images, as many examples in each split as given, the families in turn.

    The target is the family, and `examples` has its name. The shuffled images of each split come from that split of
    `like`. Raises `Refused` for splits that do not part into the families.
    """
    if any(count % len(NOISE) for count in splits):
        raise Refused(f"Each split holds as many of each of {len(NOISE)} families; given {splits}.")
    family = np.arange(sum(splits)) % len(NOISE)
    split = split_in_order(*splits)
    real = torch.cat([_drawn(part, splits[place], seed, place) for place, part in enumerate(_parts(like))])
    inputs = torch.empty_like(real)
    for number, (name, make) in enumerate(NOISE.items()):
        rows = torch.from_numpy(family == number)
        inputs[rows] = make(real[rows], generator(seed, f"noise {name}"))
    return Dataset(
        "noise",
        inputs,
        torch.from_numpy(family),
        pd.DataFrame({"family": [list(NOISE)[number] for number in family], "split": split}),
        like.image_shape,
        len(NOISE),
        f"Noise ({', '.join(NOISE)}) of the shape of {like.name}, seed {seed}",
    )


def _parts(like: Dataset) -> tuple[Dataset, Dataset, Dataset]:
    return like.network, like.probe, like.test


def _drawn(part: Dataset, count: int, seed: int, place: int) -> Tensor:
    """So many images of a split, none twice before all were there."""
    randomness = generator(seed, "noise images", place)
    turns = -(-count // len(part))
    rows = torch.cat([torch.randperm(len(part), generator=randomness) for _ in range(turns)])[:count]
    return part.inputs[rows]
