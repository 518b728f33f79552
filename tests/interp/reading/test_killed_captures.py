"""A capture killed with kill -9 at any moment leaves a readable store or none."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from hand_network import HandNetwork

from interp.reading import keepers
from interp.reading.capture import capture
from interp.reading.store import open_activations
from interp.refusals import BadFile

VICTIMS = 16
EXAMPLES = 400


def capture_to(folder: Path) -> None:
    """Twenty shards of twenty examples."""
    signal.alarm(60)  # whatever happens, the suite does not wait for ever
    torch.set_num_threads(1)
    keepers.SHARD_BYTES = 1
    inputs = torch.arange(2.0 * EXAMPLES).reshape(EXAMPLES, 2)
    capture(HandNetwork(), inputs, "**", to=folder, batch_size=EXAMPLES // 20)


def killed_at(files: int, seconds: float, folder: Path) -> bool:
    """Forks a capture, kills it so long after it has that many files; whether it was still at work."""
    victim, patience = os.fork(), time.monotonic() + 20
    if victim == 0:
        try:
            capture_to(folder)
        finally:
            os._exit(0)
    while _files_in(folder) < files and time.monotonic() < patience:
        time.sleep(0.0002)
    time.sleep(seconds)
    os.kill(victim, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(victim, 0)[1])


def _files_in(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_capture_leaves_a_readable_store_or_none(tmp_path: Path) -> None:
    capture_in_a_child(tmp_path / "whole")
    moments = random.Random(0)
    cut_off = readable = 0
    for number in range(VICTIMS):
        folder = tmp_path / str(number)
        cut_off += killed_at(moments.randint(0, 21), moments.uniform(0.0, 0.002), folder)
        try:
            acts = open_activations(folder, verify=True)
        except BadFile as error:
            assert "incomplete" in str(error) or "holds no activations" in str(error)  # noqa: PT017
            continue
        readable += 1
        assert torch.equal(acts.tensor("plus.hook_post")[:, 0], 4 * torch.arange(float(EXAMPLES)) + 1)
    assert cut_off >= VICTIMS // 4, f"only {cut_off} of {VICTIMS} were caught at work"


def capture_in_a_child(folder: Path) -> None:
    """One that is left alone ends with a whole store."""
    victim = os.fork()
    if victim == 0:
        try:
            capture_to(folder)
        finally:
            os._exit(0)
    os.waitpid(victim, 0)
    assert open_activations(folder, verify=True)
