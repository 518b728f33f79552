"""Command lines as a user types them: in this process, or the installed `interp` as one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).parent / "questions"
INTERP = Path(sys.executable).with_name("interp")


@dataclass(frozen=True)
class Done:
    """What a command line did: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as JSON."""
        return json.loads(self.out)


Interp = Callable[..., Done]


def process(*words: str, cwd: Path | None = None, **settings: str) -> Done:
    """The installed `interp` as a process of its own, with these environment variables."""
    environment = {**os.environ, **settings}
    done = subprocess.run(
        [INTERP, *words], capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)
