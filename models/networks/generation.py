"""Continuing a sequence: the next token is chosen from the logits after the last one, again and again.

Temperature 0 takes the likeliest token (greedy; of several, the first). A temperature T above 0 draws from
softmax(logits / T): below 1 it sharpens the distribution, above 1 it flattens it. `top_k` leaves only the k likeliest.
A draw is a uniform number held against the cumulative probabilities, from a stream of its own for each member of a
population, so a member writes the same alone and among others. The rows of a member share its stream: beside more or
fewer rows the same prompt is continued otherwise.

Our own transformers whose attention is exact keep keys and values and read each token once (key_value_cache.py);
recurrent networks carry their states on and read each token once. In every other network (windows, linear attention,
pretrained ones), and wherever somebody's hook is on a module or hook point, each step is a whole pass over the
sequence, so that an edit acts on it as on the finished sequence.

When it misleads: one continuation says little about a distribution; and greedy text is no typical sample of it.

Source: Fan, Lewis and Dauphin, Hierarchical neural story generation (2018, top-k), https://arxiv.org/abs/1805.04833.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.networks.hooked import HookedModel
from models.networks.key_value_cache import CachedReading
from models.networks.recurrent import Recurrent
from models.networks.recurrent_cells import States
from models.networks.transformer import Transformer
from models.refusals import Refused
from models.seeds import generator


def generate(
    model: HookedModel,
    tokens: Tensor,
    *,
    count: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Tensor:
    """The tokens and `count` more, int64 `[*seed, example, pos + count]`; of a population, each member's own.

    `tokens [example, pos]`, for a population also `[seed, example, pos]`. `seed`, from 0, steers the drawing; what is
    drawn for a row also depends on how many rows there are. Raises `Refused` for networks that do not give the next
    token, tokens that they do not have, sequences that get longer than the context, a temperature below 0, and a
    `top_k` outside the vocabulary or without a temperature.
    """
    check_generates(model)
    for name, given in (("count of new tokens", count), ("seed of the drawing", seed)):
        if not _whole(given, least=0):
            raise Refused(f"The {name} is a whole number from 0; given {given!r}.")
    check_choice(temperature, top_k, vocabulary=model.config.vocabulary)
    _check_count(model, tokens.shape[-1], count)
    choose = Choice(model.every_seed, temperature=temperature, top_k=top_k, seed=seed)
    shared = model.seeds is not None and tokens.ndim == 2
    tokens = tokens.expand(len(model.every_seed), *tokens.shape) if shared else tokens
    with torch.no_grad():
        reading, new = _reading(model, tokens, count), tokens
        for _ in range(count):
            new = choose(reading.after(new))[..., None]
            tokens = torch.cat([tokens, new], dim=-1)
    return tokens


def check_generates(model: HookedModel) -> None:
    """Raises `Refused` for a network that does not give the next token from those before it."""
    axes = tuple(getattr(model.hook_dict.get("hook_logits"), "axes", ()))
    kind = type(model).__name__
    if axes != ("example", "pos", "token"):
        raise Refused(
            f"This {kind} does not generate: its logits are [{', '.join(axes)}], and it takes [example, pos, token], "
            "the next token after each position."
        )
    if not model.causal:
        raise Refused(f"This {kind} does not generate: it also looks at what comes after a position.")


def _check_count(model: HookedModel, given: int, count: int) -> None:
    context = getattr(model, "context", None) or getattr(model.config, "context", None)
    if context is None:
        return
    if given > context:
        raise Refused(f"The prompt has {given} tokens, and the context is {context}: give a shorter one.")
    if count and given + count - 1 > context:
        raise Refused(
            f"{given} tokens and {count} more take {given + count - 1} positions to read, but the context is "
            f"{context}: ask for at most {context - given + 1}, or give a shorter prompt."
        )


def _whole(value: object, *, least: int) -> bool:
    """Whether this is a whole number from `least`, numpy's included; a bool is none."""
    return not isinstance(value, bool) and isinstance(value, numbers.Integral) and int(value) >= least


def _from_zero(value: object) -> bool:
    """Whether this is a finite number from 0, numpy's included; a bool is none."""
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and 0 <= float(value) < math.inf


def next_probabilities(
    logits: Float[Tensor, "*any token"], *, temperature: float, top_k: int | None = None
) -> Float[Tensor, "*any token"]:
    """The distribution that the next token is drawn from, float64; `temperature` above 0."""
    check_choice(temperature, top_k, vocabulary=logits.shape[-1])
    if temperature == 0:
        raise Refused("At temperature 0 nothing is drawn: the likeliest token is taken.")
    scaled = logits.double()
    if top_k is not None:
        kept = scaled.topk(top_k, dim=-1).indices
        scaled = torch.full_like(scaled, -torch.inf).scatter(-1, kept, scaled.gather(-1, kept))
    return ((scaled - scaled.amax(dim=-1, keepdim=True)) / temperature).softmax(dim=-1)


def check_choice(temperature: float, top_k: int | None, *, vocabulary: int) -> None:
    """Raises `Refused` for settings that choose no token."""
    if not _from_zero(temperature):
        raise Refused(
            f"The temperature is a number from 0 (the likeliest token) up, 1 as trained; given {temperature!r}."
        )
    if top_k is None:
        return
    if not (_whole(top_k, least=1) and top_k <= vocabulary):
        raise Refused(
            f"top_k is how many of the likeliest tokens are drawn from, 1 to {vocabulary}, the size of the vocabulary; "
            f"given {top_k!r}."
        )
    if temperature == 0:
        raise Refused(
            f"top_k={top_k} speaks of drawing, and temperature 0 draws nothing: give a temperature."
        )


class Choice:
    """Chooses the next token of every example, `[*seed, example]`, from `[*seed, example, token]`."""

    def __init__(self, members: Sequence[int], *, temperature: float, top_k: int | None, seed: int) -> None:
        self.temperature, self.top_k = float(temperature), None if top_k is None else int(top_k)
        self.streams = [generator(seed, "generation", member) for member in members]

    def __call__(self, logits: Float[Tensor, "*seed example token"]) -> Int64[Tensor, "*seed example"]:
        if bool(logits.isnan().any()):
            raise Refused("The network's logits are NaN: its weights are broken, or an edit breaks them.")
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        chances = next_probabilities(logits, temperature=self.temperature, top_k=self.top_k)
        up_to = chances.cumsum(dim=-1)
        drawn = [torch.rand(up_to.shape[-2], generator=s, dtype=torch.float64) for s in self.streams]
        marks = torch.stack(drawn).view(up_to.shape[:-1]).to(up_to.device) * up_to[..., -1]
        return torch.searchsorted(up_to, marks[..., None], right=True).squeeze(-1)


class Reading(Protocol):
    """A sequence read bit by bit."""

    def after(self, new: Tensor) -> Tensor:
        """Reads `new [*seed, example, pos]` behind what was read; the logits after it, `[*seed, example, token]`."""


class WholeReading:
    """Reads the whole sequence again at every step."""

    def __init__(self, model: HookedModel) -> None:
        self.model = model
        self.read: Tensor | None = None

    def after(self, new: Int64[Tensor, "*seed example pos"]) -> Float[Tensor, "*seed example token"]:
        """The logits after all tokens so far."""
        self.read = new if self.read is None else torch.cat([self.read, new], dim=-1)
        return self.model(self.read)[..., -1, :]  # type: ignore[no-any-return]


class StateReading:
    """Reads only what is new, from the states that a recurrent network had after what it read before."""

    def __init__(self, model: Recurrent) -> None:
        self.model = model
        self.states: tuple[States, ...] | None = None

    def after(self, new: Int64[Tensor, "*seed example pos"]) -> Float[Tensor, "*seed example token"]:
        """The logits after all tokens so far."""
        logits, self.states = self.model.continued(new, self.states)
        return logits[..., -1, :]


def _reading(model: HookedModel, tokens: Tensor, count: int) -> Reading:
    """Each token once where nobody would notice, else whole sequences.

    Any module may carry a hook of the user's, a hook point or not: a part read apart would pass it by.
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return WholeReading(model)
    if type(model) is Recurrent:
        return StateReading(model)
    if type(model) is Transformer and model.config.exact:
        return CachedReading(model, tokens.shape[:-1], longest=tokens.shape[-1] + count - 1)
    return WholeReading(model)
