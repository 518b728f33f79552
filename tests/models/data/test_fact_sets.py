"""The facts that can be loaded by name."""

from __future__ import annotations

from functools import cache

import pytest

from models.data.catalogue import CATALOGUE
from models.data.dataset import Dataset
from models.data.fact_sets import FACTS, load_facts
from models.data.loading import load_data
from models.refusals import Refused

DIGESTS = {
    "world": "e6be7a752e64d9fe074aca9cf5976537f5b1676ec3f0ddc76699b2d4a06dc82f",
    "facts": "4fbe7fde9de0467784cb1d9bf02ed1eb5f5060d28fe27b9b94f69ea352fceffb",
    "families": "c7fc922a837df98130cf9760b502def44035dbcd2cebb6a9feabed333d7eb232",
    "countries": "db8a9de32a02e9b64846bd550bdec09b52a00d6eeb8c3e020b49fa1dd20b58f2",
}


@cache
def loaded(name: str) -> Dataset:
    return load_data(name)


def test_the_world_has_the_same_facts_in_fewer_words() -> None:
    short, long = load_facts("world"), load_facts("facts")
    assert short.table.equals(long.table)
    assert short.relations[0].templates == ("{subject} home",)
    assert loaded("world").tokenizer is not None
    assert loaded("world").tokenizer.decode(loaded("world").inputs[0]) == f"{short.table['subject'][0]} home"


def test_nothing_held_out_means_no_test_split() -> None:
    with pytest.raises(Refused, match=r"no example in the split 'test': network 4,000, probe 0, test 0"):
        _ = loaded("world").test


@pytest.mark.parametrize("name", FACTS)
def test_the_catalogue_tells_the_truth_about_facts(name: str) -> None:
    data, entry = loaded(name), CATALOGUE[name]
    assert tuple(data.split_counts().values()) == entry.splits
    assert (data.inputs.shape[1], data.classes, data.image_shape) == (entry.positions, entry.classes, None)
    assert data.name == name == load_facts(name).name
    assert set(data.network.examples["kind"]) == {"trained"}
    held_out = set(data.examples["kind"]) - {"trained"}
    assert held_out == (set() if name == "world" else held_out | {"held_out_paraphrase"})
    assert (entry.reads, entry.width) == ("tokens", entry.positions)
    assert data.digest == DIGESTS[name]


def test_the_default_facts_are_4000_all_trained() -> None:
    examples = loaded("facts").examples
    assert examples.loc[examples["split"] == "network", "fact"].nunique() == 4_000


def test_four_questions_of_the_families_are_held_out_two_to_judge_each() -> None:
    unseen = loaded("families").examples.query("kind == 'held_out_fact'")
    assert unseen.groupby("split").apply(
        lambda rows: len(rows[["subject", "relation"]].drop_duplicates())
    ).to_dict() == {
        "probe": 2,
        "test": 2,
    }


def test_a_mistyped_name_is_told_the_nearest() -> None:
    with pytest.raises(Refused, match=r"no collection of facts 'familys'\. Nearest: families"):
        load_facts("familys")
    with pytest.raises(Refused, match=r"own, also from a file: models\.Facts\.of\(triples"):
        load_facts("my.csv")


def test_token_sequences_have_no_features() -> None:
    with pytest.raises(Refused, match=r"'families' holds token sequences .* not numbers"):
        _ = CATALOGUE["families"].features
