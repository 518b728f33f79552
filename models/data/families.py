"""The two family trees of Hinton: 24 people, 12 relations, 112 facts, 104 questions.

The trees are written down as marriages with their children; who is whose uncle or niece is worked out from
them. An uncle is a parent's brother or the husband of a parent's sister, a nephew the son of one's own or
one's husband's or wife's brother or sister, and the like for aunt and niece. The two trees have the same
shape: what is learned about one can serve the other.

When it misleads: 104 questions are few. Hinton held out 4, and a network may answer them by chance.

Source: Hinton, Learning distributed representations of concepts (1986), Proceedings of the Eighth Annual
Conference of the Cognitive Science Society, 1-12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.data.facts import Facts

TEMPLATES = (
    "the {relation} of {{subject}} is",
    "{{subject}} has as {relation}",
    "{{subject}} 's {relation} is",
)


@dataclass(frozen=True)
class Marriage:
    """A husband, a wife, and their children."""

    husband: str
    wife: str
    sons: tuple[str, ...] = ()
    daughters: tuple[str, ...] = ()

    @property
    def couple(self) -> set[str]:
        return {self.husband, self.wife}

    @property
    def children(self) -> set[str]:
        return {*self.sons, *self.daughters}


TREES = (
    Marriage("Christopher", "Penelope", sons=("Arthur",), daughters=("Victoria",)),
    Marriage("Andrew", "Christine", sons=("James",), daughters=("Jennifer",)),
    Marriage("Arthur", "Margaret"),
    Marriage("James", "Victoria", sons=("Colin",), daughters=("Charlotte",)),
    Marriage("Charles", "Jennifer"),
    Marriage("Roberto", "Maria", sons=("Emilio",), daughters=("Lucia",)),
    Marriage("Pierro", "Francesca", sons=("Marco",), daughters=("Angela",)),
    Marriage("Emilio", "Gina"),
    Marriage("Marco", "Lucia", sons=("Alfonso",), daughters=("Sophia",)),
    Marriage("Tomaso", "Angela"),
)


def families() -> Facts:
    """The facts of both trees; uncles and aunts are many-valued."""
    people = sorted({name for marriage in TREES for name in marriage.couple | marriage.children})
    triples = [
        (person, name, relative)
        for name, relatives in RELATIONS.items()
        for person in people
        for relative in sorted(relatives(person))
    ]
    return Facts.of(
        triples,
        templates={name: [template.format(relation=name) for template in TEMPLATES] for name in RELATIONS},
        many_valued=("uncle", "aunt"),
        name="families",
        source="Family trees of Hinton, Learning distributed representations of concepts (1986)",
    )


def _parents(person: str) -> set[str]:
    return {name for marriage in TREES if person in marriage.children for name in marriage.couple}


def _children(person: str) -> set[str]:
    return {name for marriage in TREES if person in marriage.couple for name in marriage.children}


def _spouses(person: str) -> set[str]:
    return {name for marriage in TREES if person in marriage.couple for name in marriage.couple} - {person}


def _siblings(person: str) -> set[str]:
    return {name for marriage in TREES if person in marriage.children for name in marriage.children} - {
        person
    }


def _of_each(people: Iterable[str], relatives: Callable[[str], set[str]]) -> set[str]:
    return {name for person in people for name in relatives(person)}


def _parents_siblings(person: str) -> set[str]:
    """Uncles and aunts: parents' brothers and sisters, with husbands and wives."""
    by_blood = _of_each(_parents(person), _siblings)
    return by_blood | _of_each(by_blood, _spouses)


def _siblings_children(person: str) -> set[str]:
    """Nephews and nieces: children of brothers and sisters, one's own and one's husband's or wife's."""
    return _of_each(_siblings(person) | _of_each(_spouses(person), _siblings), _children)


MEN = {name for marriage in TREES for name in (marriage.husband, *marriage.sons)}


def _men(relatives: Callable[[str], set[str]]) -> Callable[[str], set[str]]:
    return lambda person: relatives(person) & MEN


def _women(relatives: Callable[[str], set[str]]) -> Callable[[str], set[str]]:
    return lambda person: relatives(person) - MEN


RELATIONS: Mapping[str, Callable[[str], set[str]]] = MappingProxyType(
    {
        "father": _men(_parents),
        "mother": _women(_parents),
        "husband": _men(_spouses),
        "wife": _women(_spouses),
        "son": _men(_children),
        "daughter": _women(_children),
        "uncle": _men(_parents_siblings),
        "aunt": _women(_parents_siblings),
        "brother": _men(_siblings),
        "sister": _women(_siblings),
        "nephew": _men(_siblings_children),
        "niece": _women(_siblings_children),
    }
)
