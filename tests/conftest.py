"""What the whole suite shares: where the real data are, and how hypothesis searches (alike every time)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from models.data.dataset import Dataset
from models.data.mnist import load_mnist

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("suite")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder that INTERP_DATA_DIR names; without it tests skip, or fail if INTERP_REQUIRE_DATA=1."""
    folder = os.environ.get("INTERP_DATA_DIR")
    if folder:
        return Path(folder)
    reason = "needs real data: set INTERP_DATA_DIR to a folder with mnist/ and qmnist/ (see README, Data)"
    if os.environ.get("INTERP_REQUIRE_DATA") == "1":
        pytest.fail(f"{reason}; INTERP_REQUIRE_DATA=1 forbids skipping")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mnist(data_dir: Path) -> Dataset:
    """Real MNIST, loaded once (220 MB)."""
    return load_mnist()
