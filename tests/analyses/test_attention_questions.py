"""The measuring behind `what_does_attention_move`, on networks and rows where the answer is known."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import xarray as xr

import interp
import models
from analyses.attention.induction_heads import accuracy_lost, chosen, matching_lost, others, picked, right
from analyses.attention.induction_rows import begun_with, pairs, right_by_position, rows_of, unused
from analyses.attention.looking import (
    at_earlier,
    at_later,
    influence,
    knocked_out,
    weight_ahead,
    without_weight,
)
from analyses.attention.moving import carried
from analyses.attention.subjects import Subject, trained_here, without_mask
from analyses.what_does_attention_move import Config, answer
from interp.refusals import Refused
from models.networks.handmade import induction_network

if TYPE_CHECKING:
    from pathlib import Path


def rows() -> models.Dataset:
    """Rows that begin with token 0 and repeat a block of the tokens 1 to 7, as the network set by hand reads them."""
    data = models.induction(11, vocabulary=7, periods=(4, 5), splits=(30, 30, 30))
    return begun_with(data, 0, offset=1, classes=8)


@pytest.fixture(scope="module")
def by_hand() -> models.Handmade:
    return induction_network(vocabulary=8, context=12)


def test_the_pairs_differ_in_what_they_say_they_differ_in() -> None:
    data = models.induction(12, vocabulary=9, periods=(4, 6), splits=(40, 1, 1))
    found = {pair.name: pair for pair in pairs(data, tokens=range(9))}
    for number in range(len(data)):
        period = data.examples["period"][number]
        for pair in found.values():
            base, source = pair.base[number].tolist(), pair.source[number].tolist()
            for row, answered in ((base, pair.base_answer), (source, pair.source_answer)):
                assert row[row.index(row[-1]) + 1] == answered[number]
            assert pair.base_answer[number] != pair.source_answer[number]
        question, place, content = (found[name] for name in ("question", "place", "content"))
        assert torch.equal(question.base[number, :-1], question.source[number, :-1])
        assert question.base[number, -1] != question.source[number, -1]
        assert place.base[number, -1] == place.source[number, -1] == content.source[number, -1]
        assert set(place.source[number].tolist()) == set(place.base[number].tolist())
        changed = content.base[number] != content.source[number]
        assert (content.base[number][changed] == content.base_answer[number]).all()
        assert content.source_answer[number] not in content.base[number]
        assert len(set(place.source[number, :period].tolist())) == period


def test_on_the_network_set_by_hand_each_part_carries_what_it_is_there_for() -> None:
    """Its head says 4 for the answer, 0 for 8 others: the answer's probability is e^4 / (e^4 + 8), or 1 / (e^4 + 8)."""
    model = induction_network(vocabulary=9, context=17).model
    test = models.induction(16, vocabulary=8, periods=(6, 7), splits=(30, 1, 1)).network
    data = dataclasses.replace(
        test, inputs=test.inputs + 1, targets=test.targets.add(1).clamp(min=-1), classes=9, tokenizer=None
    )
    whole = (np.e**4 - 1) / (np.e**4 + 8)
    carrying = {"question": {"q", "pattern"}, "place": {"k", "pattern"}, "content": {"v"}}
    for pair in pairs(data, tokens=range(1, 9)):
        rises = {part: one for part, one in carried(model, pair, 1).items() if "row" not in part}
        for part, rise in rises.items():
            wanted = whole if part in carrying[pair.name] else 0.0
            assert np.allclose(rise, wanted, atol=1e-3), (pair.name, part)


def test_only_later_positions_move_and_with_the_mask_gone_earlier_ones_do_too() -> None:
    config = models.TransformerConfig(vocabulary=8, context=6, layers=2, d_model=16, heads=2, d_mlp=0)
    model = models.Transformer(config, seeds=(0, 1))
    tokens = torch.randint(8, (3, 6), generator=torch.Generator().manual_seed(0))
    moved = influence(model, tokens, vocabulary=range(8))
    assert moved.dims == ("seed", "example", "changed", "pos")
    for example in range(3):
        for changed in range(6):
            assert (moved.values[:, example, changed, :changed] == 0).all()
            assert (moved.values[:, example, changed, changed:] > 0).all()
    assert (at_earlier(moved) == 0).all()
    assert (at_later(moved) > 0).all()
    assert (weight_ahead(model, tokens) == 0).all()
    unmasked = without_mask(model)
    assert (at_earlier(influence(unmasked, tokens, vocabulary=range(8))) > 0).all()
    assert (weight_ahead(unmasked, tokens) > 0).all()


def test_the_place_looked_at_most_is_taken_out_or_as_much_weight_elsewhere() -> None:
    pattern = torch.tensor([[[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.7, 0.1]]]])
    rows_left = {one: without_weight(pattern, one)[0, 0] for one in ("most", "another", "others")}
    for left in rows_left.values():
        assert torch.equal(left[:2], pattern[0, 0, :2])
        assert float(left[2].sum()) == pytest.approx(0.3)  # 0.7 is gone, wherever it was taken
    assert rows_left["most"][2].tolist() == pytest.approx([0.2, 0.0, 0.1])
    assert rows_left["others"][2].tolist() == pytest.approx([0.2 - 0.35, 0.7, 0.1 - 0.35])
    other = rows_left["another"][2].tolist()
    assert other in (pytest.approx([0.2 - 0.7, 0.7, 0.1]), pytest.approx([0.2, 0.7, 0.1 - 0.7]))


def test_losing_the_place_looked_at_costs_the_network_set_by_hand_what_it_says(
    by_hand: models.Handmade,
) -> None:
    data = rows()
    most, another, others = (
        float(knocked_out(by_hand.model, data.inputs, one).mean()) for one in ("most", "another", "others")
    )
    assert most > 0.05
    assert another < 0.3 * most  # the other earlier occurrence may be drawn
    assert others < 0.1 * most


def test_where_all_places_hold_the_same_none_is_worth_more_than_another() -> None:
    """Rows of one token, places told by rotation: they have different weights, and all offer the same."""
    config = models.TransformerConfig(
        vocabulary=8, context=6, layers=2, d_model=16, heads=2, d_mlp=0, positions="rotary", init_scale=5.0
    )
    model = models.Transformer(config, seeds=(0, 1)).double()
    tokens = torch.arange(8)[:, None].expand(8, 6)
    pattern = interp.capture(model, tokens, "blocks.0.attn.hook_pattern").tensor("blocks.0.attn.hook_pattern")
    assert float(pattern[..., -1, :].std(dim=-1).min()) > 1e-3
    most, another, others = (knocked_out(model, tokens, one) for one in ("most", "another", "others"))
    assert float(most.min()) > 1e-6
    np.testing.assert_allclose(most, another, rtol=1e-9)
    np.testing.assert_allclose(most, others, rtol=1e-9)


def test_heads_are_found_and_missed_on_the_network_set_by_hand(by_hand: models.Handmade) -> None:
    model, data = by_hand.model, rows()
    heads = model.config.heads
    best = chosen(model, data, "prefix_matching")
    assert int(best) == heads  # the first of layer 1
    assert int(chosen(model, data, "previous_token", layer=0)) == 0
    assert float(right(model, data.test).min()) == 1.0
    lost = accuracy_lost(model, data.test, reference=data.probe)
    own = picked(lost, best)
    assert float(own.mean()) > 0.5
    assert float(others(lost, own).mean()) == pytest.approx(
        float(lost.sel(layer=0, head=0).mean()) / (2 * heads - 1)
    )
    matching = picked(matching_lost(model, data.test, reference=data.probe), best).mean("example")
    assert float(matching.isel(without=0)) > 0.5
    assert np.allclose(matching.isel(without=slice(1, None)), 0.0)


def test_the_best_fixed_distance_is_right_as_often_as_it_is() -> None:
    data = models.induction(8, vocabulary=6, periods=(3, 3), splits=(20, 1, 5))
    assert right_by_position(data.test, learned_from=data.network).tolist() == [1.0] * 5
    mixed = models.induction(12, vocabulary=9, periods=(4, 5), splits=(2_000, 1, 2_000))
    found = float(right_by_position(mixed.test, learned_from=mixed.network).mean())
    assert 0.45 < found < 0.75


def test_an_unused_token_is_none_of_the_row() -> None:
    inputs = rows().inputs
    z = unused(inputs, range(8))
    assert not (inputs == z).any()


def test_units_average_their_own_share() -> None:
    shares = np.array([[True, False, True], [False, True, False]])
    subject = Subject(None, None, rows(), torch.zeros(3, 2, dtype=torch.int64), range(2), shares)
    of_members = xr.DataArray([[1.0, 50.0, 3.0], [9.0, 7.0, 9.0]], dims=("seed", "example"))
    assert subject.per_unit(of_members).tolist() == [2.0, 7.0]
    assert subject.per_unit(xr.DataArray([1.0, 7.0, 3.0], dims="example")).tolist() == [2.0, 7.0]
    assert subject.largest(of_members).tolist() == [3.0, 7.0]
    assert subject.few(1).shares.tolist() == [[True, False], [False, True]]


def test_networks_compared_have_as_many_heads_as_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path))
    subject, one, runs = trained_here("runs", seeds=2, length=20, vocabulary=12, rows=60, epochs=1, judged=10)
    assert (subject.model.config.layers, one.narrow.config.layers, one.wide.config.layers) == (2, 1, 1)
    assert one.wide.config.heads == 2 * subject.model.config.heads
    assert one.wide.config.d_head == subject.model.config.d_head
    assert len(runs) == 3
    assert subject.model.every_seed == one.wide.every_seed == (0, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"length": 12}, {"vocabulary": 8, "length": 20}, {"seeds": 0}, {"judged": 4}],
    ids=lambda wrong: " and ".join(wrong),
)
def test_settings_that_ask_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Refused, match=r"length|seeds"):
        Config(**wrong)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_of_stories260k_is_asked_what_can_be_and_the_rest_is_named(data_dir: Path) -> None:
    config = Config(data="stories260K", seeds=6, length=20, judged=12)
    report = answer(config)
    by_statement = {claim.statement: claim for claim in report.claims}
    exact = [claim for claim in report.claims if claim.rule.startswith("Supported when every ")]
    assert [claim.verdict for claim in exact] == ["supported", "supported"]
    assert not any("Two layers" in statement or "one layer" in statement for statement in by_statement)
    assert any(note.startswith("Left out") for note in report.notes)


def test_rows_of_both_kinds_are_long_enough_for_pairs() -> None:
    for kind in ("runs", "repeats"):
        data = rows_of(kind, 20, 16, rows=5, judged=5)
        assert data.examples["period"].min() >= 4
