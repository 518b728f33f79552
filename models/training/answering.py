"""What a network answers: its output for each example, or for a sequence its logits where the answer is due.

The unembedding is by far the widest matrix of a small transformer; it is applied only at the positions asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.data.dataset import Dataset
from models.networks.hooked import AxisHookPoint, HookedModel


@dataclass(frozen=True)
class Questions:
    """Inputs, and for sequences which tokens are real and at which position the answer is due.

    `inputs [example, feature]` or `[example, pos, feature]`, or tokens `[example, pos]` with `mask` (None where every
    token is real, or the network never looks behind) and `at [example]`, one position for all, or None: everywhere.
    """

    inputs: Tensor
    mask: Tensor | None = None
    at: Tensor | int | None = None

    @classmethod
    def of(cls, data: Dataset, *, device: torch.device, dtype: torch.dtype, causal: bool = True) -> Questions:
        """The questions of a data set; numbers in this dtype, tokens as they are."""
        if data.mask is None:
            return cls(data.inputs.to(device=device, dtype=dtype))
        if data.source_positions:
            return cls(data.inputs.to(device))  # an encoder-decoder tells padding by its token
        mask = None if causal or bool(data.mask.all()) else data.mask.to(device)
        if data.asks_everywhere:
            return cls(data.inputs.to(device), mask)
        at = torch.tensor(data.examples["answer_pos"].to_numpy(dtype="int64"))
        same = int(at[0]) if bool((at == at[0]).all()) else at.to(device)
        return cls(data.inputs.to(device), mask, same)

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, rows: Int64[Tensor, "*seed example"]) -> Questions:
        """Some of them, each seed's own: `[*seed, example, ...]`."""
        return Questions(
            _take(self.inputs, rows),
            None if self.mask is None else _take(self.mask, rows),
            _take(self.at, rows) if isinstance(self.at, Tensor) else self.at,
        )

    def part(self, part: slice) -> Questions:
        """A run of them, the same for every seed."""
        mask = None if self.mask is None else self.mask[part]
        return Questions(self.inputs[part], mask, self.at[part] if isinstance(self.at, Tensor) else self.at)


def answers(
    model: HookedModel, questions: Questions, *, start_at_layer: int | None = None
) -> Float[Tensor, "*seed example output"] | Float[Tensor, "*seed example pos output"]:
    """The output for each question, for sequences the logits at the position where the answer is due, or at each.

    `start_at_layer=l`: the questions' inputs are what enters layer l.
    """
    masked = {} if questions.mask is None else {"mask": questions.mask}
    if questions.at is None:
        begun = {} if start_at_layer is None else {"start_at_layer": start_at_layer}
        return model(questions.inputs, **begun, **masked)  # type: ignore[no-any-return]
    if (
        "stop_at_layer" not in signature(model.forward).parameters
    ):  # some pretrained networks go through as a whole
        return at_answer(model(questions.inputs, **masked), questions.at).squeeze(-2)
    last = model.config.layers
    resid = model(questions.inputs, start_at_layer=start_at_layer, stop_at_layer=last, **masked)
    each = "pos" in cast("AxisHookPoint", model.hook_dict["hook_logits"]).axes
    answered: Tensor = model(at_answer(resid, questions.at), start_at_layer=last)
    return answered.squeeze(-2) if each else answered


def at_answer(resid: Float[Tensor, "*seed example pos width"], at: Tensor | int) -> Tensor:
    """`[*seed, example, 1, width]`: each example's stream at its position."""
    if isinstance(at, int):
        return resid[..., at : at + 1, :]
    index = at.expand(resid.shape[:-2])[..., None, None].expand(*resid.shape[:-2], 1, resid.shape[-1])
    return resid.gather(-2, index)


def _take(values: Tensor, rows: Tensor) -> Tensor:
    return values.index_select(0, rows.reshape(-1)).view(*rows.shape, *values.shape[1:])
