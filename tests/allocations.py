"""How many bytes of tensors a call has at once at most, beyond what was there before: every allocation, counted.

torch's profiler reports each allocation and each release of its allocator, in order, those inside an operation too; the
largest running sum is the peak. What is released though it was there before lowers the sum, never raises it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import TypeVar

from torch.profiler import ProfilerActivity, profile

Result = TypeVar("Result")


def with_peak_bytes(call: Callable[[], Result]) -> tuple[Result, int]:
    """What a call gives, and the peak over it; run it once before, lest what is made once for good be counted."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        result = call()
    assert seen.profiler is not None
    events = seen.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return result, max(accumulate((size for _, size in changes), initial=0))
