"""Data sets by name: what loads each is imported when it is asked for, since some of it takes a second."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.fact_sets import FACTS, load_fact_dataset
from models.refusals import unknown

LOADERS: Mapping[str, str] = MappingProxyType(
    {
        "digits": "digits:load_bundled_digits",
        "mnist": "mnist:load_mnist",
        **dict.fromkeys(FACTS, "fact_sets:load_fact_dataset"),
        "digits-shifted": "digits:load_shifted_digits",
        "digits-rotated": "digits:load_rotated_digits",
        "letters": "letters:load_letters",
        "clothes": "clothes:load_clothes",
        "noise": "digits:load_digit_noise",
        "adding": "sequences:adding_problem",
        "copy": "sequences:copy_task",
        "recall": "recall:key_value_recall",
        "induction": "recall:induction",
        "modular": "modular:modular_addition",
        "names": "text:load_names",
        "places": "text:load_places",
        "shakespeare": "text:load_shakespeare",
        "reordering": "reordering:reordering",
        "translation": "translation:load_translation",
    }
)


def load_data(name: str) -> Dataset:
    """The data set of this name in `models.data.catalogue.CATALOGUE`.

    Raises `Refused` for an unknown name, `BadFile` when a file is missing or altered.
    """
    if name not in LOADERS:
        raise unknown("data set", name, CATALOGUE)
    if name in FACTS:
        return load_fact_dataset(name)
    module, _, loader = LOADERS[name].partition(":")
    loaded: Dataset = getattr(import_module(f"models.data.{module}"), loader)()
    return loaded
