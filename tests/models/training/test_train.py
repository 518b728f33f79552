from __future__ import annotations

import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from models.data.dataset import Dataset
from models.data.loading import load_data
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.refusals import Refused
from models.seeds import generator
from models.training.losses import LOSSES
from models.training.population import Population, data_order
from models.training.recipes import RECIPES, Recipe, recipe
from models.training.train import Diverged, train
from models.training.training_config import Optimizer, Schedule, TrainingConfig

OPTIMIZERS = {
    "sgd": (Optimizer("sgd", 0.5, weight_decay=0.01), lambda p: torch.optim.SGD(p, 0.5, weight_decay=0.01)),
    "momentum": (Optimizer("momentum", 0.1), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
    "adam": (
        Optimizer("adam", 0.01, weight_decay=0.01),
        lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.01),
    ),
    "adamw": (
        Optimizer("adamw", 0.01, beta1=0.8, beta2=0.99, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, betas=(0.8, 0.99), weight_decay=0.1),
    ),
}


def small(
    optimizer: Optimizer, *, loss: str = "cross_entropy", epochs: int = 50, **settings: object
) -> Recipe:
    output = "identity" if loss == "cross_entropy" else "sigmoid"
    network = MLPConfig((8, 6, 5, 3), activation="sigmoid", output=output, initialisation="normal")
    training = TrainingConfig(loss, optimizer, **({"batch_size": 8} | settings), epochs=epochs)
    return Recipe("small", "for tests", network, "blobs", training)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_a_member_trains_as_a_plain_torch_loop_does(blobs: Dataset, name: str, loss: str) -> None:
    config, make = OPTIMIZERS[name]
    settings = small(config, loss=loss, epochs=20, dtype="float64")
    member = train(settings, seeds=[2, 5, 3], data=blobs).model.member(5)
    plain = MLP(settings.network, seeds=5).double()
    optimizer = make(plain.parameters())
    data = blobs.network
    x, y = data.inputs.double(), data.targets
    for epoch in range(20):
        for rows in data_order(5, epoch, len(x)).split(8):
            answers = plain(x[rows])
            if loss == "squared_error":
                cost = 0.5 * (answers - F.one_hot(y[rows], 3)).square().sum(dim=1).mean()
            else:
                cost = F.cross_entropy(answers, y[rows])
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()
    for ours, theirs in zip(weights(member), weights(plain), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_a_population_trains_as_each_seed_alone_to_1e9_after_500_steps(blobs: Dataset) -> None:
    settings = small(Optimizer("adam", 0.01), epochs=56, dtype="float64")
    together = train(settings, seeds=8, data=blobs).model
    for seed in (0, 7):
        alone = train(settings, seeds=[seed], data=blobs).model.member(seed)
        for ours, theirs in zip(weights(together.member(seed)), weights(alone), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@settings(max_examples=25)
@given(
    members=st.lists(st.integers(0, 20), min_size=2, max_size=9, unique=True),
    hidden=st.lists(st.integers(1, 17), max_size=2),
    activation=st.sampled_from(["sigmoid", "relu", "tanh", "gelu"]),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    batch_size=st.sampled_from([1, 3, 8, 70, "full"]),
)
def test_float32_members_have_the_same_bits_in_populations_of_any_size(
    blobs: Dataset,
    members: list[int],
    hidden: list[int],
    activation: str,
    optimizer: str,
    batch_size: int | str,
) -> None:
    network = MLPConfig((8, *hidden, 3), activation=activation, output="sigmoid")
    training = TrainingConfig("squared_error", OPTIMIZERS[optimizer][0], batch_size, epochs=2)
    settings = Recipe("any", "for tests", network, "blobs", training)
    several = train(settings, seeds=members, data=blobs).model
    pair = train(settings, seeds=members[:2], data=blobs).model
    for seed in pair.seeds:
        for a, b in zip(weights(several.member(seed)), weights(pair.member(seed)), strict=True):
            assert torch.equal(a, b)


def noise_for(settings: Recipe) -> Dataset:
    """Three batches of random examples to train on, as this recipe's network reads them, and one each to judge."""
    randomness = generator(0, "noise")
    batch, network = settings.training.batch_size, settings.network
    assert isinstance(batch, int)
    targets = torch.randint(10, (5 * batch,), generator=randomness)
    split = ["network"] * 3 * batch + ["probe"] * batch + ["test"] * batch
    if network.reads == "numbers":
        shape = getattr(network, "image_shape", (network.inputs,))
        inputs = torch.rand(5 * batch, *shape, generator=randomness)
        return Dataset.from_arrays(inputs, targets, split=split)
    if network.reads == "number sequences":
        inputs = torch.rand(5 * batch, 9, network.inputs, generator=randomness)
        return Dataset(
            "noise", inputs, inputs[:, 0, :1], pd.DataFrame({"split": split}), None, 0, "for tests"
        )
    if network.reads == "token pairs":
        pairs = load_data(settings.data)
        rows = [np.flatnonzero(pairs.examples["split"] == part) for part in ("network", "probe", "test")]
        return pairs.subset(np.concatenate([rows[0][: 3 * batch], rows[1][:batch], rows[2][:batch]]))
    length = min(network.inputs, 9)
    tokens = torch.randint(network.outputs, (5 * batch, length), generator=randomness)
    examples = pd.DataFrame({"split": split, "answer_pos": length - 1})
    every = torch.ones_like(tokens, dtype=torch.bool)
    return Dataset("noise", tokens, targets, examples, None, network.outputs, "for tests", mask=every)


@pytest.mark.parametrize(
    "name", [name for name in RECIPES if name != "translation"]
)  # as reordering, with a download
def test_recipes_give_a_seed_the_same_bits_whoever_trains_beside_it_and_in_whichever_place(name: str) -> None:
    settings = recipe(name).but(epochs=1)
    noise = noise_for(settings)
    whole = train(settings, seeds=16, data=noise).model
    for some in ([3, 0], [15, 1, 8], [9, 2, 4, 14, 6, 12, 0]):
        part = train(settings, seeds=some, data=noise).model
        for seed in some:
            pairs = zip(weights(whole.member(seed)), weights(part.member(seed)), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="session")
def bundled() -> Dataset:
    return load_data("digits")


def test_networks_learn_the_bundled_digits(bundled: Dataset) -> None:
    metrics = train(recipe("digits-mlp"), seeds=4, data=bundled).metrics
    accuracy = metrics.set_index("epoch").test_accuracy
    assert accuracy[0].max() < 0.3
    assert accuracy[40].min() > 0.85


def test_linear_regression_finds_the_least_squares_line() -> None:
    x = np.linspace(-1, 1, 60).reshape(-1, 1)
    y = 2 * x[:, 0] - 0.5
    data = Dataset.from_arrays(x, y, split=["network"] * 40 + ["probe"] * 10 + ["test"] * 10)
    training = TrainingConfig("squared_error", Optimizer("sgd", 0.5), "full", epochs=300, dtype="float64")
    line = Recipe("line", "for tests", MLPConfig((1, 1), initialisation="uniform"), "own", training)
    result = train(line, seeds=2, data=data)
    assert result.model.unembed.W.flatten().tolist() == pytest.approx([2.0, 2.0], abs=1e-6)
    assert result.model.unembed.b.flatten().tolist() == pytest.approx([-0.5, -0.5], abs=1e-6)
    assert "test_accuracy" not in result.metrics


def test_no_global_state_is_read_or_changed(blobs: Dataset) -> None:
    settings = small(Optimizer("adam", 0.01), epochs=2)
    before = (
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),  # noqa: NPY002
        random.getstate(),
        torch.get_num_threads(),
    )
    first = weights(train(settings, seeds=2, data=blobs).model)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert (random.getstate(), torch.get_num_threads()) == before[2:]
    with torch.random.fork_rng():
        torch.rand(5)
        again = weights(train(settings, seeds=2, data=blobs).model)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def unstable(blobs: Dataset) -> Recipe:
    """Identity activations and a rate at which some seeds blow up and others do not."""
    network = MLPConfig((8, 40, 40, 3), activation="identity", initialisation="kaiming")
    return Recipe(
        "unstable",
        "for tests",
        network,
        "blobs",
        TrainingConfig("squared_error", Optimizer("sgd", RATE), 8, epochs=3),
    )


RATE = 0.014


def test_a_seed_that_diverges_is_frozen_and_named_and_the_others_go_on(blobs: Dataset) -> None:
    result = train(unstable(blobs), seeds=12, data=blobs)
    gone = {divergence.seed for divergence in result.divergences}
    assert 0 < len(gone) < 11
    assert all(divergence.rate == RATE and 0 < divergence.step < 27 for divergence in result.divergences)
    assert gone.isdisjoint(result.model.seeds)
    assert all(bool(value.isfinite().all()) for value in weights(result.model))
    without = train(unstable(blobs), seeds=result.model.seeds, data=blobs).model
    assert all(torch.equal(a, b) for a, b in zip(weights(result.model), weights(without), strict=True))
    ended = result.metrics[result.metrics.get("diverged").eq(True)]
    assert set(ended.seed) == gone


@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
def test_the_weights_of_a_seed_that_diverged_stay_as_they_are(blobs: Dataset, name: str) -> None:
    broken = unstable(blobs).but(name=name, weight_decay=0.1)
    members = Population(broken, blobs.network, (0, 1), torch.device("cpu"))
    members.advance()
    with torch.no_grad():
        members.model.unembed.W[0] *= 1e30
    before = [value[0].clone() for value in weights(members.model)]
    other = [value[1].clone() for value in weights(members.model)]
    for _ in range(3):
        members.advance()
    assert [d.seed for d in members.divergences] == [0]
    assert all(torch.equal(a, b[0]) for a, b in zip(before, weights(members.model), strict=True))
    assert not any(torch.equal(a, b[1]) for a, b in zip(other, weights(members.model), strict=True))


def test_a_run_fails_only_when_every_seed_diverges_and_says_where(blobs: Dataset) -> None:
    with pytest.raises(Diverged, match=r"seed 0 at step \d+, rate 50; seed 1 at step"):
        train(unstable(blobs).but(rate=50.0), seeds=2, data=blobs)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: train(recipe("digits-mlp"), seeds=[1, 1]), "different whole numbers"),
        (lambda: Optimizer("sgdm", 1.0), "Nearest: sgd"),
        (lambda: Optimizer("sgd", -1.0), "positive"),
        (lambda: Schedule("cosin"), "Nearest: cosine"),
        (lambda: small(Optimizer("sgd", 1.0), batch_size=0), "from 1, or 'full'"),
        (
            lambda: recipe("3b1b").but(batch_size=1.5),
            "batch_size is a whole number from 1, or 'full'; given 1.5",
        ),
        (lambda: recipe("3b1b").but(batch_size=True), "given True"),
        (lambda: recipe("3b1b").but(epochs=1.5), "epochs is a whole number from 0; given 1.5"),
        (lambda: recipe("3b1b").but(rate="0.1"), "positive number; given '0.1'"),
        (lambda: Schedule("step", every=2.5), "every is a whole number from 1; given 2.5"),  # type: ignore[arg-type]
        (lambda: recipe("3b1"), "Nearest: 3b1b"),
        (lambda: recipe("3b1b").but(epoch=3), "Nearest: epochs"),
        (
            lambda: Recipe(
                "x", "", MLPConfig((2, 2), output="softmax"), "digits", RECIPES["digits-mlp"].training
            ),
            "logits",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong: object, message: str, blobs: Dataset) -> None:
    with pytest.raises(Refused, match=message):
        wrong()  # type: ignore[operator]


def test_a_network_with_too_few_outputs_or_a_batch_too_large_is_refused(blobs: Dataset) -> None:
    network = MLPConfig((8, 2))
    narrow = Recipe(
        "narrow", "", network, "blobs", TrainingConfig("cross_entropy", Optimizer("sgd", 1.0), 8, 1)
    )
    with pytest.raises(Refused, match="only 2 outputs"):
        train(narrow, seeds=1, data=blobs)
    with pytest.raises(Refused, match="A batch of 71 is more than the 70"):
        train(small(Optimizer("sgd", 1.0), batch_size=71), seeds=1, data=blobs)


def test_what_was_trained_is_told_in_a_few_lines(blobs: Dataset) -> None:
    made = train(small(OPTIMIZERS["adam"][0], epochs=2), seeds=3, data=blobs)
    first, second, third = repr(made).splitlines()
    assert first == "Trained: MLP of 107 parameters each, 3 seeds (0 to 2)"
    assert second == "  MLPConfig(sizes=(8, 6, 5, 3), activation='sigmoid', initialisation='normal')"
    losses = made.metrics.loc[made.metrics["epoch"] == 2, "test_accuracy"]
    assert third.startswith("  epoch 2: ")
    assert f"test_accuracy {losses.mean():.3g} ({losses.min():.3g} to {losses.max():.3g})" in third
    assert repr(made.model.member(1)).splitlines()[0] == "MLP of 107 parameters, seed 1"


def test_the_squared_error_is_half_the_sum_over_outputs() -> None:
    from models.training.losses import squared_error

    outputs = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    assert squared_error(outputs, torch.zeros(1, 2, 2)).tolist() == [0.5 * (1 + 9) / 2]


def test_the_cross_entropy_of_even_logits_is_log_of_the_classes() -> None:
    from models.training.losses import cross_entropy

    losses = cross_entropy(torch.zeros(2, 4, 10), torch.arange(4))
    assert losses.tolist() == pytest.approx([math.log(10)] * 2)


def test_a_population_on_another_device_keeps_what_it_computes_there(blobs: Dataset) -> None:
    """On torch's `meta` device, which mixes with no other: what a GPU would refuse is refused here, too."""
    for each in (small(Optimizer("adam", 0.1)), small(Optimizer("sgd", 0.1), batch_size="full")):
        members = Population(each, blobs.network, (0, 1), torch.device("meta"))
        members._set_rates()
        losses = LOSSES["cross_entropy"](*members._batch())
        gradients = torch.autograd.grad(losses.sum(), members.updates.parameters)
        members.updates.apply(members._freeze(torch.tensor([math.nan, 1.0]), gradients), 0)
        assert {value.device.type for value in weights(members.model)} == {"meta"}


def test_a_seed_whose_last_update_breaks_its_weights_is_named_too(blobs: Dataset) -> None:
    population = Population(
        small(Optimizer("sgd", 0.1), epochs=1), blobs.network, (0, 1), torch.device("cpu")
    )
    while population.step < population.steps - 1:
        population.advance()
    with torch.no_grad():
        next(population.model.parameters()).register_hook(
            lambda gradient: gradient.index_fill(0, torch.tensor([1]), math.inf)
        )
    population.advance()
    assert [(d.seed, d.step) for d in population.divergences] == [(1, population.steps)]


def test_data_of_another_width_are_refused_with_what_makes_them_fit(blobs: Dataset) -> None:
    with pytest.raises(Refused, match=r"takes 64 numbers an example, the data have 8: recipe\.on\("):
        train(recipe("digits-mlp"), seeds=1, data=blobs)
    fitting = recipe("digits-mlp").on("blobs", inputs=8, outputs=3).but(epochs=1)
    assert train(fitting, seeds=1, data=blobs).model.config.sizes == (8, 32, 32, 3)
