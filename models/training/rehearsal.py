"""Rehearsal: a trained network goes on learning, with all its weights, on all it is to know.

After a planting it blurs the trace: the planted facts stay, but every component may take over some of what holds them.
"""

from __future__ import annotations

import copy

import torch

from models.data.dataset import Dataset
from models.networks.hooked import HookedModel
from models.refusals import Refused
from models.seeds import generator
from models.training.exams import Exam
from models.training.losses import cross_entropy
from models.training.optimizers import Updates
from models.training.question_checks import check_asked
from models.training.train import one_thread
from models.training.training_config import Optimizer

ADAM = Optimizer("adam", 1e-3, beta2=0.99)


def rehearse(
    model: HookedModel, facts: Dataset, *, steps: int = 400, batch: int = 200, optimizer: Optimizer = ADAM
) -> HookedModel:
    """A copy of a population after this many steps of all its weights on these facts, the same batches for each seed.

    Raises `Refused` for a single network, data that are no facts or spelt otherwise than what it learned, and
    fewer than one step.
    """
    check_asked(model, facts=facts)
    if model.seeds is None or steps < 1:
        raise Refused(
            f"Rehearsal takes a population and one step or more; given seeds {model.seeds}, {steps} steps."
        )
    changed = copy.deepcopy(model)
    weights = list(changed.parameters())
    with one_thread():
        exam = Exam.of(changed, facts)
        updates = Updates(optimizer, weights)
        updates.set_rates(torch.full((len(model.seeds),), optimizer.rate, device=model.device))
        for step in range(steps):
            rows = torch.randperm(len(facts), generator=generator(step, "rehearsal"))[:batch].to(model.device)
            loss = cross_entropy(exam.logits(changed, rows), exam.targets[rows]).sum()
            updates.apply(torch.autograd.grad(loss, weights), step)
    return changed
