"""An analysis that does not end by itself, for the tests of the command line."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import NoReturn

QUESTION: str = "When does it end?"


@dataclass(frozen=True)
class Config:
    """Nothing to set."""

    seeds: int = 1

    @staticmethod
    def quick() -> Config:
        """The same."""
        return Config()


def answer(config: Config) -> NoReturn:
    """Says that it has begun, and waits."""
    sys.stderr.write("begun\n")
    sys.stderr.flush()
    while True:
        time.sleep(config.seeds)
