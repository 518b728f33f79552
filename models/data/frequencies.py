"""How often each fact is met in training.

`uniform`: once. `zipf`: the facts are put in a random order of ranks 1, 2, ..., n, and rank r is met n / r
times (rounded), so the commonest n times and the rarest once: n (ln n + 0.58) times altogether, nine times as
many as facts for n = 4,000.

Source: Zipf, Human behavior and the principle of least effort (1949).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int64

from models.refusals import Refused, one_of

Frequencies = Literal["uniform", "zipf"]


def times(frequencies: Frequencies | Sequence[int], facts: int, *, seed: int) -> Int64[np.ndarray, " fact"]:
    """How often each of this many facts is met; a sequence is taken as it is. `Refused` when its length
    differs."""
    if not isinstance(frequencies, str):
        given = np.asarray(frequencies)
        if given.shape != (facts,) or given.dtype.kind not in "iu":
            raise Refused(
                f"{given.dtype} frequencies {list(given.shape)} for {facts} facts. Give a whole number for each."
            )
        return given.astype(np.int64)
    one_of("kind of frequencies", frequencies, Frequencies)
    if frequencies == "uniform":
        return np.ones(facts, dtype=np.int64)
    ranks = np.random.default_rng(seed).permutation(facts) + 1
    return np.rint(facts / ranks).astype(np.int64)
