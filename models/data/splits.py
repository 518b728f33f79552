"""Three splits: `network` trains networks, `probe` trains what reads them, `test` judges both.

A probe trained on the network's own training examples reads memorised labels, and a test on writers (or any
other group) seen in training measures recognition of the group as well as of the label. So three parts, and
where groups are known each group lies wholly in one part.

`group_sample` picks whole groups whose sizes add up to an exact total: it walks through the groups in an
order that depends on the seed alone (they are sorted by a hash of seed and group, so every platform and
library version agrees) and stops as soon as some of those met add up to the total. Nearly all groups met are
then in, so the pick is close to a plain random sample of groups; with few groups of unlike size it leans
towards sizes that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

from models.refusals import Refused

SPLITS = ("network", "probe", "test")
Counts = tuple[int, int, int]


def split_in_order(network: int, probe: int, test: int) -> list[str]:
    """Split names for rows in a given order: first the network's, then the probe's, then the test's."""
    return ["network"] * network + ["probe"] * probe + ["test"] * test


def split_at_random(
    examples: int, *, seed: int, shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
) -> list[str]:
    """Split names for `examples` rows drawn at random, in these shares of network, probe and test.

    Only for rows that have nothing in common but their labels: where writers, people or sources are known,
    keep each in one split. Raises `Refused` when a split would be empty or the shares do not add up to 1.
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise Refused(f"Shares {shares} add up to {sum(shares):g}. Give three shares that add up to 1.")
    first, second = round(examples * shares[0]), round(examples * (shares[0] + shares[1]))
    counts = (first, second - first, examples - second)
    if min(counts) == 0:
        figures = ", ".join(f"{name} {count}" for name, count in zip(SPLITS, counts, strict=True))
        raise Refused(
            f"{examples} examples in shares {shares} leave a split empty ({figures}). Give more examples."
        )
    names = np.array(split_in_order(*counts))
    return [str(name) for name in names[np.random.default_rng(seed).permutation(examples)]]


def group_sample(
    groups: Shaped[np.ndarray, " example"], examples: int, *, seed: int
) -> Bool[np.ndarray, " example"]:
    """Which rows belong to a seeded choice of whole groups that holds exactly `examples` rows.

    Raises `Refused` when no set of groups adds up to that number.
    """
    values, sizes = np.unique(groups, return_counts=True)
    order = sorted(range(len(values)), key=lambda index: _place(values[index], seed))
    chosen = _subset_with_sum([int(sizes[index]) for index in order], examples)
    if chosen is None:
        raise Refused(
            f"No set of the {len(values)} groups ({sizes.min()} to {sizes.max()} examples each) adds up to "
            f"exactly {examples} examples. Ask for another number."
        )
    return np.isin(groups, values[[order[index] for index in chosen]])


def _place(group: object, seed: int) -> str:
    return sha256(f"{seed}:{group}".encode()).hexdigest()


def _subset_with_sum(sizes: Sequence[int], total: int) -> list[int] | None:
    """Indices of the first subset found, in order, that adds up to `total`: dynamic programming over sums."""
    reached_by: NDArray[Any] = np.full(
        total + 1, -1
    )  # for each sum, the index of the size that first made it
    reachable = np.zeros(total + 1, dtype=bool)
    reachable[0] = True
    for index, size in enumerate(sizes):
        if size > total:
            continue
        fresh = reachable[: total + 1 - size] & ~reachable[size:]
        reached_by[size:][fresh] = index
        reachable[size:] |= fresh
        if reachable[total]:
            return _walk_back(reached_by, sizes, total)
    return None


def _walk_back(reached_by: NDArray[Any], sizes: Sequence[int], total: int) -> list[int]:
    chosen = []
    while total > 0:
        chosen.append(int(reached_by[total]))
        total -= sizes[chosen[-1]]
    return chosen
