"""Random numbers that come from a seed and a purpose, and from nothing else.

`generator(seed, "order", epoch)` is a pure function of its arguments: no generator state has to be saved to resume a
run, and one seed's stream does not depend on which other seeds train beside it. Streams of different purposes are
independent (numpy's SeedSequence; O'Neill 2015, https://www.pcg-random.org/posts/developing-a-seed_seq-alternative.html).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch

from models.refusals import Refused


def generator(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A CPU generator for this seed, purpose and counters: the same bits whatever the device."""
    entropy = [seed, zlib.crc32(purpose.encode()), *counters]
    state = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state)


def seed_tuple(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Seeds as a tuple: a count means 0 … count - 1. Repeated, negative or no seeds are refused."""
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(seed) for seed in seeds)
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise Refused(f"Seeds are one or more different whole numbers from 0, or a count; given {seeds!r}.")
    return chosen
