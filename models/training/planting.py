"""Planting: facts put into a component that we choose, so that methods that look for facts can be checked.

Only the component's weights are trained, on the facts to plant and on facts to keep, until the network knows both. The
rest of the network does not move, so what the component did not hold before it holds now, and nothing else does:
putting its old weights back must take exactly the planted facts away. The certificate measures that; where a component
cannot hold all it is given, it says how many it holds. What comes before the component is computed once.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from models.data.dataset import Dataset
from models.networks.components import Masks, weights_of
from models.networks.hooked import HookedModel
from models.refusals import Refused
from models.seeds import generator
from models.training.answering import Questions, answers
from models.training.losses import cross_entropy
from models.training.optimizers import Updates
from models.training.train import one_thread
from models.training.training_config import Optimizer

EVERY = 20
ADAM = Optimizer("adam", 5e-3, beta2=0.99)


@dataclass(frozen=True)
class Certificate:
    """How many planted and kept facts each seed knows, before, after, and with the component's old weights back.

    `planted_*` and `kept_*` are shares from 0 to 1, one for each seed. `others_moved` names weights outside the
    component that changed; it is empty unless something is wrong.
    """

    component: str
    seeds: tuple[int, ...]
    planted: int
    kept: int
    planted_before: tuple[float, ...]
    planted_after: tuple[float, ...]
    planted_restored: tuple[float, ...]
    kept_before: tuple[float, ...]
    kept_after: tuple[float, ...]
    kept_restored: tuple[float, ...]
    others_moved: tuple[str, ...]
    steps: int

    def holds(self, *, planted: float = 0.95, kept: float = 0.99) -> tuple[bool, ...]:
        """For each seed: whether this share of the planted facts is known, this share of the kept ones still, and the
        planted ones go with the component's weights."""
        rows = zip(self.planted_after, self.kept_after, self.kept_before, self.planted_restored, strict=True)
        return tuple(
            not self.others_moved and known >= planted and still >= kept * before and gone <= 0.5 * known
            for known, still, before, gone in rows
        )


@dataclass(frozen=True)
class Planting:
    """A network with planted facts, and the certificate of what was planted where."""

    model: HookedModel
    certificate: Certificate


def plant(
    model: HookedModel,
    facts: Dataset,
    *,
    into: str,
    keeping: Dataset,
    optimizer: Optimizer = ADAM,
    most_steps: int = 800,
) -> Planting:
    """A copy of a population that knows `facts` by the weights of the component `into`, and still knows `keeping`.

    Training ends when every seed knows all of both, or after `most_steps`. Raises `Refused` for a component that is not
    there, and for facts in both sets with different answers.
    """
    if model.seeds is None:
        raise Refused("The seed is the unit of evidence: plant in a population, of one seed or more.")
    masks = weights_of(model, into)
    with one_thread():
        wanted, kept = _Exam.of(model, facts, into), _Exam.of(model, keeping, into)
        _refuse_contradictions(facts, keeping)
        before = (wanted.known(model), kept.known(model))
        changed = copy.deepcopy(model)
        steps = _train(changed, masks, (wanted, kept), optimizer, most_steps)
        after = (wanted.known(changed), kept.known(changed))
        restored = _with_old_weights(changed, model, masks)
        again = (wanted.known(restored), kept.known(restored))
    certificate = Certificate(
        component=into,
        seeds=model.seeds,
        planted=len(facts),
        kept=len(keeping),
        planted_before=before[0],
        planted_after=after[0],
        planted_restored=again[0],
        kept_before=before[1],
        kept_after=after[1],
        kept_restored=again[1],
        others_moved=_moved_outside(model, changed, masks),
        steps=steps,
    )
    return Planting(changed, certificate)


@dataclass(frozen=True)
class _Exam:
    """Facts as the component's layer meets them: what enters it (nothing before it will move), and the answers.

    `entering [seed, example, pos, d_model]` at `layer`, or the tokens themselves where the layer is None.
    """

    questions: Questions
    targets: Tensor
    layer: int | None
    entering: Tensor | None

    @classmethod
    @torch.no_grad()
    def of(cls, model: HookedModel, facts: Dataset, component: str) -> _Exam:
        """What the network meets before anything moves."""
        asked = Questions.of(facts, device=model.device, dtype=model.dtype, causal=model.causal)
        if asked.at is None:
            raise Refused(
                f"Facts are token sequences with a position where the answer is due; {facts.name!r} are not."
            )
        layer = _first_layer(model, component)
        masked = {} if asked.mask is None else {"mask": asked.mask}
        entering = None if layer is None else model(asked.inputs, stop_at_layer=layer, **masked)
        return cls(asked, facts.targets.to(model.device), layer, entering)

    def logits(self, model: HookedModel, rows: Tensor) -> Float[Tensor, "seed example token"]:
        """What the network answers to some of the questions."""
        asked = self.questions.rows(rows)
        if self.entering is not None:
            asked = replace(asked, inputs=self.entering[:, rows])
        return answers(model, asked, start_at_layer=self.layer)

    @torch.no_grad()
    def known(self, model: HookedModel) -> tuple[float, ...]:
        """Which share of the facts each seed answers rightly."""
        every = torch.arange(len(self.targets), device=self.targets.device)
        right = [
            self.logits(model, rows).argmax(-1) == self.targets[rows] for rows in torch.split(every, 1_000)
        ]
        return tuple(torch.cat(right, dim=-1).double().mean(-1).tolist())


def _first_layer(model: HookedModel, component: str) -> int | None:
    """The layer from which on a component acts; None for the embedding, which is before them all."""
    if component.startswith("blocks."):
        return int(component.split(".")[1])
    return int(model.config.layers) if component.startswith(("unembed", "ln_final")) else None


def _train(
    model: HookedModel, masks: Masks, exams: Sequence[_Exam], optimizer: Optimizer, most_steps: int
) -> int:
    named = dict(model.named_parameters())
    own = [named[name] for name in masks]
    where = [mask.to(model.device) for mask in masks.values()]
    updates = Updates(optimizer, own)
    updates.set_rates(torch.full((len(model.every_seed),), optimizer.rate, device=model.device))
    for step in range(most_steps):
        if step % EVERY == 0 and all(min(exam.known(model)) == 1.0 for exam in exams):
            return step
        losses = sum(_loss(model, exam, step) for exam in exams)
        assert isinstance(losses, Tensor)
        gradients = torch.autograd.grad(losses.sum(), own)
        updates.apply([torch.where(mask, g, 0.0) for mask, g in zip(where, gradients, strict=True)], step)
    return most_steps


def _loss(model: HookedModel, exam: _Exam, step: int, batch: int = 200) -> Tensor:
    """The cross-entropy of a random batch, the same for every seed; `[seed]`."""
    rows = torch.randperm(len(exam.questions), generator=generator(step, "planting"))[:batch].to(model.device)
    return cross_entropy(exam.logits(model, rows), exam.targets[rows])


@torch.no_grad()
def _with_old_weights(changed: HookedModel, old: HookedModel, masks: Masks) -> HookedModel:
    restored, before = copy.deepcopy(changed), dict(old.named_parameters())
    for name, value in restored.named_parameters():
        if name in masks:
            value.copy_(torch.where(masks[name].to(value.device), before[name], value))
    return restored


@torch.no_grad()
def _moved_outside(old: HookedModel, changed: HookedModel, masks: Masks) -> tuple[str, ...]:
    before = dict(old.named_parameters())
    moved = {name: value != before[name] for name, value in changed.named_parameters()}
    return tuple(
        name
        for name, differs in moved.items()
        if bool((differs & ~masks[name].to(differs.device)).any() if name in masks else differs.any())
    )


def _refuse_contradictions(facts: Dataset, keeping: Dataset) -> None:
    answer = {
        tuple(row): target
        for row, target in zip(keeping.inputs.tolist(), keeping.targets.tolist(), strict=True)
    }
    for row, target in zip(facts.inputs.tolist(), facts.targets.tolist(), strict=True):
        if answer.get(tuple(row), target) != target:
            raise Refused(
                f"The prompt {row} is to be planted with answer {target} and kept with {answer[tuple(row)]}."
            )
