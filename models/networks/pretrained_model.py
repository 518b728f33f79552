"""A pretrained causal language model behind the face of our own networks.

Hugging Face computes, transformer-lens's `TransformerBridge` lays it open, and this class shows it under our hook
names, axes and refusals. Points that could not be given honestly are not in `hook_dict`; `left_out` says which and
why. A forward pass attaches to the bridge only what somebody reads or edits at that moment, so that nobody pays for
what nobody looks at.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.networks.described import size
from models.networks.hooked import HookedModel, hook
from models.networks.pretrained_points import Route
from models.networks.tokens import check_mask
from models.refusals import Refused


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

    def forward(
        self, tokens: Int[Tensor, "example pos"], *, mask: Bool[Tensor, "example pos"] | None = None
    ) -> Float[Tensor, "example pos token"]:
        """Logits for the token after each position. Raises `Refused` for what are no tokens of this network.

        `mask`: True where a token is real, False where shorter sequences are padded at their end. A network that only
        looks back needs none: real positions get what each sequence alone would give; it is checked all the same.
        """
        self._check(tokens)
        self._check_mask(mask, tokens.shape)
        return self._logits(tokens, self.routes.values())

    def __repr__(self) -> str:
        sizes, spells = self.config, "no tokenizer" if self.tokenizer is None else "its tokenizer"
        return (
            f"{type(self).__name__} {sizes.name!r}: {sizes.architecture} of {size(self):,} parameters, {spells}, "
            f"{len(self.hook_dict)} hook points\n"
            f"  {sizes.layers} layers, {sizes.heads} heads, d_model {sizes.d_model}, vocabulary {sizes.vocabulary:,}, "
            f"context {sizes.context}"
        )

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

    def _check_mask(self, mask: Tensor | None, shape: Sequence[int]) -> None:
        if mask is not None:
            check_mask(mask, shape)
            if not self.causal:
                raise Refused(
                    f"{self.config.name} looks ahead, so padding would change it: give equal lengths."
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
