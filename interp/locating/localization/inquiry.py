"""Who is asked, and who is compared with whom: facts in question, each beside a peer.

Effects depend on the margin: what has little to lose loses little. And relations are unlike each other: held against
facts of all relations, facts of one point at parts though nothing was planted. So each fact in question is paired with
a reference fact of its relation and of nearly the same margin, in each seed by itself, and only facts that the seed
knows take part: those with a margin above 0, more likely than all else together (more than to be the likeliest, which
is what accuracy counts). Of a fact in several wordings all is averaged: it is one piece of evidence. Half of the
reference facts, drawn at random, are left to fit things on (means, additive models, probes, a few steps of training)
and never compared; all wordings of a fact are on one side.

It misleads where facts in question and reference differ in more than where they are: in how common their words are.
Drawing at random evens out what is in the same data, not what was different from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from interp.locating.localization.asking import Asked, FactData, joined, last_layer
from interp.locating.localization.parts import Part
from interp.measuring.matching import matched_pairs
from interp.reading.points import seeds_of
from interp.refusals import Refused
from interp.writing.edits import Edit

MOST_FACTS = 200


@dataclass(frozen=True, eq=False)
class Inquiry:
    """The facts in question and their peers, asked in one go; others to fit on.

    The first `facts` of all facts are in question. `of_fact [example]`: which fact each prompt words; `relations
    [fact]`: of which relation it is.
    """

    model: nn.Module
    asked: Asked
    facts: int
    others: Asked
    of_fact: Int64[Tensor, " example"]
    relations: Int64[Tensor, " fact"]

    @classmethod
    def of(cls, model: nn.Module, facts: FactData, reference: FactData, *, most: int = MOST_FACTS) -> Inquiry:
        """Up to `most` prompts; half of the reference facts are peers, the rest is left to fit on (all by fixed lots).

        Raises `Refused` for fewer than 4 reference facts, for prompts or facts in both, for positions that only facts
        in question reach, and for what `Asked.of` refuses.
        """
        questions, known = Asked.of(model, facts), Asked.of(model, reference)
        if len(known) < 4:
            raise Refused(
                f"Locating facts takes reference facts that the network knows: 4 or more; given {len(known)}."
            )
        if questions.inputs.shape[1] != known.inputs.shape[1]:
            raise Refused(
                "Facts and reference are sequences of one length (pad them together); given "
                f"{questions.inputs.shape[1]} and {known.inputs.shape[1]} positions."
            )
        _refuse_shared(questions, known)
        _refuse_same_facts(facts.examples, reference.examples)
        few = torch.cat(_dealt(facts.examples))[:most]
        peers, fitted = _dealt(reference.examples)
        peers = peers[: 3 * most]
        asked = joined(questions.rows(few), known.rows(peers))
        others = known.rows(fitted[: 5 * most])
        _refuse_unfitted(asked, others)
        of_fact, relations = _numbered(
            facts.examples.iloc[few.numpy()], reference.examples.iloc[peers.numpy()]
        )
        count = int(of_fact[: len(few)].max()) + 1
        return cls(model, asked, count, others, of_fact, relations)

    @cached_property
    def untouched(self) -> Float[Tensor, "*seed example"]:
        """The margins before anything is done."""
        return self.asked.margins(self.model)

    @cached_property
    def pairs(self) -> tuple[Int64[Tensor, "pair 2"], ...]:
        """For each seed (one, for a single network): a known fact and its known peer, both of one relation."""
        every = self.per_fact(self.untouched).reshape(-1, len(self.relations)).cpu()
        if not bool(every.isfinite().all()):
            raise Refused("The network's logits are not finite: its facts have no margins to be matched by.")
        known = torch.where(every > 0, every, torch.nan)
        kinds = self.relations[: self.facts], self.relations[self.facts :]
        return tuple(
            matched_pairs(margin[: self.facts], margin[self.facts :], kinds=kinds)
            + torch.tensor([0, self.facts])
            for margin in known
        )

    @property
    def example_axis(self) -> int:
        """Where the axis `example` is in what passes a hook."""
        return 0 if self.seeds is None else 1

    def position_mean(
        self, tensor: Float[Tensor, "*seed example pos *entry"]
    ) -> Float[Tensor, "*seed 1 pos *entry"]:
        """The mean over the other facts of what they put out at each position; padding does not count."""
        example = self.example_axis
        real = self.others.real().to(tensor)
        weights = (real / real.sum(0).clamp(min=1)).view(*real.shape, *[1] * (tensor.ndim - example - 2))
        return (tensor * weights).sum(example, keepdim=True)

    def per_fact(self, values: Float[Tensor, "*any example"]) -> Float[Tensor, "*any fact"]:
        """The mean over the prompts that word each fact: two wordings of a fact are one piece of evidence."""
        if len(self.relations) == values.shape[-1]:
            return values
        of_fact = self.of_fact.to(values.device)
        sums = values.new_zeros(*values.shape[:-1], len(self.relations)).index_add(-1, of_fact, values)
        return sums / of_fact.bincount()

    @property
    def seeds(self) -> tuple[int, ...] | None:
        """The population's seeds; None for one network."""
        return seeds_of(self.model)

    def falls(
        self, part: Part, edits: Edit | Sequence[Edit] = (), *, weights: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "*seed example"]:
        """How much each margin falls under these edits, or with these weights, of one part; run from its layer on."""
        layer = self.first_layer(part)
        changed = self.asked.margins(
            self.model, edits, weights=weights, entering=self.entering(layer), layer=layer
        )
        return self.untouched - changed

    def unseen(self) -> Float[Tensor, "*seed example"]:
        """NaN for every fact: the effect of a part that a method cannot see."""
        return torch.full_like(self.untouched, torch.nan)

    def first_layer(self, part: Part) -> int | None:
        """The layer from which on a part acts; None: from the beginning."""
        if self._last_layer is None or part.name.startswith("embed"):
            return None
        return self._last_layer if part.layer is None else part.layer

    def entering(self, layer: int | None) -> Float[Tensor, "*seed example pos d_model"] | None:
        """What enters a layer when nothing is changed; None, from the beginning: tokens do."""
        if layer not in self._entering:
            self._entering[layer] = self.asked.entering(self.model, layer)
        return self._entering[layer]

    @cached_property
    def _last_layer(self) -> int | None:
        return last_layer(self.model)

    @cached_property
    def _entering(self) -> dict[int | None, Tensor | None]:
        return {}


def _dealt(examples: pd.DataFrame) -> tuple[Int64[Tensor, " half"], Int64[Tensor, " other_half"]]:
    """Row numbers in two halves by fixed lots, in the order drawn; all rows of one question in the same half."""
    named = [name for name in ("subject", "relation") if name in examples]
    question = (
        examples.groupby(named, sort=False, dropna=False).ngroup().to_numpy()
        if len(named) == 2
        else np.arange(len(examples))
    )
    lot = np.random.default_rng(0).permutation(question.max() + 1)[question]
    drawn = np.argsort(lot, kind="stable")
    first, second = (torch.from_numpy(drawn[lot[drawn] % 2 == half]) for half in (0, 1))
    return first, second


def _numbered(*tables: pd.DataFrame) -> tuple[Int64[Tensor, " example"], Int64[Tensor, " fact"]]:
    """For each row its fact, numbered as they come; for each fact its relation. Without columns each row is a fact."""
    table = pd.concat(tables, ignore_index=True)
    of_fact = np.arange(len(table))
    if {"subject", "relation"} <= set(table):
        of_fact[:] = table.groupby(["subject", "relation"], sort=False, dropna=False).ngroup()
    named = table["relation"] if "relation" in table else pd.Series(0, index=table.index)
    relation = pd.factorize(named, use_na_sentinel=False)[0]
    first = np.unique(of_fact, return_index=True)[1]
    return torch.from_numpy(of_fact).long(), torch.from_numpy(relation[first]).long()


def _refuse_same_facts(questions: pd.DataFrame, known: pd.DataFrame) -> None:
    named = ["subject", "relation"]
    if not (set(named) <= set(questions) and set(named) <= set(known)):
        return
    rows = (set(table[named].itertuples(index=False, name=None)) for table in (questions, known))
    if shared := len(set.intersection(*rows)):
        raise Refused(
            f"Facts are compared with other facts; {shared} of those in question are in the reference too, in other "
            "words: leave them out of the reference."
        )


def _refuse_unfitted(asked: Asked, others: Asked) -> None:
    """Means and the like are of other facts, position by position: some must reach each position."""
    if alone := (asked.real().any(0) & ~others.real().any(0)).nonzero().flatten().tolist():
        raise Refused(
            f"No reference fact that is left to fit on reaches position {', '.join(map(str, alone))}, and facts that "
            "are compared do: give more reference facts in these words, or sequences of one length."
        )


def _refuse_shared(questions: Asked, known: Asked) -> None:
    prompts = [{tuple(row) for row in one.inputs.tolist()} for one in (questions, known)]
    if shared := len(prompts[0] & prompts[1]):
        raise Refused(
            f"Facts are compared with other facts; {shared} prompts are both in question and reference: leave them out "
            "of the reference."
        )
