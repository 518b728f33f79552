"""What a network knows of some facts, asked again and again while only one component of it changes.

What comes before the component is computed once. An MLP of the last layer works at each position alone, and only the
position where the answer is due is read: there nothing else is computed at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.data.dataset import Dataset
from models.networks.hooked import HookedModel
from models.training.answering import Questions, answers, at_answer
from models.training.question_checks import check_facts

AT_ONCE = 1_000


def margins(
    logits: Float[Tensor, "*seed example token"], targets: Int64[Tensor, "*#seed example"]
) -> Float[Tensor, "*seed example"]:
    """The logit of the true answer minus the logsumexp of all others, in nats: its log odds."""
    index = targets.expand(logits.shape[:-1])[..., None]
    others = logits.scatter(-1, index, float("-inf")).logsumexp(-1)
    return logits.gather(-1, index).squeeze(-1) - others


@dataclass(frozen=True)
class Exam:
    """Facts as a component (or the whole network) meets them, and their answers.

    `entering`: what enters `layer`, `[seed, example, pos, d_model]`, where `alone` what enters its MLP at the position
    of the answer; None for a component before all layers, then the tokens themselves are run.
    """

    questions: Questions
    targets: Tensor
    layer: int | None
    entering: Tensor | None
    alone: bool

    @classmethod
    @torch.no_grad()
    def of(cls, model: HookedModel, facts: Dataset, component: str | None = None) -> Exam:
        """What a component meets, of one network or a population; None: what the whole network does.

        Raises `Refused` for data that are no facts.
        """
        check_facts(facts)
        asked = Questions.of(facts, device=model.device, dtype=model.dtype, causal=model.causal)
        layer = None if component is None else _first_layer(model, component)
        alone = component is not None and _is_last_mlp(model, component)
        entering = None
        if layer is not None:
            every = torch.arange(len(asked), device=model.device)
            parts = [
                _entering(model, asked.rows(rows), layer, alone=alone) for rows in torch.split(every, AT_ONCE)
            ]
            entering = torch.cat(parts, dim=1)
        return cls(asked, facts.targets.to(model.device), layer, entering, alone)

    def logits(
        self, model: HookedModel, rows: Int64[Tensor, "*given example"]
    ) -> Float[Tensor, "*seed example token"]:
        """What the network answers to some of the questions, the same for all seeds or each seed's own."""
        asked = self.questions.rows(rows)
        if self.entering is None:
            return answers(model, asked)
        entering = _picked(self.entering, rows)
        if self.alone:
            block: Any = model.blocks[self.layer]  # type: ignore[index]
            resid = entering + block.mlp(block.ln2(entering))
            return model(resid, start_at_layer=model.config.layers).squeeze(-2)  # type: ignore[no-any-return]
        return answers(model, replace(asked, inputs=entering), start_at_layer=self.layer)

    @torch.no_grad()
    def margins(self, model: HookedModel) -> Float[Tensor, "*seed example"]:
        """The margin of every prompt in every seed; it is known where it is above zero."""
        every = torch.arange(len(self.targets), device=self.targets.device)
        parts = [
            margins(self.logits(model, rows), self.targets[rows]) for rows in torch.split(every, AT_ONCE)
        ]
        return torch.cat(parts, dim=-1)

    def known(self, model: HookedModel) -> Tensor:
        """Which prompts each seed answers rightly, bool `[*seed, example]`."""
        every = torch.arange(len(self.targets), device=self.targets.device)
        with torch.no_grad():
            right = [
                self.logits(model, rows).argmax(-1) == self.targets[rows]
                for rows in torch.split(every, AT_ONCE)
            ]
        return torch.cat(right, dim=-1)


def _first_layer(model: HookedModel, component: str) -> int | None:
    """The layer from which on a component acts; None for the embedding, which is before them all."""
    if component.startswith("blocks."):
        return int(component.split(".")[1])
    return int(model.config.layers) if component.startswith(("unembed", "ln_final")) else None


def _is_last_mlp(model: HookedModel, component: str) -> bool:
    config = model.config
    return component.startswith(f"blocks.{config.layers - 1}.mlp") and bool(config.heads)


def _entering(model: HookedModel, asked: Questions, layer: int, *, alone: bool) -> Tensor:
    masked = {} if asked.mask is None else {"mask": asked.mask}
    if not alone:
        return model(asked.inputs, stop_at_layer=layer, **masked)  # type: ignore[no-any-return]
    seen: list[Tensor] = []
    point = model.hook_dict[f"blocks.{layer}.hook_resid_mid"]
    handle = point.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        model(asked.inputs, stop_at_layer=layer + 1, **masked)
    finally:
        handle.remove()
    assert asked.at is not None
    return at_answer(seen[0], asked.at)


def _picked(entering: Tensor, rows: Tensor) -> Tensor:
    """Rows of the example axis, for each seed its own where `rows [seed, example]`."""
    if rows.ndim == 1:
        return entering[:, rows]
    members = torch.arange(len(entering), device=rows.device)[:, None]
    return entering[members, rows]
