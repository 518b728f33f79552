"""What an edit draws at random: the same however often its hook is called in one pass of the network.

A recurrent layer calls a hook that edits once a position, each time on the whole trajectory, and from whichever
position on it needs to; a sweep calls it for many runs at once. What was drawn may not hang on that. So every call of
a pass draws from the same beginning: from the seed (a block's later passes: from one made of the seed and the pass's
number), or from where a generator stood when the pass began. What was drawn is not kept, it is as large as the
activation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp.refusals import Refused
from interp.writing.sites import Site

PASSES, BEGAN = "passes before this one", "the generator's state when the pass began"


def randomness(draw: int | torch.Generator, site: Site) -> torch.Generator:
    """What to draw from in this call: a generator of a seed, or the one given, which goes on from pass to pass."""
    if isinstance(draw, int):
        return torch.Generator().manual_seed(_seed_of_pass(draw, site.memory.get(PASSES, 0)))
    if BEGAN not in site.memory:
        site.memory[BEGAN] = draw.get_state()
        return draw
    return torch.Generator().set_state(site.memory[BEGAN])


def begin_pass(memory: dict[object, Any]) -> None:
    """The next call draws anew."""
    memory[PASSES] = memory.get(PASSES, -1) + 1
    memory.pop(BEGAN, None)


def _seed_of_pass(seed: int, passes: int) -> int:
    """The seed itself in the first pass."""
    return seed if not passes else int(np.random.SeedSequence((seed % 2**64, passes)).generate_state(1)[0])


def other_examples(count: int, generator: torch.Generator, hook: str) -> Tensor:
    """For each of `count` examples another one: a step along a random cycle through all of them."""
    if count < 2:
        raise Refused(f"Resampling {hook!r} within the batch takes at least 2 examples; it has {count}.")
    cycle = torch.randperm(count, generator=generator)
    return torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(-1))
