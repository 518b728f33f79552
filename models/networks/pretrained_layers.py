"""A pretrained network that can be started and stopped at any layer.

Blocks that are passed by compute nothing: they hand on the stream they were given. The masks and rotations that
Hugging Face makes before the blocks depend on the length alone, so they are those of the whole way. Whether that is
so for an architecture is tried when it is loaded (`spans_hold`); one that fails runs from end to end instead, which
its `forward` shows by not having the two arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from models.networks.pretrained_model import PretrainedModel
from models.refusals import Refused

BEFORE_THE_BLOCKS = ("hook_embed", "hook_pos_embed")


class LayeredPretrainedModel(PretrainedModel):
    """One that was found to give the same when stopped at a layer and started there again.

    `handed_on`: how many values a block of the architecture returns in a tuple; 0: the stream alone, in none.
    """

    handed_on: int = 0

    def forward(
        self,
        tokens: Tensor,
        *,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Logits `[example, pos, token]` for tokens `[example, pos]`.

        `start_at_layer=l`: `tokens` is the residual stream `[example, pos, d_model]` that enters block l; what comes
        before is not computed. `stop_at_layer=l`: returns that stream, and block l and later are not computed; the
        number of layers stands for what leaves the last block.
        """
        start, stop = self._span(start_at_layer, stop_at_layer)
        if start_at_layer is None:
            self._check(tokens)
        else:
            self._check_stream(tokens)
        self._check_mask(mask, tokens.shape[:2])
        if start_at_layer is not None and start == stop:
            return tokens
        routes = [
            route
            for name, route in self.routes.items()
            if start_at_layer is None or name not in BEFORE_THE_BLOCKS
        ]
        with ExitStack() as span:
            if start_at_layer is not None:
                span.enter_context(_started(self.bridge.blocks, start, tokens, handed_on=self.handed_on))
            if stop is not None:
                span.enter_context(_stopping(self.bridge.blocks, stop))
            try:
                return self._logits(tokens, routes)
            except _Stopped as stopped:
                return stopped.stream

    def _span(self, start: int | None, stop: int | None) -> tuple[int, int | None]:
        first, last = start or 0, self.config.layers
        if not 0 <= first <= (last if stop is None else stop) <= last:
            raise Refused(f"Layers go from 0 to {last}, start before stop; given start {start}, stop {stop}.")
        return first, stop

    def _check_stream(self, stream: Tensor) -> None:
        if stream.ndim != 3 or stream.shape[-1] != self.config.d_model or stream.dtype != self.dtype:
            raise Refused(
                f"A layer takes the stream [example, pos, {self.config.d_model}] in {self.dtype}; "
                f"given {stream.dtype} of shape {tuple(stream.shape)}."
            )
        self._check_length(stream.shape[1])


class _Stopped(Exception):
    # no error: how a forward pass ends at a layer
    def __init__(self, stream: Tensor) -> None:
        super().__init__("stopped at a layer")
        self.stream = stream


@contextmanager
def _started(blocks: Any, layer: int, stream: Tensor, *, handed_on: int) -> Iterator[None]:
    """Blocks before the layer hand the stream on without computing anything; the layer gets it as its input."""
    skipped = list(blocks[:layer])

    def passed_by(*inputs: Any, **named: Any) -> Any:
        return (stream, *[None] * (handed_on - 1)) if handed_on else stream

    def injected(block: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if "hidden_states" in named:
            return inputs, {**named, "hidden_states": stream}
        return (stream, *inputs[1:]), named

    handle = None
    try:
        for block in skipped:
            block.__dict__["forward"] = passed_by
        if layer < len(blocks):
            handle = blocks[layer].register_forward_pre_hook(injected, with_kwargs=True)
        yield
    finally:
        for block in skipped:
            block.__dict__.pop("forward", None)
        if handle is not None:
            handle.remove()


@contextmanager
def _stopping(blocks: Any, layer: int) -> Iterator[None]:
    """Raises `_Stopped` with the stream that enters the layer, or that leaves the last block."""

    def before(block: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise _Stopped(named["hidden_states"] if "hidden_states" in named else inputs[0])

    def after(block: Any, inputs: tuple[Any, ...], output: Any) -> None:
        raise _Stopped(output[0] if isinstance(output, tuple) else output)

    if layer < len(blocks):
        handle = blocks[layer].register_forward_pre_hook(before, with_kwargs=True)
    else:
        handle = blocks[len(blocks) - 1].register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()
