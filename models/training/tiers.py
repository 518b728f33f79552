"""The tiers of planted facts, from easy to hard (models/training/trials.py says what each is). No torch is imported."""

from __future__ import annotations

from typing import Literal, get_args

Tier = Literal[
    "one component",
    "few facts",
    "two plantings",
    "split",
    "rehearsed",
    "heads",
    "matrices",
    "neuron sets",
    "sham",
]
TIERS: tuple[Tier, ...] = get_args(Tier)
