from __future__ import annotations

import pytest
import torch

from models.data.dataset import Dataset
from models.seeds import generator


@pytest.fixture(scope="session")
def blobs() -> Dataset:
    """130 points of three noisy classes in eight dimensions: seconds of training are milliseconds here."""
    randomness = generator(0, "blobs")
    targets = torch.randint(3, (130,), generator=randomness)
    centres = torch.randn(3, 8, generator=randomness)
    inputs = centres[targets] + 0.8 * torch.randn(130, 8, generator=randomness)
    split = ["network"] * 70 + ["probe"] * 30 + ["test"] * 30
    return Dataset.from_arrays(inputs, targets, split=split, name="blobs")
