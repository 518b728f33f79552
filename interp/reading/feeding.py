"""What a capture feeds to the network: its inputs in batches along their example axis, and the table.

Data is a tensor, or anything with `inputs` (a tensor) and `examples` (a pandas table, one row per example). A
population takes inputs that all members share, `[example, ...]`, or one set for each, `[seed, example, ...]`:
its `hook_input` tells which by the number of dimensions, the length of `examples` where there is no such hook
point, and a bare tensor that nothing else explains is shared. Where data also has a `mask [example, pos]`, False at
padding, a network whose `forward` takes a `mask` is given it.
"""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn

from interp.reading.points import axes_of, declared_axes, hook_points, seeds_of
from interp.refusals import Refused

BATCH_SIZE = 256
SECONDS_BEFORE_PROGRESS = 2.0


@runtime_checkable
class LabelledData(Protocol):
    """Inputs and what is known of each."""

    @property
    def inputs(self) -> Tensor: ...

    @property
    def examples(self) -> pd.DataFrame: ...


@dataclass(frozen=True, eq=False)
class Feed:
    """Inputs to be read in batches along `axis`, each moved to the network's device and dtype.

    `mask`: what the network is told of padding; `padding`: where there is any, told or not (see `padding_of`).
    """

    inputs: Tensor
    known: pd.DataFrame | None
    axis: int
    batch_size: int
    device: torch.device
    dtype: torch.dtype
    mask: Tensor | None = None
    padding: Tensor | None = None

    @cached_property
    def examples(self) -> pd.DataFrame:
        """What is known of each example, a row each; no columns where the inputs are a bare tensor."""
        return pd.DataFrame(index=pd.RangeIndex(self.total)) if self.known is None else self.known

    @property
    def total(self) -> int:
        """The number of examples."""
        return int(self.inputs.shape[self.axis])

    def batches(self) -> Iterator[Tensor]:
        """Batches in order; a progress bar on stderr once it has taken more than two seconds."""
        began, bar = time.perf_counter(), None
        try:
            for start in range(0, self.total, self.batch_size):
                length = min(self.batch_size, self.total - start)
                yield self.inputs.narrow(self.axis, start, length).to(self.device, self.dtype)
                if bar is not None:
                    bar.update(length)
                elif time.perf_counter() - began > SECONDS_BEFORE_PROGRESS:
                    bar = _progress_bar(self.total, start + length)
        finally:
            if bar is not None:
                bar.close()

    def masks(self) -> Iterator[dict[str, Tensor]]:
        """For each batch what tells the network which positions are real: `mask`, or nothing where none is padded."""
        for start in range(0, self.total, self.batch_size):
            if self.mask is None:
                yield {}
            else:
                length = min(self.batch_size, self.total - start)
                yield {"mask": self.mask.narrow(self.mask.ndim - 2, start, length).to(self.device)}


def feed_of(
    model: nn.Module, data: LabelledData | Tensor, *, batch_size: int | None, masked: bool = False
) -> Feed:
    """The data as batches for this network; `masked`: whoever asks hands the masks on to it.

    Raises `Refused` for no examples, a table of another length, padding that the network would read, and tokens of
    another tokenizer than the network's.
    """
    refuse_other_spelling(model, data)
    inputs, examples = _parts(data)
    size = BATCH_SIZE if batch_size is None else batch_size
    if size < 1:
        raise Refused(f"batch_size is at least 1; given {batch_size}.")
    axis = _example_axis(model, inputs, examples)
    total = int(inputs.shape[axis])
    if total == 0:
        raise Refused(f"There are no examples to capture: the inputs have shape {tuple(inputs.shape)}.")
    if examples is not None and len(examples) != total:
        raise Refused(
            f"The inputs hold {total:,} examples, but the table `examples` has {len(examples):,} rows."
        )
    mask = _padding(model, data, masked)
    return Feed(inputs, examples, axis, size, *taken_by(model, inputs), mask, padding_of(data))


def refuse_other_spelling(model: nn.Module, data: object) -> None:
    """Raises `Refused` where network and data both say which tokenizer they are spelt with, and it is not the same."""
    trained_with = getattr(model, "spelt_with", None)
    given = getattr(getattr(data, "tokenizer", None), "digest", None)
    if trained_with is not None and given is not None and trained_with != given:
        raise Refused(
            "The tokenizer does not fit: these data are spelt with another than the data the network learned, so the "
            "same numbers are other words. Make them with that one: facts.dataset(trained_data.tokenizer)."
        )


def padding_of(data: object) -> Tensor | None:
    """The data's mask `[*seed, example, pos]`, False at padding; None where there is no padding, or no mask."""
    mask = getattr(data, "mask", None)
    return mask if isinstance(mask, Tensor) and mask.ndim > 1 and not bool(mask.all()) else None


def _padding(model: nn.Module, data: LabelledData | Tensor, masked: bool) -> Tensor | None:
    """Which positions are real, `[*seed, example, pos]`; None where all are, or the network does not ask."""
    mask = padding_of(data)
    if mask is None or "mask" not in inspect.signature(model.forward).parameters:
        return None
    if masked:
        return mask
    if not getattr(model, "causal", False) or "pos" not in _output_axes(model):
        raise Refused(
            "These sequences are padded, and this network would read the padding, since only a capture tells it which "
            "positions are real: give sequences of one length here."
        )
    return None  # what stands behind a position of a causal network does not reach it


def refuse_padding_at(data: LabelledData | Tensor, at: int | None) -> None:
    """Raises `Refused` where the position that is read is padding in some example."""
    mask = getattr(data, "mask", None)
    if at is None or not isinstance(mask, Tensor) or not -mask.shape[-1] <= at < mask.shape[-1]:
        return
    if padded := int((~mask[..., at]).sum()):
        raise Refused(
            f"at={at} is padding in {padded} of {mask[..., at].numel()} sequences: give sequences of one length."
        )


def _output_axes(model: nn.Module) -> tuple[str, ...]:
    logits = hook_points(model).get("hook_logits")
    return (declared_axes(logits) if logits is not None else None) or ()


def _parts(data: LabelledData | Tensor) -> tuple[Tensor, pd.DataFrame | None]:
    bare = isinstance(data, Tensor)
    inputs = data if bare else getattr(data, "inputs", None)
    examples = getattr(data, "examples", None)
    labelled = bare or isinstance(examples, pd.DataFrame)
    if not labelled or not isinstance(inputs, Tensor) or inputs.ndim == 0:
        raise Refused(
            f"A {type(data).__name__} is not data: give a torch tensor with an example axis, or something "
            "with `inputs` (such a tensor) and `examples` (a pandas table)."
        )
    return inputs.detach(), None if bare else examples


def _example_axis(model: nn.Module, inputs: Tensor, examples: pd.DataFrame | None) -> int:
    """Where the example axis of the inputs is: 1 where every member of a population has inputs of its own."""
    seeds = seeds_of(model)
    if seeds is None:
        return 0
    entry = hook_points(model).get("hook_input")
    if entry is not None and declared_axes(entry) is not None:
        return axes_of("hook_input", entry, ndim=inputs.ndim, seeds=seeds).index("example")
    of_its_own = examples is not None and len(examples) != inputs.shape[0] == len(seeds)
    return 1 if of_its_own and inputs.ndim > 1 else 0


def taken_by(model: nn.Module, inputs: Tensor) -> tuple[torch.device, torch.dtype]:
    """Where and as what a network takes inputs: its first parameter's (or buffer's) device, for floats its dtype."""
    first = next(chain(model.parameters(), model.buffers(), [inputs]))
    if not inputs.is_floating_point():
        return first.device, inputs.dtype
    held = chain(model.parameters(), model.buffers(), [inputs])
    return first.device, next(tensor.dtype for tensor in held if tensor.is_floating_point())


def _progress_bar(total: int, done: int) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total,
        initial=done,
        desc="capture",
        unit=" examples",
        disable=bool(os.environ.get("TQDM_DISABLE")) or None,  # None: hidden where stderr is no terminal
        leave=False,
        file=sys.stderr,
    )
