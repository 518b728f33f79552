"""The facts that can be loaded by name, and what of them is held out there.

`world` is `facts` in one short template, subject and relation; nothing of it is held out, so all that can be asked is
what training taught: it has no `probe` and no `test` split (`models.halves_by_subject` makes both of what was trained).
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
from models.refusals import Refused, unknown

FACTS: Mapping[str, Callable[[], Facts]] = MappingProxyType(
    {
        "world": lambda: world().with_templates("{subject} {relation}"),
        "facts": world,
        "families": families,
        "countries": countries,
    }
)
_HELD_OUT = MappingProxyType({"world": (0, 0), "facts": (0, 1), "families": (4, 1), "countries": (0, 1)})


def load_facts(name: str) -> Facts:
    """The facts of this name: `world` and `facts` (the same 4,000), `families`, `countries`; `Refused` else."""
    if name not in FACTS:
        raise Refused(
            f"{unknown('collection of facts', str(name), FACTS)} Facts of your own, also from a file: "
            "models.Facts.of(triples, templates=…)."
        )
    return dataclasses.replace(FACTS[name](), name=name)


def load_fact_dataset(name: str) -> Dataset:
    """These facts as `load_data` gives them: words as tokens; see above for what is held out."""
    facts, (questions, templates) = load_facts(name), _HELD_OUT[name]
    return facts.dataset(facts.tokenizer(), held_out_facts=questions, held_out_paraphrases=templates)
