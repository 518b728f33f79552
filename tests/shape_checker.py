"""Which signatures pytest checks at run time: those that name axes.

Wrong shapes and dtypes of tensors are what mypy cannot see. Everything else stays unchecked here, so that tests can
make a wrong call and see the error a user would see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import beartype

SHAPED = tuple(f"{name}[" for name in vars(jaxtyping) if isinstance(getattr(jaxtyping, name), type))


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype, on functions whose annotations name axes."""
    annotations = map(str, getattr(function, "__annotations__", {}).values())
    return beartype(function) if any(kind in text for text in annotations for kind in SHAPED) else function
