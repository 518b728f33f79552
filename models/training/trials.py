"""Trials: networks with facts planted where we know, from easy to hard, to hold methods against.

A base population knows nine tenths of a made-up world; the last tenth is new to it. The tiers:

    one component     all new facts planted into one whole component (half of them into an attention, a tenth into the
                      embedding: they hold fewer)
    few facts         a sixth of that
    two plantings     half of the new facts into each of two components, each half asked about in turn (of the first,
                      what every seed held; nobody asked the second component to keep the rest)
    split             the same networks, both halves asked about: two components are right
    rehearsed         as the first, then all weights trained on everything
    heads, matrices, neuron sets    a tenth of the new facts into a part of a component, looked for among its kind
    sham              nothing planted: facts drawn from those known, every other time of one relation alone; no
                      component is right

What is planted is drawn by lot, so that a planting is of no one relation more than of another.

A planting counts as certified in a seed that knows 99 % as many of the others as before, and holds at least half of
what it was to hold. Where weights moved after the planting (two plantings, split, rehearsed), the network is asked
again in the end: the old weights of the right components must take more planted facts away, beyond the others that go
with them, than any other component's do (lasting.py). Seeds of which one or the other is not so are left out of the
trial, which says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import Dataset
from models.networks.hooked import HookedModel, population
from models.refusals import one_of
from models.training.certificates import Certificate
from models.training.lasting import Lasting, lasting
from models.training.planting import Planting
from models.training.plantings import planted, rehearsed
from models.training.tiers import TIERS, Tier
from models.training.training_config import Optimizer

PAIRS: tuple[tuple[str, ...], ...] = (
    ("blocks.0.mlp", "blocks.1.mlp"),
    ("blocks.0.attn", "blocks.1.mlp"),
    ("blocks.1.attn", "unembed"),
)
MATRICES = ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O", "mlp.W_in", "mlp.W_out")
PLANTED_MATRICES = (
    "blocks.0.mlp.W_in",
    "blocks.0.mlp.W_out",
    "blocks.1.attn.W_V",
    "blocks.1.mlp.W_in",
    "blocks.1.mlp.W_out",
)
SETS = 4
SHAMS = 6
HELD, FEWEST = 0.5, 20
HOLDS_LESS = {"unembed": 1, "embed": 10, "attn": 2}


@dataclass(frozen=True, eq=False)
class Trial:
    """A population, the facts in question and others it knows; `right` holds them, of the `components` to choose from.

    `seeds` whose planting was not certified are in `left_out` and not in the population. A population may have no seed
    left: then `model` is None. `lasting`: of every seed, where weights moved after the planting.
    """

    tier: Tier
    right: tuple[str, ...]
    components: tuple[str, ...]
    model: HookedModel | None
    facts: Dataset
    reference: Dataset
    left_out: tuple[int, ...]
    certificates: tuple[Certificate, ...] = ()
    lasting: Lasting | None = None

    @property
    def name(self) -> str:
        """What was planted where, in short."""
        return " + ".join(self.right) or "nothing"


@dataclass(frozen=True, eq=False)
class Planter:
    """A base population, and facts as tokens, of which it knows all but those in the rows `new`.

    `most_steps` a planting takes, `rehearsal` as many steps of all weights in the tier `rehearsed`.
    """

    base: HookedModel
    facts: Dataset
    new: NDArray[np.int64]
    most_steps: int = 300
    rehearsal: int = 400

    @cached_property
    def drawn(self) -> NDArray[np.int64]:
        """The new rows in an order drawn by lot: rows that stand together in a table are of one relation."""
        return np.random.default_rng(len(self.new)).permutation(self.new)

    @cached_property
    def known(self) -> NDArray[np.int64]:
        """The rows of the facts that the base population learned."""
        return np.setdiff1d(np.arange(len(self.facts)), self.new)

    def names(self, tier: Tier) -> list[tuple[str, ...]]:
        """What is planted into, trial by trial; for the sham tier, numbers of draws. Raises `Refused` for no tier."""
        one_of("tier", tier, Tier)
        whole = self.base.components()
        if tier in ("two plantings", "split"):
            pairs = [pair for pair in PAIRS if set(pair) <= set(whole)]
            return pairs if tier == "split" else [pair[::turn] for pair in pairs for turn in (1, -1)]
        if tier == "matrices":
            return [(name,) for name in PLANTED_MATRICES if name in self.parts(tier)]
        if tier == "sham":
            return [(str(draw),) for draw in range(SHAMS)]
        return [(name,) for name in self.parts(tier)]

    def parts(self, tier: Tier) -> list[str]:
        """The parts to choose from in a tier."""
        config = self.base.config
        if tier == "heads":
            return [
                f"blocks.{layer}.attn[{head}]"
                for layer in range(config.layers)
                for head in range(config.heads)
            ]
        if tier == "matrices":
            return [f"blocks.{layer}.{matrix}" for layer in range(config.layers) for matrix in MATRICES]
        if tier == "neuron sets":
            width = config.d_mlp // SETS
            starts = range(0, SETS * width, width)
            return [f"blocks.{layer}.mlp[{s}:{s + width}]" for layer in range(config.layers) for s in starts]
        return self.base.components()

    def trial(self, tier: Tier, into: tuple[str, ...]) -> Trial:
        """One trial: planted now, or found in the cache."""
        components = tuple(self.parts(tier))
        if tier == "sham":
            facts, others = (self.facts.subset(np.sort(rows)) for rows in self._sham(int(into[0])))
            return Trial(tier, (), components, self.base, facts, others, left_out=())
        if tier in ("two plantings", "split"):
            return self._of_two(tier, into)
        (place,) = into
        rows, known = self._rows(tier, place), self.facts.subset(self.known)
        facts = self.facts.subset(rows)
        made = self._planted(self.base, facts, place, known)
        if tier != "rehearsed":
            return _certified(
                Trial(tier, into, components, made.model, facts, known, (), (made.certificate,))
            )
        model = rehearsed(made.model, self.facts.subset(np.union1d(self.known, rows)), steps=self.rehearsal)
        return self._certified_in_the_end(tier, into, model, facts, (made.certificate,))

    def trials(self, tiers: Sequence[Tier] = TIERS) -> Iterator[Trial]:
        """Every trial of these tiers."""
        for tier in tiers:
            for into in self.names(tier):
                yield self.trial(tier, into)

    def _sham(self, draw: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As many known rows as are new, and the others; every other draw takes them of one relation alone."""
        drawn = np.random.default_rng([len(self.known), draw]).permutation(self.known)
        if draw % 2:
            relation = self.facts.examples["relation"].to_numpy()[drawn]
            drawn = np.concatenate([drawn[relation == relation[0]], drawn[relation != relation[0]]])
        return drawn[: len(self.new)], drawn[len(self.new) :]

    def _of_two(self, tier: Tier, into: tuple[str, ...]) -> Trial:
        pair = into if into in PAIRS else into[::-1]
        rows, known = [np.sort(half) for half in np.array_split(self.drawn, 2)], self.facts.subset(self.known)
        one = self._planted(self.base, self.facts.subset(rows[0]), pair[0], known)
        held = rows[0][one.held.all(dim=0).numpy()]
        more = self.facts.subset(np.union1d(self.known, held))
        both = self._planted(one.model, self.facts.subset(rows[1]), pair[1], more)
        halves = dict(zip(pair, (held if len(held) else rows[0], rows[1]), strict=True))
        right = pair if tier == "split" else into[:1]
        asked = self.facts.subset(np.sort(np.concatenate([halves[place] for place in right])))
        return self._certified_in_the_end(tier, right, both.model, asked, (one.certificate, both.certificate))

    def _certified_in_the_end(
        self,
        tier: Tier,
        right: tuple[str, ...],
        model: HookedModel,
        facts: Dataset,
        certificates: tuple[Certificate, ...],
    ) -> Trial:
        components, known = tuple(self.parts(tier)), self.facts.subset(self.known)
        left = lasting(model, self.base, components, facts=facts, others=known)
        return _certified(Trial(tier, right, components, model, facts, known, (), certificates, left))

    def _planted(self, model: HookedModel, facts: Dataset, place: str, known: Dataset) -> Planting:
        """The embedding has a row for each word, seldom met, and a head few weights: they take larger steps."""
        optimizer = Optimizer("adam", 1e-2 if place == "embed" or "attn[" in place else 5e-3, beta2=0.99)
        return planted(
            model, facts, into=place, keeping=known, optimizer=optimizer, most_steps=self.most_steps
        )

    def _rows(self, tier: Tier, place: str) -> NDArray[np.int64]:
        """Which new facts are planted: other ones for each place, where not all are."""
        share = {"few facts": 6, "heads": 10, "matrices": 4, "neuron sets": 4}.get(tier, 1)
        share *= next((less for part, less in HOLDS_LESS.items() if part in place), 1)
        count = min(len(self.new), max(FEWEST, len(self.new) // share))
        start = self.parts(tier).index(place) * len(self.new) // max(1, len(self.parts(tier)))
        return np.sort(np.take(self.drawn, start + np.arange(count), mode="wrap"))


def _certified(trial: Trial) -> Trial:
    """The trial with the seeds whose plantings all hold, and are where they were made."""
    assert trial.model is not None
    holds = [certificate.holds(planted=HELD) for certificate in trial.certificates]
    if trial.lasting is not None:
        holds.append(trial.lasting.most_in(trial.right))
    seeds = trial.model.every_seed
    kept = [seed for seed, good in zip(seeds, np.all(holds, axis=0), strict=True) if good]
    if len(kept) == len(seeds):
        return trial
    left = population([trial.model.member(seed) for seed in kept]) if kept else None
    return replace(trial, model=left, left_out=tuple(seed for seed in seeds if seed not in kept))
