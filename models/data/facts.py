"""Facts: (subject, relation, object), put into words by templates and learned as "the next token is the
object".

A `Relation` has templates, prompts with the slot `{subject}` that end where the object comes, and the objects
to choose from. `Facts` is a table with a row per fact. `Facts.dataset` writes each fact in each of its
relation's templates, as tokens; the target is the object's first token, predicted at the last real position
(`models.data.prompts` is the method).

Only what a network can know is let in: a question (subject, relation) has one answer unless its relation is
declared many-valued, a relation has at least two objects to choose from (with one, the template alone gives
it away), and no fact is there twice.

When it misleads: accuracy is to be held against `chance` (always answering a relation's commonest object),
not against one in the size of the vocabulary; and a high margin on the true object may come from its being
common.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import Tensor

from models.data.dataset import Dataset
from models.data.fact_checks import check_facts, check_named, check_relation, table_of
from models.data.frequencies import Frequencies, times
from models.data.prompts import write_dataset
from models.data.tokenizers import Special, Tokenizer, WordTokenizer
from models.data.validation import check_selection
from models.refusals import Refused


@dataclass(frozen=True)
class Relation:
    """A relation: its name, its templates (each with the slot `{subject}`), the objects it chooses from.

    `many_valued`: one subject may have several objects, as with aunts. Raises `Refused` for a template
    without the slot or with another, for no template, and for fewer than two objects.
    """

    name: str
    templates: tuple[str, ...]
    objects: tuple[str, ...]
    many_valued: bool = False

    def __post_init__(self) -> None:
        check_relation(self.name, self.templates, self.objects)


@dataclass(frozen=True, eq=False, repr=False)
class Facts:
    """Facts in a table with the columns `subject`, `relation`, `object` (text) and whatever else is known of
    each.

    A column `frequency` (whole numbers from 1) says how often a fact is met in training. Raises `Refused` for
    no fact, facts given twice or that contradict each other, and names that no relation has.
    """

    name: str
    table: pd.DataFrame
    relations: tuple[Relation, ...]
    source: str = field(default="facts given by the user")

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", self.table.reset_index(drop=True))
        names = [relation.name for relation in self.relations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise Refused(f"The relation {twice[0]!r} is given twice: give it once, with all its templates.")
        check_facts(self.table, self.by_name)

    @classmethod
    def of(
        cls,
        triples: Iterable[tuple[str, str, str]] | pd.DataFrame,
        *,
        templates: Mapping[str, Sequence[str]],
        many_valued: Sequence[str] = (),
        name: str = "own",
        source: str = "facts given by the user",
    ) -> Facts:
        """Facts of your own: triples (subject, relation, object), or a table with these columns, as from a file.

            table = pandas.read_csv("own.csv", dtype=str, keep_default_na=False)
            facts = models.Facts.of(table, templates={"born": ["{subject} was born in"]})
            data = facts.dataset(facts.tokenizer())

        `templates` has for each relation a list of prompts that end where the object comes; a relation chooses from
        the objects that occur with it. `many_valued` names the relations of which a subject may have several objects.
        Other columns of a table are kept. Raises `Refused` as `Facts` does, and for relations without templates or
        templates without facts.
        """
        table = table_of(triples)
        check_named(table, templates, many_valued)
        objects = table.groupby("relation")["object"].unique()
        relations = [
            Relation(key, tuple(prompts), tuple(sorted(objects.get(key, ()))), key in many_valued)
            for key, prompts in templates.items()
        ]
        return cls(name, table, tuple(relations), source)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def by_name(self) -> dict[str, Relation]:
        """The relations by their names."""
        return {relation.name: relation for relation in self.relations}

    @cached_property
    def digest(self) -> str:
        """sha256, in hexadecimal, of table and relations."""
        relations = [dataclasses.asdict(relation) for relation in self.relations]
        columns = {str(name): self.table[name].astype(str).tolist() for name in self.table}
        written = json.dumps([relations, columns])
        return hashlib.sha256(written.encode()).hexdigest()

    def subset(self, which: ArrayLike | Tensor) -> Facts:
        """The facts picked by a mask or by row numbers; relations keep all objects they choose from."""
        return dataclasses.replace(self, table=self.table.iloc[check_selection(which, len(self))])

    def sample(self, facts: int, *, seed: int) -> tuple[Facts, Facts]:
        """This many facts drawn at random, and the others. Raises `Refused` when either would be empty."""
        if not 0 < facts < len(self):
            raise Refused(f"{facts} of {len(self)} facts cannot be drawn: allowed are 1 to {len(self) - 1}.")
        order = np.random.default_rng(seed).permutation(len(self))
        return self.subset(np.sort(order[:facts])), self.subset(np.sort(order[facts:]))

    def with_frequencies(self, frequencies: Frequencies | Sequence[int], *, seed: int = 0) -> Facts:
        """The same facts, met this often in training: see `models.data.frequencies`."""
        return dataclasses.replace(
            self, table=self.table.assign(frequency=times(frequencies, len(self), seed=seed))
        )

    def with_templates(self, *templates: str) -> Facts:
        """The same facts, each relation in these templates; the slot `{relation}` stands for its name.

        `facts.with_templates("{subject} {relation}")` is the shortest. Raises `Refused` as `Relation` does.
        """
        relations = [
            dataclasses.replace(
                relation,
                templates=tuple(template.replace("{relation}", relation.name) for template in templates),
            )
            for relation in self.relations
        ]
        return dataclasses.replace(self, relations=tuple(relations))

    def tokenizer(self, *, special: Sequence[Special] = ("<pad>",)) -> WordTokenizer:
        """A word-level tokenizer of all subjects, templates and objects to choose from."""
        prompts = [
            prompt.replace("{subject}", " ") for relation in self.relations for prompt in relation.templates
        ]
        objects = [name for relation in self.relations for name in relation.objects]
        return WordTokenizer.of([*self.table["subject"], *prompts, *objects], special=special)

    def dataset(
        self,
        tokenizer: Tokenizer,
        *,
        held_out_facts: int = 0,
        held_out_paraphrases: int = 0,
        context: int | None = None,
        seed: int = 0,
    ) -> Dataset:
        """These facts as token sequences, each in every template; `kind` in `examples` says what training
        makes of a row.

        - `trained`: split `network`, in `frequency` copies.
        - `held_out_paraphrase`: of each trained fact, this many templates drawn at random that training never
          shows for it (it shows them for other facts). One or more, and templates are left over for training.
        - `held_out_fact`: all templates of this many questions (subject, relation) that training never
          answers; each subject and each object of a relation stays in training with another fact.

        Half of the subjects have their held-out rows in `probe`, the others in `test`. Other columns: `fact`
        (row of `table`), `subject, relation, object`, `template` (number), `answer_pos` (last real position,
        where the object is predicted), `subject_first` and `subject_last` (positions), `answers` (how many
        objects the question has) and what else `table` knows. Sequences start with `<bos>` if the tokenizer
        has it. The same arguments give the same data.

        Raises `Refused` for words that the tokenizer does not know, sequences longer than `context`, unequal
        lengths without `<pad>`, objects of one relation that start with the same token, and more held out
        than can be.
        """
        return write_dataset(
            self, tokenizer, held_out=(held_out_facts, held_out_paraphrases), context=context, seed=seed
        )

    def statistics(self) -> pd.DataFrame:
        """A row per relation: `facts`, `questions`, `objects` to choose from, `chance` (share of questions
        that its commonest object answers), `bits` (what it takes to name the object of every question, each
        as likely as the others)."""
        return pd.DataFrame([_statistics(relation, self.table) for relation in self.relations]).set_index(
            "relation"
        )

    @property
    def chance(self) -> float:
        """The share of questions answered by always naming the commonest object of the relation."""
        statistics = self.statistics()
        return float((statistics["chance"] * statistics["questions"]).sum() / statistics["questions"].sum())

    def __repr__(self) -> str:
        subjects = self.table["subject"].nunique()
        relations = ", ".join(self.by_name)
        return (
            f"Facts({self.name!r}: {len(self):,} facts about {subjects:,} subjects; relations: {relations})"
        )


def _statistics(relation: Relation, table: pd.DataFrame) -> dict[str, Any]:
    facts = table[table["relation"] == relation.name]
    questions = facts["subject"].nunique()
    commonest = int(facts["object"].value_counts().max()) if len(facts) else 0
    return {
        "relation": relation.name,
        "facts": len(facts),
        "questions": questions,
        "objects": len(relation.objects),
        "chance": commonest / questions if questions else float("nan"),
        "bits": questions * log2(len(relation.objects)),
    }
