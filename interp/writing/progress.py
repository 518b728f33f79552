"""A progress bar on stderr for what takes longer than two seconds; none where stderr is no terminal."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from interp.reading.feeding import SECONDS_BEFORE_PROGRESS


class Progress:
    """How many of `total` edits are done."""

    def __init__(self, total: int) -> None:
        self.total, self.finished = total, 0
        self.bar: Any = None

    def __enter__(self) -> Progress:
        self.began = time.perf_counter()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.bar is not None:
            self.bar.close()

    def done(self, edits: int) -> None:
        """So many more are done."""
        self.finished += edits
        if self.bar is not None:
            self.bar.update(edits)
        elif time.perf_counter() - self.began > SECONDS_BEFORE_PROGRESS:
            self.bar = self._begun()

    def _begun(self) -> Any:
        from tqdm import tqdm

        return tqdm(
            total=self.total,
            initial=self.finished,
            desc="sweep",
            unit=" edits",
            disable=bool(os.environ.get("TQDM_DISABLE")) or None,
            leave=False,
            file=sys.stderr,
        )
