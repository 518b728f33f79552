"""Facts planted in an MLP are found there; where nothing is planted, nothing is found; what is not known is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_facts import Bench, chosen

from interp.locating.localization.methods import METHODS
from interp.measuring.ranking import auroc, top
from interp.refusals import Refused
from models.networks.hooked import HookedModel
from models.networks.transformer import Transformer

PLACES = ["blocks.0.attn", "blocks.0.mlp", "blocks.1.attn", "blocks.1.mlp"]
FINDING = ("mean ablation", "additive ablation", "integrated gradients", "shrinking")
QUICK = [name for name in METHODS if name not in ("drift", "random")]
DRAWS = 5


@pytest.mark.parametrize("into", ["blocks.0.mlp", "blocks.1.mlp"])
@pytest.mark.parametrize("name", FINDING)
def test_facts_planted_in_an_mlp_are_found_there(name: str, into: str, bench: Bench) -> None:
    model = bench.plantings[into].model
    scores = METHODS[name](model, bench.planted, bench.known, components=PLACES)
    right = np.array([place == into for place in PLACES])
    assert [auroc(seed, right) for seed in scores.to_numpy()] == [1, 1, 1]


def test_drift_finds_them(bench: Bench) -> None:
    """Its hardest rival is the attention before the MLP, which feeds it."""
    model = bench.plantings["blocks.1.mlp"].model
    scores = METHODS["drift"](model, bench.planted, bench.known, components=[*PLACES, "unembed"])
    right = scores["component"].to_numpy() == "blocks.1.mlp"
    assert np.mean([auroc(seed, right) for seed in scores.to_numpy()]) >= 0.9
    assert top(scores.mean("seed").to_numpy(), right) == 1


@pytest.mark.parametrize("name", ["mean ablation", "shrinking", "integrated gradients"])
def test_facts_and_reference_swapped_turn_the_sign(name: str, bench: Bench) -> None:
    model = bench.plantings["blocks.1.mlp"].model
    there, back = (
        METHODS[name](model, *pair, components=PLACES).sel(component="blocks.1.mlp").to_numpy()
        for pair in ((bench.planted, bench.known), (bench.known, bench.planted))
    )
    assert there.min() > 0.7
    assert back.max() < -0.7


def sham_scores(name: str, bench: Bench, draws: int, components: list[str] | None) -> np.ndarray:
    """Scores times the root of the pairs, which is Student's t, for facts drawn among those known alike."""
    found = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(bench.known))
        facts, reference = chosen(bench.known, order[:30]), chosen(bench.known, order[30:])
        scores = METHODS[name](bench.model, facts, reference, components=components)
        found.append(scores.to_numpy() * np.sqrt(scores.attrs["pairs"])[:, None])
    every = np.array(found)
    return every[:, :, ~np.isnan(every).any((0, 1))]


@pytest.mark.parametrize("name", QUICK)
def test_where_nothing_was_planted_no_method_points_anywhere(name: str, bench: Bench) -> None:
    """|t| over 2.05 in 5 of 100 by chance; 60 to 90 scores, several of one draw, allow 15 of 100."""
    found = sham_scores(name, bench, DRAWS, None)
    assert np.mean(np.abs(found) > 2.05) <= 0.15
    assert abs(found.mean()) <= 0.5
    assert np.abs(found.mean((0, 1))).max() <= 4 / np.sqrt(DRAWS)


def test_where_nothing_was_planted_drift_points_nowhere(bench: Bench) -> None:
    found = sham_scores("drift", bench, 2, ["blocks.0.mlp", "blocks.1.mlp"])
    assert np.mean(np.abs(found) > 2.05) <= 0.25
    assert abs(found.mean()) <= 0.7


@pytest.mark.parametrize("name", METHODS)
def test_an_untrained_network_knows_nothing_to_be_found(name: str, bench: Bench) -> None:
    untrained: HookedModel = Transformer(bench.model.config, seeds=[7, 8])
    with pytest.raises(Refused, match=r"found \[0, 0\] .* of which \[\d, \d\] are known"):
        METHODS[name](untrained, bench.planted, bench.known)


def test_a_network_that_overflows_has_no_margins(bench: Bench) -> None:
    broken = bench.model.member(0)
    with torch.no_grad():
        dict(broken.named_parameters())["unembed.W_U"].fill_(float("inf"))
    with pytest.raises(Refused, match="not finite"):
        METHODS["mean ablation"](broken, bench.planted, bench.known)
