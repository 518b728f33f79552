"""Facts as questions to a network, and the margin of its answer.

The margin is the logit of the true object minus the logsumexp of all others: the log odds of the answer. A probability
saturates (0.999 and 0.999999 look alike), a margin does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.func import functional_call

from interp.reading.feeding import refuse_other_spelling
from interp.reading.points import hook_points
from interp.refusals import Refused
from interp.writing.edits import Edit, edited

COLUMNS = ("answer_pos", "subject_first", "subject_last")


@runtime_checkable
class FactData(Protocol):
    """Token sequences `[example, pos]`, the token that is due `[example]`, and where it and the subject stand."""

    @property
    def inputs(self) -> Tensor: ...

    @property
    def targets(self) -> Tensor: ...

    @property
    def examples(self) -> pd.DataFrame: ...


@dataclass(frozen=True, eq=False)
class Asked:
    """Facts on the network's device: tokens `[example, pos]`, targets and positions `[example]`.

    `mask [example, pos]`: False at padding; None where there is none.
    """

    inputs: Tensor
    targets: Tensor
    positions: Mapping[str, Tensor]
    mask: Tensor | None = None

    @classmethod
    def of(cls, model: nn.Module, data: FactData) -> Asked:
        """Raises `Refused` for data that do not say where answer and subject stand, for padding that is seen, and for
        tokens of another tokenizer than the network's."""
        refuse_other_spelling(model, data)
        examples = getattr(data, "examples", None)
        missing = [name for name in COLUMNS if not isinstance(examples, pd.DataFrame) or name not in examples]
        if missing or not len(data.inputs):
            raise Refused(
                f"Facts have examples with the columns {', '.join(COLUMNS)}, which `Facts.dataset` of `models` writes; "
                f"missing: {', '.join(missing) or 'any example'}."
            )
        mask: Any = getattr(data, "mask", None)
        if mask is not None and not bool(mask.all()) and not getattr(model, "causal", False):
            raise Refused("This network looks ahead, so it sees the padding: give sequences of one length.")
        device = next(model.parameters()).device
        at = {name: torch.tensor(data.examples[name].to_numpy(dtype="int64")).to(device) for name in COLUMNS}
        if not all(
            0 <= int(places.min()) <= int(places.max()) < data.inputs.shape[1] for places in at.values()
        ):
            raise Refused(f"{', '.join(COLUMNS)} are positions from 0 to {data.inputs.shape[1] - 1}.")
        padded = mask is not None and not bool(mask.all())
        return cls(data.inputs.to(device), data.targets.to(device), at, mask.to(device) if padded else None)

    def __len__(self) -> int:
        return len(self.targets)

    def rows(self, rows: Int64[Tensor, " example"]) -> Asked:
        """Some of the facts."""
        at = {name: places[rows] for name, places in self.positions.items()}
        mask = None if self.mask is None else self.mask[rows]
        return Asked(self.inputs[rows], self.targets[rows], at, mask)

    def real(self) -> Bool[Tensor, "example pos"]:
        """Where a token is real."""
        return torch.ones_like(self.inputs, dtype=torch.bool) if self.mask is None else self.mask

    @property
    def examples(self) -> pd.DataFrame:
        """The positions as a table, so that facts can be captured."""
        return pd.DataFrame({name: places.cpu().numpy() for name, places in self.positions.items()})

    def logits(
        self,
        model: nn.Module,
        *,
        weights: Mapping[str, Tensor] | None = None,
        entering: Tensor | None = None,
        layer: int | None = None,
    ) -> Float[Tensor, "*seed example token"]:
        """The answers, with other `weights` in the place of the network's own, from what enters `layer` on."""
        inputs = self.inputs if entering is None else entering
        starting = {} if layer is None else {"start_at_layer": layer}
        last = last_layer(model)
        if last is None:
            return self.at_answer(_called(model, weights, inputs, **starting))
        resid = _called(model, weights, inputs, **starting, stop_at_layer=last)
        return _called(model, weights, self.at_answer(resid, keep=True), start_at_layer=last).squeeze(-2)

    @torch.no_grad()
    def entering(
        self, model: nn.Module, layer: int | None
    ) -> Float[Tensor, "*seed example pos d_model"] | None:
        """What enters a layer when nothing is changed; None, from the beginning: tokens do."""
        return None if layer is None else model(self.inputs, stop_at_layer=layer)

    def at_answer(self, tensor: Tensor, *, keep: bool = False) -> Tensor:
        """What stands `[*seed, example, pos, …]` where the answer is due; `keep`: with a pos axis of length one."""
        return take_positions(tensor, self.positions["answer_pos"][:, None], keep=keep)

    def margins(
        self, model: nn.Module, edits: Edit | Sequence[Edit] = (), **run: Any
    ) -> Float[Tensor, "*seed example"]:
        """The margin of each fact, in nats, under these edits."""
        with torch.no_grad(), edited(model, edits) if edits else nullcontext():
            return margins(self.logits(model, **run), self.targets)


def joined(first: Asked, second: Asked) -> Asked:
    """The facts of both, one after the other."""
    at = {name: torch.cat([first.positions[name], second.positions[name]]) for name in COLUMNS}
    inputs, targets = torch.cat([first.inputs, second.inputs]), torch.cat([first.targets, second.targets])
    padded = first.mask is not None or second.mask is not None
    return Asked(inputs, targets, at, torch.cat([first.real(), second.real()]) if padded else None)


def margins(
    logits: Float[Tensor, "*seed example token"], targets: Int64[Tensor, " example"]
) -> Float[Tensor, "*seed example"]:
    """The logit of the true token minus the logsumexp of the others."""
    index = targets.expand(logits.shape[:-1])[..., None]
    others = logits.scatter(-1, index, float("-inf")).logsumexp(-1)
    return logits.gather(-1, index).squeeze(-1) - others


def take_positions(tensor: Tensor, positions: Int64[Tensor, "example pos"], *, keep: bool = True) -> Tensor:
    """`[*seed, example, pos, …]` at each example's own positions; the example axis comes right before pos."""
    lead = tensor.ndim - 3
    index = positions.view(*[1] * lead, *positions.shape, 1).expand(
        *tensor.shape[:lead], *positions.shape, tensor.shape[-1]
    )
    taken = tensor.gather(-2, index)
    return taken if keep else taken.squeeze(-2)


def last_layer(model: nn.Module) -> int | None:
    """The layer after the last block, where only the unembedding is left; None for networks that cannot start there."""
    accepted = inspect.signature(model.forward).parameters
    blocks = [int(name.split(".")[1]) for name in hook_points(model) if name.startswith("blocks.")]
    return max(blocks) + 1 if blocks and {"start_at_layer", "stop_at_layer"} <= set(accepted) else None


def _called(model: nn.Module, weights: Mapping[str, Tensor] | None, *arguments: Any, **named: Any) -> Tensor:
    if weights is None:
        return model(*arguments, **named)  # type: ignore[no-any-return]
    return functional_call(model, dict(weights), arguments, named)  # type: ignore[no-any-return]
