"""A capture killed with kill -9 at any moment leaves a readable store or none."""

from __future__ import annotations

import os
import random
import shutil
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


def killed_after(seconds: float, folder: Path) -> bool:
    """Forks a capture and kills it after so many seconds; whether it was still at work."""
    victim = os.fork()
    if victim == 0:
        try:
            capture_to(folder)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(victim, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(victim, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_capture_leaves_a_readable_store_or_none(tmp_path: Path) -> None:
    began = time.perf_counter()
    killed_after(0.0, tmp_path / "warm")
    whole = _seconds_of_a_whole_capture(tmp_path / "whole")
    moments = random.Random(0)
    cut_off = readable = 0
    for number in range(VICTIMS):
        folder = tmp_path / str(number)
        cut_off += killed_after(moments.uniform(0.0, 1.2) * whole, folder)
        try:
            acts = open_activations(folder, verify=True)
        except BadFile as error:
            assert "incomplete" in str(error) or "holds no activations" in str(error)  # noqa: PT017
            continue
        readable += 1
        assert torch.equal(acts.tensor("plus.hook_post")[:, 0], 4 * torch.arange(float(EXAMPLES)) + 1)
    assert cut_off >= VICTIMS // 4, f"only {cut_off} of {VICTIMS} were caught at work"
    assert time.perf_counter() - began < 60


def _seconds_of_a_whole_capture(folder: Path) -> float:
    victim, began = os.fork(), time.perf_counter()
    if victim == 0:
        try:
            capture_to(folder)
        finally:
            os._exit(0)
    os.waitpid(victim, 0)
    seconds = time.perf_counter() - began
    assert open_activations(folder, verify=True)
    shutil.rmtree(folder)
    return seconds
