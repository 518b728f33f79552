"""A pretrained causal language model behind the face of our own networks.

Hugging Face computes, transformer-lens's `TransformerBridge` lays it open, and this class shows it under our hook
names, axes and refusals. Points that could not be given honestly are not in `hook_dict`; `left_out` says which and
why. A forward pass attaches to the bridge only what somebody reads or edits at that moment, so that nobody pays for
what nobody looks at.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.networks.hooked import HookedModel, hook
from models.networks.pretrained_points import Route
from models.refusals import Refused

BEFORE_THE_BLOCKS = ("hook_embed", "hook_pos_embed")


@dataclass(frozen=True)
class PretrainedConfig:
    """What the network is; `context` None: no longest sequence is known."""

    name: str
    architecture: str
    layers: int
    heads: int
    key_heads: int
    d_model: int
    d_head: int
    vocabulary: int
    context: int | None


class PretrainedModel(HookedModel):
    """A Hugging Face causal language model; `models.load_pretrained` makes it.

    `hook_dict`: the offered points in the order they fire. `left_out`: points of the vocabulary that this network
    does not offer, and why. `tokenizer`: the folder's own, or None. There is one network, so no seed axis.
    """

    config: PretrainedConfig
    network: Any
    bridge: Any
    left_out: Mapping[str, str]

    def __init__(self, config: PretrainedConfig, network: nn.Module, bridge: Any, tokenizer: Any) -> None:
        super().__init__(config, seeds=0)
        self.network = network
        self.__dict__["bridge"] = bridge  # no submodule: it holds the same modules once more
        self.tokenizer = tokenizer
        self.hook_logits = hook("example", "pos", "token")
        self.offer({}, {})

    def offer(self, routes: Mapping[str, Route], left_out: Mapping[str, str]) -> None:
        """Sets the points of this network, in the order they fire; `load_pretrained` calls it."""
        self.routes = dict(routes)
        self.left_out = dict(left_out)
        self.hook_dict = {name: route.point for name, route in routes.items()}
        self.hook_dict["hook_logits"] = self.hook_logits
        for name, point in self.hook_dict.items():
            point.name = name

    def example_input(self) -> Int[Tensor, "1 pos"]:
        """One short sequence of the first token."""
        return torch.zeros(1, min(self.context or 16, 16), dtype=torch.int64, device=self.device)

    @property
    def context(self) -> int | None:
        """The longest sequence it can read; None where no limit is known."""
        return self.config.context

    def forward(self, tokens: Int[Tensor, "example pos"]) -> Float[Tensor, "example pos token"]:
        """Logits for the token after each position. Raises `Refused` for what are no tokens of this network."""
        self._check(tokens)
        return self._logits(tokens, self.routes.values())

    def member(self, seed: int) -> HookedModel:
        """There are no members: it is one network, and not drawn from a seed."""
        raise Refused("A pretrained network has no members: it is one network, made from no seed of ours.")

    def encode(self, text: str) -> Int[Tensor, "1 pos"]:
        """The text as tokens, with the special tokens that its tokenizer adds."""
        return torch.tensor([self._tokenizer()(text).input_ids], device=self.device)

    def decode(self, tokens: Int[Tensor, "*pos"]) -> str:
        """The tokens of one text as text, special tokens left out."""
        return str(self._tokenizer().decode(tokens.flatten().tolist(), skip_special_tokens=True))

    def _logits(self, inputs: Tensor, routes: Iterable[Route]) -> Tensor:
        alive = [route for route in routes if route.alive]
        with _laid_open(self.bridge, alive, inputs.shape[0]):
            logits = self.bridge(inputs, use_cache=False)
        return self.hook_logits(logits)  # type: ignore[no-any-return]

    def _check(self, tokens: Tensor) -> None:
        if tokens.ndim != 2 or tokens.is_floating_point() or tokens.dtype is torch.bool or 0 in tokens.shape:
            raise Refused(
                "The network takes whole numbers [example, pos], at least one of each; "
                f"given {str(tokens.dtype).removeprefix('torch.')} of shape {tuple(tokens.shape)}."
            )
        self._check_length(tokens.shape[1])
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.config.vocabulary:
            raise Refused(
                f"Token {low if low < 0 else high} is unknown: {self.config.name} knows the tokens 0 to "
                f"{self.config.vocabulary - 1}. Were these made by another network's tokenizer?"
            )

    def _check_length(self, length: int) -> None:
        if self.context is not None and length > self.context:
            raise Refused(
                f"The sequence is {length} positions long; {self.config.name} reads at most {self.context} "
                "(its context). Give shorter sequences."
            )

    def _tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise Refused(f"{self.config.name} came without a tokenizer: give tokens, not text.")
        return self.tokenizer


class LayeredPretrainedModel(PretrainedModel):
    """One that was found to give the same when stopped at a layer and started there again.

    `handed_on`: how many values a block of the architecture returns in a tuple; 0: the stream alone, in none.
    """

    handed_on: int = 0

    def forward(
        self, tokens: Tensor, *, start_at_layer: int | None = None, stop_at_layer: int | None = None
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
        if start_at_layer is not None and start == stop:
            return tokens
        routes = [route for name, route in self.routes.items() if start_at_layer is None or not _before(name)]
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


def _before(name: str) -> bool:
    return name in BEFORE_THE_BLOCKS


@contextmanager
def _laid_open(bridge: Any, alive: list[Route], examples: int) -> Iterator[None]:
    """These points in the path of the network, for the length of the block."""
    with ExitStack() as stack:
        if any("hook_result" in route.name for route in alive):
            bridge.set_use_attn_result(True)
            stack.callback(bridge.set_use_attn_result, False)
        if any(".hook_scale" in route.name or ".hook_normalized" in route.name for route in alive):
            stack.enter_context(warnings.catch_warnings())
            # the bridge tells that an edited norm differs from Hugging Face's in rounding: it is meant
            warnings.filterwarnings("ignore", message="A forward hook edited hook_scale/hook_normalized")
        for route in alive:
            stack.enter_context(route.attached(examples))
        yield


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
