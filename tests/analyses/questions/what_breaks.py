"""An analysis with a fault, for the tests of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

QUESTION = "What happens when an analysis breaks?"


@dataclass(frozen=True)
class Config:
    """Nothing to set."""

    seeds: int = 1

    @staticmethod
    def quick() -> Config:
        """The same."""
        return Config()


def answer(config: Config) -> NoReturn:
    """Breaks."""
    raise RuntimeError(f"broken for {config.seeds} seed\nand a second line")
