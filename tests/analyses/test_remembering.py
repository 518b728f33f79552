"""The parts of `who_remembers_longest`: equal sizes, gradients and chains known by hand, tasks made unanswerable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import models
from analyses.equal_sizes import MOST_UNEQUAL, equal, size, unequal
from analyses.sequences.measured import datasets
from analyses.sequences.ordering import reordered
from analyses.sequences.reaching import Reach, fading, gone, longest_chain, reach, reached, reading, writing
from analyses.sequences.remembering import (
    adding_networks,
    any_seen,
    as_patches,
    dealt,
    own_mean,
    recall_networks,
    severed,
)
from analyses.sequences.remembering_shown import vanished
from analyses.who_remembers_longest import Config
from models.networks.vit import patches
from models.refusals import Refused

SMALL = (40, 4, 30)


@pytest.mark.parametrize("config", [Config(), Config.quick()], ids=["full", "quick"])
def test_networks_that_are_compared_are_of_nearly_equal_size(config: Config) -> None:
    recall = models.key_value_recall(config.recall_length, pairs=2, keys=4, values=4, splits=SMALL)
    for networks in (adding_networks(config.adding_length), recall_networks(recall)):
        sizes = {kind: size(network) for kind, network in networks.items()}
        assert set(sizes) == {"rnn", "lstm", "gru", "transformer"}
        assert unequal(sizes) <= MOST_UNEQUAL
        for network in networks.values():
            counted = getattr(network, "parameter_count", None)
            assert counted in (None, size(network))


def test_networks_of_unequal_size_are_not_compared() -> None:
    with pytest.raises(Refused, match="at most 5%"):
        equal(
            {"rnn": models.RecurrentConfig(8, 1, features=2), "gru": models.RecurrentConfig(9, 1, features=2)}
        )


def halving() -> Any:
    """A tanh network of one unit that halves its state at each step; around 0 its tanh is the identity."""
    model = models.Recurrent(models.RecurrentConfig(1, 1, cell="rnn", features=2), seeds=(0, 1))
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
        model.layers[0].W_x[:, 0] = 1.0
        model.layers[0].W_h.fill_(0.5)
        model.unembed.W.fill_(1.0)
    return model


def test_a_state_that_is_halved_at_each_step_halves_the_gradient() -> None:
    data = models.adding_problem(6, splits=SMALL)
    blank = models.Dataset(
        "blank", torch.zeros_like(data.inputs), data.targets, data.examples, None, 0, "for tests"
    )
    norms = reach(halving(), blank)
    np.testing.assert_allclose(norms, np.tile(0.5 ** np.arange(6), (2, 1)), rtol=1e-12)
    np.testing.assert_allclose(fading(norms), [10 * np.log10(2)] * 2, rtol=1e-9)


def test_a_gradient_that_has_vanished_counts_as_thirty_decades_below_the_largest() -> None:
    norms = np.array([[1.0, 0.0], [5.0, 5e-40], [2.0, 0.2]])
    np.testing.assert_allclose(fading(norms), [300, 300, 10])


def test_where_the_gradient_is_gone_fading_is_of_the_distances_before_and_the_report_says_so() -> None:
    steep = 10.0 ** (-0.5 * np.arange(100))  # 5 decades per 10 positions, below the last of 30 from 61 on
    at_once = np.eye(1, 100)[0]
    norms = np.stack([steep, at_once, np.zeros(100), 0.9 ** np.arange(100)])
    np.testing.assert_allclose(fading(norms), [5, 300, 300, -10 * np.log10(0.9)])
    assert gone(norms).tolist() == [True, True, True, False]
    assert not gone(np.array([[1.0, 0.0], [5.0, 5e-40]])).any()
    assert vanished({"gru": Reach(norms[3:], norms[3:])}) == []
    (note,) = vanished({"gru": Reach(norms[3:], norms[3:]), "rnn": Reach(norms[:1], norms[2:3])})
    assert "1 of 1 tanh networks before training, 1 of 1 tanh networks after training" in note


def test_before_training_means_the_same_seeds_and_leaves_the_network_as_it_was() -> None:
    data, model = models.adding_problem(6, splits=SMALL), halving()
    found = reached(model, data)
    fresh = models.Recurrent(model.config, seeds=(0, 1))
    np.testing.assert_array_equal(found.before, reach(fresh, data))
    assert model.dtype == torch.float32
    assert not np.allclose(found.before, found.after)


def test_patches_of_number_sequences_are_their_positions() -> None:
    data = models.adding_problem(6, splits=SMALL)
    shown = as_patches(data)
    assert shown.image_shape == (2, 12)
    cut = patches(shown.inputs, (2, 12), 2)
    assert torch.equal(cut[..., :2], data.inputs)
    assert not cut[..., 2:].any()


def test_the_longest_chain_is_counted_and_what_stands_beside_it_is_not() -> None:
    x = torch.ones(3, 3)
    assert longest_chain(lambda: x + 1) == 0
    assert longest_chain(lambda: x @ x @ x @ x) == 3
    assert longest_chain(lambda: (x @ x) + (x @ x)) == 1
    assert longest_chain(lambda: torch.addmm(x, torch.tanh(x @ x).T, x)) == 2


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_recurrent_network_waits_at_every_position(cell: Any) -> None:
    """A product for what enters, one at each position, the first of them beside it, and one for the logits."""
    config = models.RecurrentConfig(4, 5, cell=cell, vocabulary=5, answers="each")
    for length in (6, 11):
        assert reading(models.Recurrent(config), length) == length + 1
    assert writing(models.Recurrent(config), 5) == 5 * 2


def test_a_transformer_waits_for_its_layers_only() -> None:
    """In each layer: queries, attention, output, and the MLP's two; then the logits."""
    model = models.Transformer(models.TransformerConfig(5, 12, layers=3, d_model=8, heads=2, d_mlp=8))
    assert [reading(model, length) for length in (6, 12)] == [3 * 5 + 1] * 2
    assert writing(model, 4) == 4 * (3 * 5 + 1)


def test_rows_that_were_put_into_another_order_keep_words_and_question() -> None:
    recall = models.key_value_recall(12, pairs=2, splits=SMALL)
    order = models.which_came_first(9, splits=SMALL)
    for data, other, asked in ((recall, severed(recall), 2), (order, reordered(order), 1)):
        assert torch.equal(other.inputs[:, -asked:], data.inputs[:, -asked:])
        assert torch.equal(other.inputs.sort(dim=1).values, data.inputs.sort(dim=1).values)
        assert torch.equal(other.targets, data.targets)
        assert (other.inputs != data.inputs).any(dim=1).double().mean() > 0.9


def test_targets_that_were_dealt_anew_are_those_of_other_rows() -> None:
    data = models.adding_problem(6, splits=SMALL)
    other = dealt(data)
    assert torch.equal(other.targets.sort(dim=0).values, data.targets.sort(dim=0).values)
    assert (other.targets != data.targets).double().mean() > 0.9


def test_naming_a_value_of_the_row_is_right_as_often_as_it_stands_there() -> None:
    data = models.key_value_recall(12, pairs=2, keys=4, values=2, splits=(400, 1, 1))
    chances = any_seen(data)
    for row, target, chance in zip(data.inputs, data.targets, chances, strict=True):
        assert chance == (row == target).sum() / 2
    assert set(chances) == {0.5, 1.0}


def test_a_seed_without_a_row_is_no_mean() -> None:
    shares = np.array([[True, True, False], [False, False, True]])
    np.testing.assert_array_equal(own_mean(np.array([[1.0, 3, 9], [9, 9, 5]]), shares), [2, 5])
    with pytest.raises(Refused, match="no test row"):
        own_mean(np.ones((2, 3)), shares & [True, True, False])


def test_the_published_setting_is_the_default() -> None:
    assert Config().is_published_setting
    assert not Config.quick().is_published_setting
    data = datasets(Config(adding_rows=32, recall_rows=10, order_rows=10))
    assert data["adding"].inputs.shape[1:] == (100, 2)
