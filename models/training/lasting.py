"""What is left of a planting in a network that went on learning: whose old weights take the planted facts away.

A certificate (planting.py) is of the moment after the planting. Where other weights moved later, it is asked again of
the network as it is in the end: each component in turn gets the weights it had before any planting, and what the
network then knows is counted, of the planted facts and of others it had to keep. Training ties components to one
another, so that any old weights now cost facts of all kinds: what tells where the planted ones are is how much more of
them go than of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from models.data.dataset import Dataset
from models.networks.components import weights_of
from models.networks.hooked import HookedModel
from models.refusals import Refused
from models.training.exams import Exam
from models.training.planting import with_old_weights
from models.training.question_checks import check_asked
from models.training.train import one_thread


@dataclass(frozen=True, eq=False)
class Lasting:
    """Shares, from 0 to 1, of planted facts and of others that are lost with each component's old weights."""

    components: tuple[str, ...]
    planted_lost: Float[np.ndarray, "seed component"]
    others_lost: Float[np.ndarray, "seed component"]

    def most_in(self, components: Sequence[str]) -> tuple[bool, ...]:
        """For each seed: whether these components' old weights, each by itself, take more planted facts away, beyond
        the others that go with them, than any other component's do."""
        beyond = self.planted_lost - self.others_lost
        own = np.isin(self.components, components)
        return tuple((beyond[:, own].min(axis=1) > beyond[:, ~own].max(axis=1)).tolist())


def lasting(
    model: HookedModel, before: HookedModel, components: Sequence[str], *, facts: Dataset, others: Dataset
) -> Lasting:
    """What each component's weights of `before`, a population of the same seeds, take away from `model`.

    Raises `Refused` for data that are no facts or spelt with different tokenizers, and components that are not there.
    """
    check_asked(model, facts=facts, others=others)
    if isinstance(components, str):
        raise Refused(f"Components are a list of names, such as [{components!r}]; given {components!r}.")
    lost = []
    with one_thread():
        for component in components:
            old = with_old_weights(model, before, weights_of(model, component))
            exams = [Exam.of(model, asked, component) for asked in (facts, others)]
            lost.append([_share_lost(exam, model, old) for exam in exams])
    planted_lost, others_lost = np.array(lost).transpose(1, 2, 0)
    return Lasting(tuple(components), planted_lost, others_lost)


def _share_lost(exam: Exam, model: HookedModel, old: HookedModel) -> list[float]:
    """Of the facts that each seed knew, the share it knows no more; 0 where it knew none."""
    known = exam.known(model)
    gone = (known & ~exam.known(old)).sum(-1) / known.sum(-1).clamp(min=1)
    return gone.double().tolist()
