"""Which facts a network knows: its likeliest token where the answer is due is the right one.

When it misleads: prompts are counted, not facts (a fact in two templates is two prompts), and a relation of few objects
is answered rightly by chance: hold the share against `Facts.chance`. Of a question with several answers a network names
one, so at most one of its prompts is known.
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from models.data.dataset import Dataset
from models.networks.hooked import HookedModel
from models.training.exams import Exam
from models.training.question_checks import check_asked


def known(model: HookedModel, data: Dataset) -> Bool[Tensor, "*seed example"]:
    """Whether each prompt of `data` is answered rightly: bool `[example]`, of a population `[seed, example]`.

    Its columns are the rows of `data.examples`, on the CPU. What no seed knows yet, to be planted:

        new = data.subset(~models.known(model, data).any(dim=0))

    Raises `Refused` for data that are no facts (token sequences with a position where one answer is due), and for facts
    spelt with another tokenizer than the network was trained with.
    """
    check_asked(model, data=data)
    return Exam.of(model, data).known(model).cpu()
