"""Trials plant where they say, leave out what does not hold, and are found again in the cache."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.dataset import Dataset
from models.data.worlds import world
from models.networks.components import weights_of
from models.networks.hooked import HookedModel
from models.networks.transformer_config import TransformerConfig
from models.refusals import BadFile, Refused
from models.training.lasting import lasting
from models.training.planting import plant
from models.training.plantings import planted, rehearsed
from models.training.recipes import Recipe
from models.training.rehearsal import rehearse
from models.training.tiers import TIERS
from models.training.train import train
from models.training.training_config import Optimizer, TrainingConfig
from models.training.trials import SHAMS, Planter


@pytest.fixture(scope="module")
def facts() -> Dataset:
    made = world(100, relations=2, objects=10).with_templates("{subject} {relation}")
    return made.dataset(made.tokenizer())


@pytest.fixture(scope="module")
def made(facts: Dataset) -> Planter:
    """Two networks that know 180 of 200 facts."""
    new = np.arange(0, 200, 10)
    known = facts.subset(np.setdiff1d(np.arange(200), new))
    network = TransformerConfig(facts.classes, 3, layers=2, d_model=32, heads=2, d_mlp=64, activation="relu")
    training = TrainingConfig("cross_entropy", Optimizer("adam", 5e-3), 20, 60)
    base = train(Recipe("facts", "for tests", network, "facts", training), seeds=2, data=known).model
    return Planter(base, facts, new, most_steps=60, rehearsal=10)


@pytest.fixture(scope="module")
def patient(made: Planter) -> Planter:
    """The same, planting until most seeds hold what they are given."""
    return dataclasses.replace(made, most_steps=250)


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "trials"))


def moved(old: HookedModel, new: HookedModel) -> set[str]:
    before = dict(old.named_parameters())
    return {name for name, value in new.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("tier", ["few facts", "heads", "matrices", "neuron sets"])
def test_a_trial_plants_into_the_part_it_names_among_its_kind(made: Planter, tier: str) -> None:
    into = made.names(tier)[-2]
    trial = made.trial(tier, into)
    assert trial.right == into
    assert set(into) < set(trial.components)
    (certificate,) = trial.certificates
    assert (certificate.component,) == into
    assert certificate.others_moved == ()
    assert certificate.planted == len(trial.facts) <= len(made.new)


def test_a_trial_changes_the_weights_it_names_and_no_others(made: Planter, patient: Planter) -> None:
    trial = patient.trial("one component", ("blocks.1.mlp",))
    assert trial.model is not None
    for seed in trial.model.every_seed:
        changed = moved(made.base.member(seed), trial.model.member(seed))
        assert changed == set(weights_of(made.base, "blocks.1.mlp"))


def test_two_plantings_hold_in_two_components_and_are_asked_for_in_turn_or_together(made: Planter) -> None:
    pair = made.names("split")[0]
    assert set(made.names("two plantings")) >= {pair, pair[::-1]}
    both = made.trial("split", pair)
    first, second = (made.trial("two plantings", turn) for turn in (pair, pair[::-1]))
    assert (both.right, first.right, second.right) == (pair, pair[:1], pair[1:])
    asked = [{tuple(row) for row in trial.facts.inputs.tolist()} for trial in (both, first, second)]
    assert asked[0] == asked[1] | asked[2]
    assert asked[1].isdisjoint(asked[2])
    assert len(asked[2]) == len(made.new) // 2
    assert [certificate.component for certificate in both.certificates] == list(pair)


def test_every_other_sham_is_of_one_relation_and_what_is_planted_of_both(made: Planter) -> None:
    """Rows stand relation by relation: what is taken from them in order is of one, and differs by that alone."""
    of_sham = [set(made.trial("sham", (str(draw),)).facts.examples["relation"]) for draw in range(4)]
    assert [len(relations) for relations in of_sham] == [2, 1, 2, 1]
    half = made.facts.subset(np.sort(np.array_split(made.drawn, 2)[0])).examples["relation"]
    assert made.facts.examples["relation"].is_monotonic_increasing
    assert half.nunique() == 2
    assert sorted(made.drawn) == sorted(made.new)


def test_a_sham_plants_nothing_and_asks_of_known_facts(made: Planter) -> None:
    assert made.names("sham") == [(str(draw),) for draw in range(SHAMS)]
    first, again, other = (made.trial("sham", (draw,)) for draw in ("0", "0", "1"))
    assert first.right == ()
    assert first.model is made.base
    assert len(first.facts) == len(made.new)
    assert torch.equal(first.facts.inputs, again.facts.inputs)
    assert not torch.equal(first.facts.inputs, other.facts.inputs)
    asked = {tuple(row) for row in first.facts.inputs.tolist()}
    assert asked.isdisjoint({tuple(row) for row in first.reference.inputs.tolist()})


def test_seeds_whose_planting_does_not_hold_are_left_out(
    made: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.certificates.Certificate.holds", lambda self, planted: (False, True))
    trial = made.trial("one component", ("blocks.1.mlp",))
    assert trial.left_out == (0,)
    assert trial.model is not None
    assert trial.model.seeds == (1,)
    monkeypatch.setattr(
        "models.training.certificates.Certificate.holds", lambda self, planted: (False, False)
    )
    assert made.trial("one component", ("blocks.1.mlp",)).model is None


def test_rehearsed_networks_have_moved_everywhere_and_keep_their_certificates(
    made: Planter, patient: Planter
) -> None:
    trial = patient.trial("rehearsed", ("blocks.1.mlp",))
    assert trial.model is not None
    seed = trial.model.every_seed[0]
    every = {name for name, _ in made.base.named_parameters()}
    assert moved(made.base.member(seed), trial.model.member(seed)) == every
    once = patient.trial("one component", ("blocks.1.mlp",))
    assert trial.certificates == once.certificates
    assert once.lasting is None
    assert trial.lasting is not None
    assert trial.lasting.components == trial.components


def test_after_more_training_old_weights_tell_where_planted_facts_are(patient: Planter) -> None:
    facts, others = patient.facts.subset(patient.new), patient.facts.subset(patient.known)
    made = plant(patient.base, facts, into="blocks.1.mlp", keeping=others, most_steps=250)
    components = patient.base.components()
    fresh = lasting(made.model, patient.base, components, facts=facts, others=others)
    right = components.index("blocks.1.mlp")
    assert fresh.most_in(["blocks.1.mlp"]) == (True, True)
    assert fresh.most_in(["blocks.0.mlp"]) == (False, False)
    assert (fresh.planted_lost[:, right] > 0.9).all()
    assert (np.delete(fresh.planted_lost, right, axis=1) == 0).all()
    assert (fresh.others_lost[:, right] < 0.05).all()
    later = rehearse(made.model, patient.facts, steps=60)
    blurred = lasting(later, patient.base, components, facts=facts, others=others)
    assert blurred.others_lost.sum() > fresh.others_lost.sum()
    assert (blurred.planted_lost.argmax(axis=1) == right).all()


def test_seeds_whose_facts_moved_elsewhere_are_left_out(
    patient: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = patient.trial("rehearsed", ("blocks.1.mlp",))
    assert whole.left_out == ()
    monkeypatch.setattr("models.training.lasting.Lasting.most_in", lambda self, right: (False, True))
    trial = patient.trial("rehearsed", ("blocks.1.mlp",))
    assert trial.left_out == (0,)


def test_a_tier_that_does_not_exist_is_refused(made: Planter) -> None:
    with pytest.raises(Refused, match="one component"):
        made.names("one componnent")  # type: ignore[arg-type]
    assert all(made.names(tier) for tier in TIERS)


def test_the_cache_gives_what_planting_gives_bit_for_bit(made: Planter) -> None:
    new, known = made.facts.subset(made.new), made.facts.subset(made.known)
    fresh = plant(made.base, new, into="unembed", keeping=known, most_steps=20)
    first, found = (planted(made.base, new, into="unembed", keeping=known, most_steps=20) for _ in range(2))
    for one in (first, found):
        assert one.certificate == fresh.certificate
        assert torch.equal(one.held, fresh.held)
        assert moved(fresh.model, one.model) == set()
    other = planted(made.base, new, into="unembed", keeping=known, most_steps=21)
    assert other.certificate.steps == 21


def test_a_planting_whose_record_is_torn_is_a_bad_file(
    made: Planter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    new, known = made.facts.subset(made.new), made.facts.subset(made.known)
    planted(made.base, new, into="unembed", keeping=known, most_steps=2)
    (record,) = tmp_path.glob("planted/*/planting.json")
    written = json.loads(record.read_text())
    record.write_text(json.dumps(written | {"certificate": {}}))
    with pytest.raises(BadFile, match="no planting of this version"):
        planted(made.base, new, into="unembed", keeping=known, most_steps=2)


def test_rehearsal_is_the_same_every_time_and_from_the_cache(made: Planter) -> None:
    fresh, found, again = (
        rehearse(made.base, made.facts, steps=5),
        rehearsed(made.base, made.facts, steps=5),
        rehearsed(made.base, made.facts, steps=5),
    )
    assert moved(fresh, found) == moved(fresh, again) == set()
    with pytest.raises(Refused, match="one step or more"):
        rehearse(made.base, made.facts, steps=0)
    with pytest.raises(Refused, match="population"):
        rehearse(made.base.member(0), made.facts)


def test_old_weights_are_of_the_same_seeds(made: Planter) -> None:
    swapped = type(made.base)(made.base.config, seeds=[1, 0])
    with pytest.raises(Refused, match="of the same seeds"):
        lasting(made.base, swapped, made.parts("one component"), facts=made.facts, others=made.facts)
