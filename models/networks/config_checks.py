"""What the configs of several families refuse alike (no torch is imported here)."""

from __future__ import annotations

import math

from models.refusals import Refused


def whole(name: str, value: object, least: int) -> None:
    """Refuses a size that is no whole number from `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Refused(f"{name} is a whole number from {least}; given {value!r}.")


def scale(value: float) -> None:
    """Refuses an `init_scale` that initial weights cannot be multiplied by."""
    if not (math.isfinite(value) and value >= 0):
        raise Refused(f"init_scale is a finite number from 0; given {value}.")
