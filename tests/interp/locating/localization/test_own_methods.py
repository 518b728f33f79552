"""A method of one's own joins the table, a wrong one is refused; and what methods are held against."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from known_facts import Bench

from interp.locating.localization.baselines import weight_change, weight_norm
from interp.locating.localization.methods import METHODS, localize
from interp.locating.localization.scores import OfParts, Paired
from interp.reading.capture import capture
from interp.refusals import Refused
from models.data.tokenizers import WordTokenizer
from models.networks.transformer import Transformer
from models.refusals import Refused as NoComponent

PARTS = ["blocks.0.mlp", "blocks.1.mlp", "unembed"]


def mine(model: Any, facts: Any, reference: Any, *, components: Sequence[str] | None = None) -> xr.DataArray:
    """A user's method: a number for each part, the parts and dimensions in an order of its own."""
    names = list(components or model.components())
    numbers = np.arange(len(names) * 3.0).reshape(len(names), 3)
    return xr.DataArray(numbers, coords={"component": names, "seed": list(model.seeds)}).isel(
        component=slice(None, None, -1)
    )


def answering(scores: Any) -> Any:
    return lambda model, facts, reference, *, components=None: scores


def test_a_method_of_ones_own_joins_the_table(bench: Bench) -> None:
    methods = {"mine": mine, "shrinking": METHODS["shrinking"]}
    table = localize(
        bench.plantings["blocks.1.mlp"].model, bench.planted, bench.known, methods, components=PARTS
    )
    assert table.dims == ("by", "seed", "component")
    assert table["by"].to_numpy().tolist() == ["mine", "shrinking"]
    assert table.sel(by="mine", component=PARTS[1]).to_numpy().tolist() == [3, 4, 5]
    assert (
        table.attrs["pairs"]
        == METHODS["shrinking"](bench.plantings["blocks.1.mlp"].model, bench.planted, bench.known).attrs[
            "pairs"
        ]
    )


def test_an_effect_of_ones_own_is_compared_over_pairs(bench: Bench) -> None:
    """1 more on every fact in question, with noise of a quarter on each: 1 in units of a quarter times root 2."""

    def effect(inquiry: Any, parts: Any) -> torch.Tensor:
        noise = torch.randn(len(inquiry.asked), generator=torch.Generator().manual_seed(0)) / 4
        ahead = (torch.arange(len(inquiry.asked)) < inquiry.facts).double()
        return (ahead + noise).expand(3, len(parts), -1)

    scores = Paired(effect)(bench.plantings["blocks.1.mlp"].model, bench.planted, bench.known)
    assert float(scores.mean()) == pytest.approx(4 / 2**0.5, abs=0.8)
    assert np.ptp(scores.to_numpy(), axis=1).max() == 0


def test_a_method_sees_the_parts_asked_for_and_all_whole_ones_by_default(bench: Bench) -> None:
    assert localize(bench.model, bench.planted, bench.known, {"mine": mine})[
        "component"
    ].to_numpy().tolist() == [*bench.model.components()]


@pytest.mark.parametrize(
    "scores",
    [
        None,
        np.zeros((3, 3)),
        xr.DataArray(np.zeros((3, 3))),
        xr.DataArray(np.zeros((3, 3)), dims=["seed", "component"]),
        xr.DataArray(np.zeros(3), coords={"component": PARTS}),
        xr.DataArray(np.zeros((3, 2)), coords={"seed": [0, 1, 2], "component": PARTS[:2]}),
        xr.DataArray(np.zeros((3, 4)), coords={"seed": [0, 1, 2], "component": [*PARTS, PARTS[0]]}),
        xr.DataArray(np.zeros((3, 3)), coords={"seed": [0, 1, 2], "component": ["embed", *PARTS[1:]]}),
        xr.DataArray(np.zeros((3, 3)), coords={"seed": [1, 2, 3], "component": PARTS}),
        xr.DataArray(np.zeros((2, 3)), coords={"seed": [0, 1], "component": PARTS}),
        xr.DataArray(np.zeros((3, 3, 1)), coords={"seed": [0, 1, 2], "component": PARTS, "fact": [0]}),
        xr.DataArray(np.full((3, 3), "high"), coords={"seed": [0, 1, 2], "component": PARTS}),
    ],
)
def test_scores_of_something_else_are_refused(scores: Any, bench: Bench) -> None:
    with pytest.raises(Refused, match=r"'mine' gave .* asked for were"):
        localize(bench.model, bench.planted, bench.known, {"mine": answering(scores)}, components=PARTS)


def test_infinite_scores_are_refused_and_nan_is_not(bench: Bench) -> None:
    scores = xr.DataArray(np.full((3, 3), np.nan), coords={"seed": [0, 1, 2], "component": PARTS})
    found = localize(bench.model, bench.planted, bench.known, {"mine": answering(scores)}, components=PARTS)
    assert bool(found.isnull().all())
    scores[0, 0] = np.inf
    with pytest.raises(Refused, match="infinite"):
        localize(bench.model, bench.planted, bench.known, {"mine": answering(scores)}, components=PARTS)


def test_no_method_at_all_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="No method"):
        localize(bench.model, bench.planted, bench.known, {})


def test_the_oracle_knows_where_the_weights_moved(bench: Bench) -> None:
    for into, planting in bench.plantings.items():
        scores = OfParts(weight_change(bench.model))(planting.model, bench.planted, bench.known)
        assert bool((scores.sel(component=into) > 0.1).all())
        assert float(scores.drop_sel(component=into).max()) == 0


def longer(model: Any, *, seed: int, factor: float) -> Any:
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name, value in changed.named_parameters():
            if name.startswith("blocks.0.mlp."):
                value[seed] *= factor
    return changed


def test_a_part_a_tenth_longer_has_changed_by_a_tenth(bench: Bench) -> None:
    changed = longer(bench.plantings["blocks.1.mlp"].model, seed=1, factor=1.1)
    oracle = OfParts(weight_change(bench.plantings["blocks.1.mlp"].model))
    scores = oracle(changed, bench.planted, bench.known, components=["blocks.0.mlp", "embed"])
    np.testing.assert_allclose(scores.to_numpy(), [[0, 0], [0.1, 0], [0, 0]], atol=1e-6)


def test_the_leak_shows_lengths_that_are_unusual_among_other_seeds(bench: Bench) -> None:
    model = bench.plantings["blocks.1.mlp"].model
    lengths = torch.stack(
        [
            torch.cat(
                [
                    value[seed].flatten()
                    for name, value in bench.model.named_parameters()
                    if "blocks.0.mlp." in name
                ]
            )
            .double()
            .norm()
            for seed in range(3)
        ]
    ).detach()
    usual = lengths[[0, 2]].log()
    leak = OfParts(weight_norm(bench.model))
    found = leak(longer(model, seed=1, factor=1.1), bench.planted, bench.known, components=PARTS)
    expected = float(((1.1 * lengths[1]).log() - usual.mean()) / usual.std())
    assert float(found.sel(seed=1, component="blocks.0.mlp")) == pytest.approx(expected, rel=1e-4)


def test_luck_is_standard_normal_and_drawn_anew_for_other_networks_and_facts(bench: Bench) -> None:
    luck, models = METHODS["random"], [planting.model for planting in bench.plantings.values()]
    neurons = [f"blocks.{layer}.mlp[{neuron}]" for layer in range(2) for neuron in range(48)]
    first, again, other = (
        luck(model, bench.planted, bench.known, components=neurons) for model in (*models[:1], *models)
    )
    assert first.identical(again)
    assert abs(float(np.corrcoef(first.to_numpy().ravel(), other.to_numpy().ravel())[0, 1])) < 0.25
    assert abs(float(first.mean())) < 0.25
    assert float(first.std()) == pytest.approx(1, abs=0.15)
    swapped = luck(models[0], bench.known, bench.planted, components=neurons)
    assert abs(float(np.corrcoef(first.to_numpy().ravel(), swapped.to_numpy().ravel())[0, 1])) < 0.25


def test_networks_of_another_shape_are_no_baseline(bench: Bench) -> None:
    model = bench.plantings["blocks.1.mlp"].model
    smaller = Transformer(replace(bench.model.config, d_mlp=8), seeds=[0, 1, 2])
    for baseline in (weight_change(smaller), weight_norm(smaller), weight_change(bench.model.member(0))):
        with pytest.raises(Refused, match="other names or shapes"):
            OfParts(baseline)(model, bench.planted, bench.known)
    with pytest.raises(Refused, match="3 seeds or more"):
        OfParts(weight_norm(Transformer(bench.model.config, seeds=[0, 1])))(model, bench.planted, bench.known)


def test_methods_may_be_asked_for_by_name(bench: Bench) -> None:
    asked = (bench.plantings["blocks.1.mlp"].model, bench.planted, bench.known)
    both = localize(*asked, ["mean ablation", "random"])
    assert both["by"].to_numpy().tolist() == ["mean ablation", "random"]
    assert both.sel(by="random").equals(localize(*asked, "random").sel(by="random"))
    with pytest.raises(Refused, match=r"no method 'Drift'\. Nearest: drift"):
        localize(*asked, ["Drift"])


def test_a_single_misspelt_component_is_told_the_nearest(bench: Bench) -> None:
    with pytest.raises(NoComponent, match=r"Nearest: blocks\.1\.mlp"):
        localize(bench.model, bench.planted, bench.known, ["random"], components=["blocks.1.mpl"])


def test_printed_a_method_says_what_it_measures() -> None:
    assert repr(METHODS["drift"]).startswith("by pairs: How much each margin falls while one part alone")


def test_facts_in_other_words_than_the_network_learned_are_refused(bench: Bench) -> None:
    """The same numbers would be other words."""
    assert bench.known.tokenizer is not None
    other = WordTokenizer(tuple(reversed(bench.known.tokenizer.vocabulary)))
    foreign = replace(bench.known, tokenizer=other)
    for ask in (
        lambda: localize(bench.model, bench.planted, foreign, "shrinking"),
        lambda: capture(bench.model, foreign, "hook_embed"),
    ):
        with pytest.raises(Refused, match="spelt with another"):
            ask()
