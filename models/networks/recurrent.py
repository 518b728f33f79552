"""Recurrent networks: tanh, LSTM and GRU, stacked; they read a sequence step by step and carry a state along.

Hook points, in order: `hook_embed [example, pos, d_model]` (tokens) or `hook_input [example, pos, feature]` (numbers);
in every layer the gates, `layers.{l}.hook_i|hook_f|hook_g|hook_o` (LSTM) or `hook_r|hook_z|hook_n` (GRU: reset,
update, candidate), the LSTM's cell `hook_c`, the state `hook_h`, all `[example, pos, unit]`; then `hook_logits
[example, pos, token]`, or `[example, class]` where only the last position answers. In a population `seed` stands in
front of each, except on numbers that its members share.

An edit at a position is felt by all that follows, in its layer and those above, and by nothing before (stepwise.py,
also on gradients). Gates and cell fire only when somebody listens: torch's fused kernels, which run otherwise, do not
show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.networks.embedding import Embedding
from models.networks.hooked import HookedModel, hook, layers_between
from models.networks.mlp import Affine, affine
from models.networks.parameters import Draw
from models.networks.positionwise import linear
from models.networks.recurrent_cells import States
from models.networks.recurrent_config import RecurrentConfig
from models.networks.recurrent_layer import RecurrentLayer
from models.networks.tokens import check_mask, check_tokens
from models.refusals import Refused


class Recurrent(HookedModel):
    """A recurrent network, or a population of them; see `RecurrentConfig`."""

    config: RecurrentConfig
    causal = True

    def __init__(self, config: RecurrentConfig, *, seeds: int | Sequence[int] = 0) -> None:
        super().__init__(config, seeds)
        draw = Draw(self.every_seed, alone=self.seeds is None)
        if config.vocabulary:
            self.embed = Embedding(config.vocabulary, config.d_model, draw, scale=config.init_scale)
            self.hook_embed = hook("example", "pos", "d_model")
        else:
            self.hook_input = hook("example", "pos", "feature")
        self.layers = nn.ModuleList(RecurrentLayer(config, width, draw) for width in config.widths[:-1])
        bound = config.init_scale * config.units**-0.5
        self.unembed = Affine(
            draw.uniform(config.units, config.outputs, bound=bound), draw.uniform(config.outputs, bound=bound)
        )
        every = ("example", "pos", "token" if config.vocabulary else "class")
        self.hook_logits = hook(*(every if config.answers == "each" else ("example", "class")))
        self.ready()

    def example_input(self) -> Tensor:
        """One blank sequence of two positions: `[1, pos, feature]`, or tokens `[1, pos]`."""
        if self.config.vocabulary:
            return torch.zeros(1, 2, dtype=torch.int64, device=self.device)
        return torch.zeros(1, 2, self.config.features, dtype=self.dtype, device=self.device)

    def forward(
        self,
        inputs: Tensor,
        *,
        states: Sequence[States] | None = None,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The logits, `[*seed, example, pos, token]` or `[*seed, example, class]`.

        `states`: what each layer starts from, as `continued` gives it (zeros unless given). `start_at_layer=l`:
        `inputs` are what enters layer l, `[*seed, example, pos, width]`; `stop_at_layer=l`: returns what enters
        layer l. The layer after the last makes the logits. `mask [*seed, example, pos]`, bool: True where a position
        is real, False where shorter sequences are padded at their end; a network that answers once answers at the last
        real position, without a mask at the last of all.
        """
        start, stop = layers_between(start_at_layer, stop_at_layer, last=len(self.layers))
        x = self._entered(inputs) if start_at_layer is None else self._entering(inputs, start)
        x, _ = self._run(x, states, start, stop)
        return x if stop_at_layer is not None else self._logits(x, mask)

    def continued(
        self, inputs: Tensor, states: Sequence[States] | None = None
    ) -> tuple[Tensor, tuple[States, ...]]:
        """The logits, and each layer's states after the last position: `(h,)` or `(h, c)`, `[*seed, example, unit]`.

        Given back as `states`, they go on where this sequence ended: what two parts give is what the whole gives.
        """
        x, last = self._run(self._entered(inputs), states, 0, len(self.layers))
        return self._logits(x), last

    def _run(
        self, x: Tensor, states: Sequence[States] | None, start: int, stop: int
    ) -> tuple[Tensor, tuple[States, ...]]:
        given = self._blank(x) if states is None else self._given(states, x)
        last = []
        for layer, first in zip(self.layers[start:stop], given[start:stop], strict=True):
            x, after = cast("RecurrentLayer", layer)(x, first)
            last.append(after)
        return x, tuple(last)

    def _logits(self, x: Float[Tensor, "*seed example pos unit"], mask: Tensor | None = None) -> Tensor:
        W, b = self.unembed.W, self.unembed.b
        if mask is not None:
            check_mask(mask, x.shape[:-1])
        logits = linear(x, W, b) if self.config.answers == "each" else affine(_at_the_end(x, mask), W, b)
        return self.hook_logits(logits)  # type: ignore[no-any-return]

    def _entered(self, inputs: Tensor) -> Tensor:
        if self.config.vocabulary:
            check_tokens(inputs, self.config, seeds=self.seeds)
            return self.hook_embed(self.embed(inputs))  # type: ignore[no-any-return]
        self._refuse_shape(inputs, 0)
        return self.hook_input(inputs)  # type: ignore[no-any-return]

    def _entering(self, x: Tensor, layer: int) -> Tensor:
        self._refuse_shape(x, layer)
        return x

    def _refuse_shape(self, x: Tensor, layer: int) -> None:
        width = self.config.widths[layer]
        shared = self.seeds is None or (layer == 0 and x.ndim == 3 and not self.config.vocabulary)
        lead = () if shared or self.seeds is None else (len(self.seeds),)
        if x.ndim != 3 + len(lead) or x.shape[: len(lead)] != lead or x.shape[-1] != width or 0 in x.shape:
            axes = ", ".join([*map(str, lead), "example", "pos", str(width)])
            raise Refused(f"Layer {layer} takes inputs [{axes}]; given shape {tuple(x.shape)}.")

    def _state_shape(self, x: Tensor) -> tuple[int, ...]:
        lead = () if self.seeds is None else (len(self.seeds),)
        return (*lead, x.shape[-3], self.config.units)

    def _blank(self, x: Tensor) -> list[States]:
        zeros = x.new_zeros(self._state_shape(x))
        return [(zeros,) * len(cast("RecurrentLayer", layer).cell.states) for layer in self.layers]

    def _given(self, states: Sequence[States], x: Tensor) -> list[States]:
        names = cast("RecurrentLayer", self.layers[0]).cell.states
        fits = len(states) == len(self.layers) and all(len(state) == len(names) for state in states)
        shape = self._state_shape(x)
        if not fits or any(tuple(value.shape) != shape for state in states for value in state):
            given = [[tuple(value.shape) for value in state] for state in states]
            raise Refused(
                f"States are, for each of {len(self.layers)} layers, ({', '.join(names)}), each {shape}; given shapes "
                f"{given}."
            )
        return list(states)


def _at_the_end(
    x: Float[Tensor, "*seed example pos unit"], mask: Tensor | None
) -> Float[Tensor, "*seed example unit"]:
    """What stands at the last position, or at the last real one."""
    if mask is None:
        return x[..., -1, :]
    ends = mask.expand(x.shape[:-1]).sum(dim=-1) - 1
    return x.gather(-2, ends[..., None, None].expand(*ends.shape, 1, x.shape[-1])).squeeze(-2)
