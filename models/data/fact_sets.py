"""The facts that can be loaded by name, and what of them is held out there.

`facts` and `countries` hold no fact out: arbitrary facts cannot be guessed, so `probe` and `test` ask for what training
taught, in a template that it did not use for that fact. `families` holds out 4 of its 104 questions, as Hinton did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

from models.data.countries import countries
from models.data.dataset import Dataset
from models.data.facts import Facts
from models.data.families import families
from models.data.worlds import world
from models.refusals import unknown

FACTS: Mapping[str, Callable[[], Facts]] = MappingProxyType(
    {"facts": world, "families": families, "countries": countries}
)
_HELD_OUT_FACTS = MappingProxyType({"facts": 0, "families": 4, "countries": 0})


def load_facts(name: str) -> Facts:
    """The facts of this name: `facts` (a world of 4,000), `families`, `countries`. `Refused` for any other."""
    if name not in FACTS:
        raise unknown("collection of facts", name, FACTS)
    return dataclasses.replace(FACTS[name](), name=name)


def load_fact_dataset(name: str) -> Dataset:
    """These facts as `load_data` gives them: words as tokens, of each fact one template held out."""
    facts = load_facts(name)
    return facts.dataset(facts.tokenizer(), held_out_facts=_HELD_OUT_FACTS[name], held_out_paraphrases=1)
