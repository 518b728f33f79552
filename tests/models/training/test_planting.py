"""Facts planted into a component are known by its weights and by nothing else."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch

from models.data.dataset import Dataset
from models.data.worlds import world
from models.networks.components import weights_of
from models.networks.hooked import HookedModel
from models.networks.transformer_config import TransformerConfig
from models.refusals import Refused
from models.training.answering import Questions, answers
from models.training.certificates import Certificate
from models.training.planting import Planting, plant
from models.training.plantings import planted as planting_from_cache
from models.training.recipes import Recipe
from models.training.train import train
from models.training.training_config import Optimizer, TrainingConfig

WHOLE = ("embed", "blocks.0.attn", "blocks.1.mlp", "unembed")
PARTS = ("blocks.1.attn[0]", "blocks.0.mlp[0:32]", "blocks.1.mlp.W_out")


@pytest.fixture(scope="module")
def sets() -> tuple[Dataset, Dataset]:
    """24 facts to plant and 216 known ones: subjects of two tokens, two relations, twelve objects each."""
    made = world(120, relations=2, objects=12)
    short = [dataclasses.replace(one, templates=("{subject} " + one.name,)) for one in made.relations]
    made = dataclasses.replace(made, relations=tuple(short))
    planted, known = made.sample(24, seed=0)
    tokenizer = made.tokenizer()
    return planted.dataset(tokenizer), known.dataset(tokenizer)


@pytest.fixture(scope="module")
def model(sets: tuple[Dataset, Dataset]) -> HookedModel:
    """Two networks that know the known facts."""
    known = sets[1]
    twice = dataclasses.replace(
        known,
        inputs=known.inputs.repeat(2, 1),
        targets=known.targets.repeat(2),
        mask=known.mask.repeat(2, 1),
        examples=pd.concat([known.examples, known.examples.assign(split="test")], ignore_index=True),
    )
    network = TransformerConfig(known.classes, 3, layers=2, d_model=32, heads=2, d_mlp=64)
    training = TrainingConfig("cross_entropy", Optimizer("adam", 3e-3), 24, 60)
    return train(Recipe("facts", "for tests", network, "facts", training), seeds=2, data=twice).model


@pytest.fixture(scope="module", params=WHOLE + PARTS)
def planting(request: pytest.FixtureRequest, model: HookedModel, sets: tuple[Dataset, Dataset]) -> Planting:
    return plant(model, sets[0], into=request.param, keeping=sets[1])


def right(model: HookedModel, facts: Dataset) -> list[float]:
    with torch.no_grad():
        given = answers(model, Questions.of(facts, device=model.device, dtype=model.dtype))
    return (given.argmax(-1) == facts.targets).double().mean(-1).tolist()


def test_planted_facts_are_known_and_the_others_still(
    planting: Planting, sets: tuple[Dataset, Dataset]
) -> None:
    assert min(right(planting.model, sets[0])) >= 0.95
    assert min(right(planting.model, sets[1])) >= 0.97
    assert right(planting.model, sets[0]) == list(planting.certificate.planted_after)
    assert right(planting.model, sets[1]) == list(planting.certificate.kept_after)


def test_nothing_outside_the_component_moved(planting: Planting, model: HookedModel) -> None:
    assert planting.certificate.others_moved == ()
    masks, before = weights_of(model, planting.certificate.component), dict(model.named_parameters())
    moved = {
        name for name, value in planting.model.named_parameters() if not torch.equal(value, before[name])
    }
    assert moved
    assert moved <= set(masks)
    for name, value in planting.model.named_parameters():
        if name in masks:
            assert torch.equal(value[:, ~masks[name]], before[name][:, ~masks[name]])


def test_the_old_weights_take_exactly_the_planted_facts_away(
    planting: Planting, model: HookedModel, sets: tuple[Dataset, Dataset]
) -> None:
    certificate = planting.certificate
    assert certificate.planted_restored == certificate.planted_before == tuple(right(model, sets[0]))
    assert certificate.kept_restored == certificate.kept_before == tuple(right(model, sets[1]))
    assert max(certificate.planted_before) < 0.3


def test_a_certificate_holds_where_planted_facts_are_known_by_the_component_alone(planting: Planting) -> None:
    assert planting.certificate.holds(kept=0.97) == (True, True)
    short = dataclasses.replace(planting.certificate, planted_after=(1.0, 0.9))
    assert short.holds(kept=0.97) == (True, False)
    moved = dataclasses.replace(planting.certificate, others_moved=("embed.W_E",))
    assert moved.holds(kept=0.97) == (False, False)


def test_planting_again_gives_the_same_bits(model: HookedModel, sets: tuple[Dataset, Dataset]) -> None:
    first, again = (
        plant(model, sets[0], into="unembed", keeping=sets[1], most_steps=20).model for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_a_component_too_small_says_how_many_facts_it_holds(
    model: HookedModel, sets: tuple[Dataset, Dataset]
) -> None:
    certificate = plant(model, sets[0], into="blocks.0.mlp[0]", keeping=sets[1], most_steps=60).certificate
    assert max(certificate.planted_after) < 0.95
    assert certificate.holds() == (False, False)
    assert certificate.steps == 60


def test_a_certificate_says_what_was_counted_and_why_it_does_not_hold() -> None:
    good = Certificate(
        component="blocks.1.mlp",
        seeds=(3, 5),
        planted=40,
        kept=200,
        planted_before=(0.0, 0.9),
        planted_after=(1.0, 1.0),
        planted_restored=(0.0, 0.9),
        kept_before=(1.0, 1.0),
        kept_after=(1.0, 0.5),
        kept_restored=(1.0, 1.0),
        others_moved=(),
        steps=75,
    )
    assert good.holds() == (True, False)
    assert good.reasons() == (
        "",
        "50.0% of the kept prompts are known, of 100.0% before; with the old weights 90.0% of the planted prompts are "
        "still known, for 90.0% were known before the planting",
    )
    assert good.reasons(kept=0.4)[1].startswith("with the old weights 90.0%")
    lines = repr(good).splitlines()
    assert lines[0] == (
        "Certificate: 40 prompts planted into blocks.1.mlp, 200 to keep, 75 steps; shares known:"
    )
    assert lines[1].split()[:3] == ["planted_before", "planted_after", "planted_with_old_weights"]
    assert lines[3].split() == ["3", "0.0%", "100.0%", "0.0%", "100.0%", "100.0%", "100.0%", "True"]
    assert lines[5].startswith("seed 5 does not hold: 50.0%")
    assert good.table.loc[5, "planted_restored"] == 0.9


def test_a_planting_is_told_in_a_few_lines(planting: Planting) -> None:
    first, second, third = repr(planting).splitlines()
    assert first.startswith(
        f"Planting: 24 prompts into {planting.certificate.component}, the certificate holds in "
    )
    assert second.strip().startswith("Transformer of ")
    assert second.endswith(" parameters each, 2 seeds (0, 1)")
    assert third.strip().startswith("TransformerConfig(vocabulary=")


def test_facts_that_every_seed_knows_already_are_refused(
    model: HookedModel, sets: tuple[Dataset, Dataset]
) -> None:
    some, others = sets[1].subset(range(20)), sets[1].subset(range(20, 216))
    with pytest.raises(Refused, match=r"Every seed knows most .*\(at least \d+\.\d%\).*~models\.known\("):
        plant(model, some, into="embed", keeping=others)


def test_prompts_that_are_planted_and_kept_are_refused_whatever_pads_them(
    model: HookedModel, sets: tuple[Dataset, Dataset]
) -> None:
    planted = sets[0]
    assert planted.mask is not None
    with pytest.raises(Refused, match="24 of 24 prompts to plant are also to be kept, the first: '"):
        plant(model, planted, into="embed", keeping=planted)
    wider = dataclasses.replace(
        planted,
        inputs=torch.nn.functional.pad(planted.inputs, (0, 1)),
        mask=torch.nn.functional.pad(planted.mask, (0, 1)),
    )
    with pytest.raises(Refused, match="24 of 24 prompts to plant are also to be kept"):
        plant(model, planted, into="embed", keeping=wider)


def test_wrong_plantings_are_refused(model: HookedModel, sets: tuple[Dataset, Dataset]) -> None:
    planted, kept = sets
    with pytest.raises(Refused, match="Nearest: blocks"):
        plant(model, planted, into="blocks.1.mpl", keeping=kept)
    with pytest.raises(Refused, match="population"):
        plant(model.member(0), planted, into="embed", keeping=kept)
    other = dataclasses.replace(planted, targets=(planted.targets + 1) % planted.classes)
    with pytest.raises(Refused, match="is to be planted with answer"):
        plant(model, other, into="embed", keeping=planted)
    with pytest.raises(Refused, match=r"One component is given by its name.*given \['embed', 'unembed'\]"):
        plant(model, planted, into=["embed", "unembed"], keeping=kept)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="facts is a Dataset"):
        planting_from_cache(model, planted.inputs, into="embed", keeping=kept)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"most_steps is a whole number from 1; given 2\.5"):
        plant(model, planted, into="embed", keeping=kept, most_steps=2.5)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"optimizer is an Optimizer, .* given 'adam'"):
        planting_from_cache(model, planted, into="embed", keeping=kept, optimizer="adam")  # type: ignore[arg-type]
    rows = Dataset.from_arrays([[0.0], [1.0]], [0, 1], split=["network", "test"])
    with pytest.raises(Refused, match="Facts are token sequences"):
        plant(model, rows, into="embed", keeping=kept)
