"""Whether facts may be asked of a network, and beside one another: else refused, with what does not fit.

Token numbers mean words by a tokenizer alone. Two sets spelt with different tokenizers, or a set spelt otherwise than
what the network was trained on, would be asked all the same, and every answer would be about other words.
"""

from __future__ import annotations

from models.data.dataset import Dataset
from models.networks.hooked import HookedModel
from models.refusals import Refused


def check_asked(model: HookedModel, **sets: Dataset) -> None:
    """Raises `Refused` unless these are data sets that the network, and each other, are spelt like.

    Compared is what is known: a data set made without a tokenizer, and a network that was trained on none, fit all.
    """
    if not isinstance(model, HookedModel):
        raise Refused(f"The network is a HookedModel, such as `trained.model`; given {type(model).__name__}.")
    for role, data in sets.items():
        if not isinstance(data, Dataset):
            raise Refused(f"{role} is a Dataset, as `Facts.dataset` makes it; given {type(data).__name__}.")
    check_facts(*sets.values())
    spelt = {role: data.tokenizer.digest for role, data in sets.items() if data.tokenizer is not None}
    for role, digest in spelt.items():
        if model.spelt_with is not None and digest != model.spelt_with:
            raise Refused(
                f"{role}, {sets[role].name!r}, are spelt with another tokenizer than what the network was trained on: "
                "the same numbers are other words there. Make them with that one: own_facts.dataset(data.tokenizer)."
            )
    if len(set(spelt.values())) > 1:
        names = " and ".join(f"{role} ({sets[role].name!r}, {sets[role].tokenizer!r})" for role in spelt)
        raise Refused(
            f"{names} are spelt with different tokenizers: the same numbers are different words. Make both data sets "
            "with one tokenizer, of all their facts."
        )
    _check_vocabulary(model, *sets.values())


def check_apart(facts: Dataset, keeping: Dataset) -> None:
    """Raises `Refused` for prompts that are both to be planted and to be kept, with the same answer or another."""
    kept = dict(zip(_prompts(keeping), keeping.targets.tolist(), strict=True))
    for prompt, target in zip(_prompts(facts), facts.targets.tolist(), strict=True):
        if kept.get(prompt, target) != target:
            raise Refused(
                f"The prompt {_told(facts, prompt)} is to be planted with answer {_told(facts, (target,))} and kept "
                f"with {_told(facts, (kept[prompt],))}."
            )
    shared = [prompt for prompt in _prompts(facts) if prompt in kept]
    if shared:
        raise Refused(
            f"{len(shared)} of {len(facts)} prompts to plant are also to be kept, the first: "
            f"{_told(facts, shared[0])}. Plant what is new to the network, keep what it knows: no prompt is both."
        )


def check_facts(*sets: Dataset) -> None:
    """Raises `Refused` for data that are no token sequences with a position where one answer is due."""
    for data in sets:
        if (
            data.mask is None
            or data.source_positions
            or data.asks_everywhere
            or "answer_pos" not in data.examples
        ):
            raise Refused(
                f"Facts are token sequences with a position where the answer is due; {data.name!r} are not."
            )


def _check_vocabulary(model: HookedModel, *sets: Dataset) -> None:
    vocabulary = getattr(model.config, "vocabulary", None)
    for data in sets:
        if vocabulary is not None and data.classes > vocabulary:
            raise Refused(
                f"{data.name!r} is spelt with {data.classes:,} tokens, and the network has {vocabulary:,}: the "
                "tokenizer does not fit the weights."
            )


def _prompts(data: Dataset) -> list[tuple[int, ...]]:
    """The real tokens of every prompt, whatever fills them up."""
    assert data.mask is not None
    lengths = data.mask.sum(dim=1).tolist()
    return [tuple(row[:length]) for row, length in zip(data.inputs.tolist(), lengths, strict=True)]


def _told(data: Dataset, tokens: tuple[int, ...]) -> str:
    return repr(list(tokens) if data.tokenizer is None else data.tokenizer.decode(tokens))
