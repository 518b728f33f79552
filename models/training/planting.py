"""Planting: facts put into a component that we choose, so that methods that look for facts can be checked.

Only the component's weights are trained, on the facts to plant and on facts to keep, until the network knows both. The
rest of the network does not move, so the planted facts need what changed in the component, and nothing else changed:
putting its old weights back must take exactly the planted facts away. The certificate measures that; where a component
cannot hold all it is given, it says how many it holds: keeping weighs more than planting, and half of each batch of
kept facts is drawn from those nearest to being forgotten. What comes before the component is computed once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.data.dataset import Dataset
from models.networks.components import Masks, weights_of
from models.networks.config_checks import whole
from models.networks.hooked import HookedModel
from models.refusals import Refused
from models.seeds import generator
from models.training.certificates import GONE, Certificate
from models.training.exams import Exam
from models.training.losses import cross_entropy
from models.training.optimizers import Updates
from models.training.question_checks import check_apart, check_asked
from models.training.schedules import factor_at
from models.training.train import one_thread
from models.training.training_config import Optimizer, Schedule

ADAM = Optimizer("adam", 5e-3, beta2=0.99)
LAST_RATE = 0.05
BATCH = 200
KEEPING = 2.0
HARDEST = 300
EVERY = 25
ENOUGH = 0.995


@dataclass(frozen=True)
class Planting:
    """A network with planted facts, the certificate of what was planted where, and which prompts it holds.

    `held`, bool `[seed, example]`, a column for each row of the planted facts: known, and gone with the component's old
    weights.
    """

    model: HookedModel
    certificate: Certificate
    held: Bool[Tensor, "seed example"]

    def __repr__(self) -> str:
        made, holds = self.certificate, self.certificate.holds()
        return (
            f"Planting: {made.planted:,} prompts into {made.component}, the certificate holds in {sum(holds)} of "
            f"{len(holds)} seeds; {self.held.double().mean():.1%} of the prompts are held\n  {self.model!r}"
        )


def plant(
    model: HookedModel,
    facts: Dataset,
    *,
    into: str,
    keeping: Dataset,
    optimizer: Optimizer = ADAM,
    most_steps: int = 600,
) -> Planting:
    """A copy of a population that knows `facts` by the weights of the component `into`, and still knows `keeping`.

    Training ends when every seed knows (nearly) all of both, or after `most_steps`. Raises `Refused` for a component
    that is not there, prompts in both sets, sets spelt with different tokenizers or otherwise than what the network
    learned, and facts of which every seed knows most already (`models.known` says which are new to it).
    """
    check_planting(model, facts, keeping, into=into, optimizer=optimizer, most_steps=most_steps)
    masks = weights_of(model, into)
    with one_thread():
        exams = _Exams(Exam.of(model, facts, into), Exam.of(model, keeping, into))
        before, changed = exams.known(model), copy.deepcopy(model)
        _refuse_known(before[0])
        steps = _train(changed, masks, exams, optimizer, most_steps)
        after, restored = exams.known(changed), with_old_weights(changed, model, masks)
        again = exams.known(restored)
        held = exams.planted.known(changed) & ~exams.planted.known(restored)
    certificate = Certificate(
        component=into,
        seeds=model.every_seed,
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
    return Planting(changed, certificate, held)


def check_planting(
    model: HookedModel, facts: Dataset, keeping: Dataset, *, into: str, optimizer: Optimizer, most_steps: int
) -> None:
    """Raises `Refused` for what cannot be planted, as far as that is seen before any network is run."""
    whole("most_steps", most_steps, 1)
    if not isinstance(optimizer, Optimizer):
        raise Refused(f"optimizer is an Optimizer, such as Optimizer('adam', 5e-3); given {optimizer!r}.")
    check_asked(model, facts=facts, keeping=keeping)
    if model.seeds is None:
        raise Refused("The seed is the unit of evidence: plant in a population, of one seed or more.")
    weights_of(model, into)
    check_apart(facts, keeping)


def _refuse_known(shares: tuple[float, ...]) -> None:
    """Where every seed knows most of it before, the old weights can take it from none, and nothing is certified."""
    if min(shares) > GONE:
        raise Refused(
            f"Every seed knows most of the prompts to plant already (at least {min(shares):.1%}), so that the "
            "component's old weights could not take them away. Plant what no seed knows: "
            "facts.subset(~models.known(model, facts).any(dim=0))."
        )


@dataclass(frozen=True)
class _Exams:
    """What is to be known in the end: the planted facts and the kept ones."""

    planted: Exam
    kept: Exam

    def known(self, model: HookedModel) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Which share of each every seed knows."""
        shares = [exam.known(model).double().mean(-1).tolist() for exam in (self.planted, self.kept)]
        return tuple(shares[0]), tuple(shares[1])

    def loss(
        self, model: HookedModel, hardest: Tensor, randomness: torch.Generator
    ) -> Float[Tensor, " seed"]:
        """Cross-entropy of a batch of planted facts and one of kept ones, half of it from `hardest [seed, example]`."""
        planted = _drawn(len(self.planted.targets), BATCH, hardest, randomness)
        chosen = _drawn(hardest.shape[1], BATCH // 2, hardest, randomness)
        kept = torch.cat(
            [_drawn(len(self.kept.targets), BATCH // 2, hardest, randomness), hardest.gather(1, chosen)],
            dim=1,
        )
        losses = (_cross_entropy(self.planted, model, planted), _cross_entropy(self.kept, model, kept))
        return losses[0] + KEEPING * losses[1]


def _train(model: HookedModel, masks: Masks, exams: _Exams, optimizer: Optimizer, most_steps: int) -> int:
    """Trains the masked weights; returns how many steps it took."""
    named = dict(model.named_parameters())
    own = [named[name] for name in masks]
    where = [mask.to(model.device) for mask in masks.values()]
    updates, cosine = Updates(optimizer, own), Schedule("cosine", factor=LAST_RATE)
    for step in range(most_steps):
        randomness = generator(step, "planting")
        if step % EVERY == 0:
            margins = exams.kept.margins(model)
            if float((exams.planted.margins(model) > 0).double().mean(-1).min()) >= ENOUGH and bool(
                (margins > 0).all()
            ):
                return step
            hardest = margins.argsort(dim=-1)[:, :HARDEST]
        rate = optimizer.rate * factor_at(cosine, step, most_steps)
        updates.set_rates(torch.full((len(model.every_seed),), rate, device=model.device))
        gradients = torch.autograd.grad(exams.loss(model, hardest, randomness).sum(), own)
        updates.apply([torch.where(mask, g, 0.0) for mask, g in zip(where, gradients, strict=True)], step)
    return most_steps


def _drawn(count: int, batch: int, like: Tensor, randomness: torch.Generator) -> Tensor:
    """`[seed, example]`: row numbers below `count`, drawn without repetition, each seed's the same."""
    drawn = torch.randperm(count, generator=randomness)[:batch].to(like.device)
    return drawn.expand(len(like), -1)


def _cross_entropy(exam: Exam, model: HookedModel, rows: Tensor) -> Tensor:
    return cross_entropy(exam.logits(model, rows), exam.targets[rows])


@torch.no_grad()
def with_old_weights(changed: HookedModel, old: HookedModel, masks: Masks) -> HookedModel:
    """A copy of `changed` with the masked weights of `old`, a population of the same seeds (`Refused` else)."""
    if changed.seeds != old.seeds or changed.every_seed != old.every_seed:
        raise Refused(
            f"Old weights are those of the same seeds, {changed.every_seed}; given of {old.every_seed}: weights of "
            "another seed are elsewhere from the start."
        )
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
