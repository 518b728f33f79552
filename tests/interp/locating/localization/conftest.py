from __future__ import annotations

import pytest
from known_facts import Bench, trained_bench


@pytest.fixture(scope="session")
def bench() -> Bench:
    """Three small networks of different seeds that know 130 facts, and the same with 30 more planted in each MLP."""
    return trained_bench()
