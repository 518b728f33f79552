"""Decoding on networks whose truth is known: a feature planted in the weights, no feature, real digits untrained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.locating.decoding import code_lengths, decode
from interp.measuring.statistics import disjoint_shares
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.reporting.claims import Evidence, judge
from interp.reporting.rules import ExceedsControls
from models.data.dataset import Dataset
from models.data.loading import load_data
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.seeds import generator

SEEDS = tuple(range(8))
HOOK = "layers.0.hook_post"


def signal_in_first_features(seed: int = 0, *, strength: float = 3.0, examples: int = 300) -> Dataset:
    """Three classes told apart by features 0 to 2; features 3 to 11 are noise."""
    randomness = generator(seed, "signal")
    targets = torch.arange(examples) % 3
    inputs = torch.randn(examples, 12, generator=randomness)
    inputs[:, :3] += strength * torch.nn.functional.one_hot(targets, 3)
    third = examples // 3
    split = ["network"] * third + ["probe"] * third + ["test"] * (examples - 2 * third)
    return Dataset.from_arrays(inputs, targets, split=split)


def passing_on(features: range) -> MLP:
    """A population whose hidden layer is just these input features, in another random mixture for each seed."""
    model = MLP(MLPConfig((12, len(features), 3), activation="identity", initialisation="lecun"), seeds=SEEDS)
    with torch.no_grad():
        model.layers[0].W.zero_()
        for place, seed in enumerate(SEEDS):
            mixture = torch.randn(len(features), len(features), generator=generator(seed, "mixture"))
            model.layers[0].W[place, list(features)] = torch.linalg.qr(mixture)[0]
    return model


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_a_feature_planted_in_the_weights_is_found_and_only_there(probe: str) -> None:
    data = signal_in_first_features()
    decoding = decode(
        passing_on(range(4)), data, HOOK, label="label", untrained=passing_on(range(5, 9)), probe=probe
    )
    assert np.mean(decoding.of(HOOK)) > 0.85
    assert np.mean(decoding.of(HOOK, network="untrained")) < 0.5
    assert np.mean(decoding.of(HOOK, labels="shuffled")) == pytest.approx(1 / 3, abs=0.1)
    assert np.mean(decoding.of(HOOK, network="raw_input")) > 0.85


def test_the_directions_are_those_along_which_the_classes_were_planted() -> None:
    model = passing_on(range(6))
    data = signal_in_first_features(strength=6.0, examples=3000)
    basis = decode(model, data, HOOK, label="label", untrained=model, probe="ridge").directions[HOOK]
    assert basis.shape == (8, 2, 6)
    between = torch.eye(3) - 1 / 3
    planted = model.layers[0].W[:, :3].detach().mT @ between
    outside = planted - basis.mT @ (basis @ planted)
    assert float(outside.norm() / planted.norm()) < 0.15


@pytest.mark.parametrize("place", [0, 5])
def test_an_accuracy_is_what_scikit_learn_gets_on_the_same_activations(place: int) -> None:
    model, data = passing_on(range(1, 6)), signal_in_first_features(strength=1.0)
    decoding = decode(model, data, HOOK, label="label", untrained=model, probe="logistic")
    fit, test = (capture(model, part, HOOK).tensor(HOOK)[place].numpy() for part in (data.probe, data.test))
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1.0)).fit(fit, data.probe.targets.numpy())
    share = disjoint_shares(8, len(test))[place]
    expected = theirs.score(test[share], data.test.targets.numpy()[share])
    assert decoding.of(HOOK)[place] == pytest.approx(expected, abs=1e-9)


def test_labels_that_mean_nothing_are_supported_no_more_often_than_the_error_rate() -> None:
    supported = 0
    for repeat in range(200):
        randomness = generator(repeat, "nothing")
        data = Dataset.from_arrays(
            torch.randn(160, 12, generator=randomness),
            torch.randint(3, (160,), generator=randomness),
            split=["network"] * 2 + ["probe"] * 78 + ["test"] * 80,
        )
        model, untrained = passing_on(range(repeat % 3, repeat % 3 + 6)), passing_on(range(5, 11))
        decoding = decode(model, data, HOOK, label="label", untrained=untrained, probe="ridge")
        controls = {
            "untrained": decoding.of(HOOK, network="untrained"),
            "shuffled labels": decoding.of(HOOK, labels="shuffled"),
        }
        claims = judge(
            [Evidence("It is there.", "nobody", "accuracy", decoding.of(HOOK), ExceedsControls(), controls)]
        )
        supported += claims[0].verdict == "supported"
    assert supported <= binom.ppf(0.999, 200, 0.05)


def test_shuffled_labels_stay_at_chance_where_both_splits_have_their_labels_in_the_same_order() -> None:
    inputs = torch.eye(12)[:10].repeat_interleave(12, dim=0).repeat(3, 1)
    splits = ["network"] * 120 + ["probe"] * 120 + ["test"] * 120
    data = Dataset.from_arrays(inputs, inputs.argmax(-1), split=splits)
    model = MLP(MLPConfig((12, 24, 10)), seeds=range(40))
    decoding = decode(model, data, HOOK, label="label", untrained=model)
    assert np.mean(decoding.of(HOOK)) == 1
    assert np.mean(decoding.of(HOOK, labels="shuffled")) < 0.16


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_untrained_networks_can_be_decoded_from_but_not_selectively(digits: Dataset, probe: str) -> None:
    untrained = MLP(MLPConfig((64, 32, 32, 10)), seeds=SEEDS)
    decoding = decode(
        untrained, digits, "layers.*.hook_post", label="digit", untrained=untrained, probe=probe
    )
    for hook in decoding.directions:
        assert np.mean(decoding.of(hook)) > 0.6
        controls = {"untrained": decoding.of(hook, network="untrained")}
        nothing = {"no selectivity": [0.0] * 8}
        claims = judge(
            [
                Evidence(
                    "Training put it there.",
                    "nobody",
                    "accuracy",
                    decoding.of(hook),
                    ExceedsControls(),
                    controls,
                ),
                Evidence(
                    "It is read selectively.",
                    "nobody",
                    "s",
                    decoding.selectivity(hook),
                    ExceedsControls(),
                    nothing,
                ),
            ]
        )
        assert claims[0].verdict == "undecided"
        assert claims[1].verdict != "supported"


def test_code_lengths_tell_planted_labels_from_shuffled_ones() -> None:
    lengths = code_lengths(
        passing_on(range(4)),
        signal_in_first_features(examples=900),
        HOOK,
        label="label",
        untrained=passing_on(range(5, 9)),
    )
    shorter = lengths.sel(hook=HOOK, network="trained").mean("seed")
    assert float(shorter.sel(labels="true")) > 2
    assert float(shorter.sel(labels="shuffled")) < 1.05
    assert float(lengths.sel(network="untrained", labels="true").mean()) < 1.05


def test_one_network_without_a_seed_axis_is_decoded_as_one_seed() -> None:
    single = passing_on(range(4)).member(3)
    decoding = decode(single, signal_in_first_features(), HOOK, label="label", untrained=single)
    assert decoding.accuracy.sizes["seed"] == 1


def test_the_result_is_a_table_and_shows_itself_in_a_notebook() -> None:
    model = passing_on(range(4))
    decoding = decode(model, signal_in_first_features(), HOOK, label="label", untrained=model)
    assert list(decoding.to_dataframe().columns) == ["hook", "network", "labels", "seed", "accuracy"]
    assert len(decoding.to_dataframe()) == 3 * 3 * 8
    assert "raw_input" in decoding._repr_html_()


def test_wrong_calls_are_refused() -> None:
    model, data = passing_on(range(4)), signal_in_first_features()
    with pytest.raises(Refused, match=r"no label 'lable'. Nearest: label"):
        decode(model, data, HOOK, label="lable", untrained=model)
    with pytest.raises(Refused, match=r"Nearest: layers\.0\.hook_post"):
        decode(model, data, "layers.0.hook_pots", label="label", untrained=model)
    with pytest.raises(Refused, match=r"no probe 'rigde'\. Nearest: ridge"):
        decode(model, data, HOOK, label="label", untrained=model, probe="rigde")
    with pytest.raises(Refused, match="the same seeds"):
        decode(model, data, HOOK, label="label", untrained=MLP(model.config, seeds=(0, 1)))


def test_a_label_value_that_only_the_test_split_has_is_refused() -> None:
    data = signal_in_first_features()
    kept = (data.examples["split"] != "probe") | (data.examples["label"] < 2)
    model = passing_on(range(4))
    with pytest.raises(Refused, match="occur in the test split only"):
        decode(model, data.subset(kept.to_numpy()), HOOK, label="label", untrained=model)


def test_a_class_with_one_example_is_refused_with_the_figure() -> None:
    data = signal_in_first_features()
    rows = data.examples
    thinned = (
        (rows["split"] != "probe") | (rows["label"] < 2) | (rows.index == rows.index[rows["label"] == 2][50])
    )
    model = passing_on(range(4))
    with pytest.raises(Refused, match=r"Class 2 has 1 example"):
        decode(model, data.subset(thinned.to_numpy()), HOOK, label="label", untrained=model)
