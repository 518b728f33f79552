"""Training on sequences of numbers, and with a target at each position."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from models.data.dataset import Dataset
from models.data.recall import induction, key_value_recall
from models.data.sequences import adding_problem, copy_task
from models.data.text import lines
from models.data.validation import NOT_ASKED
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent import Recurrent
from models.networks.recurrent_config import RecurrentConfig
from models.networks.saving import load_model
from models.refusals import Refused
from models.training.answering import Questions, answers
from models.training.losses import cross_entropy
from models.training.recipes import RECIPES, Recipe
from models.training.runs import load_run
from models.training.train import train
from models.training.training_config import Optimizer, TrainingConfig

CPU = torch.device("cpu")
SMALL = (200, 20, 50)


def numbers(cell: Any = "gru", *, epochs: int = 2, dtype: Any = "float32", **changes: Any) -> Recipe:
    network = RecurrentConfig(**{"units": 8, "outputs": 1, "cell": cell, "features": 2, **changes})
    training = TrainingConfig("squared_error", Optimizer("adam", 1e-2), 20, epochs, dtype=dtype)
    return Recipe("numbers", "for tests", network, "adding", training)


def tokens(vocabulary: int, *, answers: Any = "each", epochs: int = 2, dtype: Any = "float32") -> Recipe:
    network = RecurrentConfig(16, vocabulary, cell="gru", vocabulary=vocabulary, answers=answers)
    training = TrainingConfig("cross_entropy", Optimizer("adam", 1e-2), 20, epochs, dtype=dtype)
    return Recipe("tokens", "for tests", network, "copy", training)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_population_of_recurrent_networks_trains_as_each_seed_alone(cell: str) -> None:
    data = adding_problem(8, splits=SMALL)
    recipe = numbers(cell, dtype="float64")
    together = train(recipe, seeds=[4, 1, 2], data=data).model.member(1)
    alone = train(recipe, seeds=[1], data=data).model.member(1)
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_float32_members_have_the_same_bits_in_populations_of_any_size(cell: str) -> None:
    data = adding_problem(8, splits=SMALL)
    many, few = (train(numbers(cell), seeds=seeds, data=data).model for seeds in ([0, 1, 2, 3], [0, 1]))
    for ours, theirs in zip(many.parameters(), few.parameters(), strict=True):
        assert torch.equal(ours[:2], theirs)


def test_a_short_adding_problem_is_learned() -> None:
    data = adding_problem(6, splits=(1_000, 10, 200))
    metrics = train(numbers(epochs=12), seeds=2, data=data).metrics
    last = metrics[metrics["epoch"] == 12]
    assert (2 * last["test_loss"] < 0.05).all()
    assert "test_accuracy" not in metrics


def test_a_run_is_kept_and_read_again(tmp_path: Any) -> None:
    data = copy_task(delay=2, splits=SMALL)
    model = train(tokens(10), seeds=[3], data=data, folder=tmp_path / "run").model
    _, again = load_run(tmp_path / "run")
    assert torch.equal(again.model(data.inputs), model(data.inputs))
    assert isinstance(load_model(tmp_path / "run" / "seed-3"), Recurrent)


def test_the_loss_is_the_mean_over_what_is_asked() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[NOT_ASKED, 1, 2, 0], [4, NOT_ASKED, NOT_ASKED, NOT_ASKED], [0, 0, NOT_ASKED, 1]])
    for ours, own in zip(cross_entropy(logits, targets), logits, strict=True):
        asked = targets != NOT_ASKED
        torch.testing.assert_close(ours, F.cross_entropy(own[asked], targets[asked]))


def test_the_share_answered_rightly_is_of_what_is_asked() -> None:
    """Counted by hand from the trained network's own logits."""
    data = lines("names", [f"a{'b' * number}" for number in range(1, 41)], source="for tests")
    done = train(tokens(len(data.tokenizer or ())), seeds=1, data=data)
    last = done.metrics.iloc[-1]
    asked = data.test.targets != NOT_ASKED
    with torch.no_grad():
        logits = done.model(data.test.inputs)[0]
    right = (logits.argmax(-1) == data.test.targets)[asked].double().mean().item()
    assert last["test_accuracy"] == pytest.approx(right)
    expected = F.cross_entropy(logits[asked], data.test.targets[asked]).item()
    assert last["test_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_network_that_answers_once_is_asked_where_the_answer_is_due() -> None:
    data = key_value_recall(12, splits=SMALL).test
    padded = torch.cat([data.inputs, torch.zeros(50, 3, dtype=torch.int64)], dim=1)
    mask = torch.arange(15).expand(50, 15) < 12
    longer = Dataset("padded", padded, data.targets, data.examples, None, 18, "for tests", mask=mask)
    model = Recurrent(tokens(18, answers="last").network, seeds=(0, 1))
    given = answers(model, Questions.of(longer, device=CPU, dtype=torch.float32))
    assert given.shape == (2, 50, 18)
    torch.testing.assert_close(given, model(data.inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("recipe", "data", "message"),
    [
        (numbers(), induction(splits=SMALL), "reads number sequences, and the data 'induction' are tokens"),
        (
            tokens(10),
            adding_problem(6, splits=SMALL),
            "reads tokens, and the data 'adding' are number sequences",
        ),
        (numbers(features=3), adding_problem(6, splits=SMALL), "takes 3 numbers a position, the data have 2"),
        (numbers(answers="each"), adding_problem(6, splits=SMALL), "give it answers='last'"),
        (tokens(10, answers="last"), copy_task(splits=SMALL), "answers once: take one that answers at each"),
        (tokens(9), copy_task(splits=SMALL), "has 9 tokens, the data are spelt with 10"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_training(
    recipe: Recipe, data: Dataset, message: str
) -> None:
    with pytest.raises(Refused, match=message):
        train(recipe, seeds=1, data=data)


def test_a_perceptron_does_not_take_sequences() -> None:
    recipe = Recipe("mlp", "for tests", MLPConfig((12, 4, 1)), "adding", numbers().training)
    with pytest.raises(Refused, match="reads numbers, and the data 'adding' are number sequences"):
        train(recipe, seeds=1, data=adding_problem(6, splits=SMALL))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([[-1, -1], [0, 1]], "1 of 2 rows of targets, the first in row 0, ask for nothing"),
        ([[-2, 0], [0, 1]], "Targets go from -2 to 1; 2 classes"),
        ([[2, 0], [0, 1]], "Targets go from 0 to 2; 2 classes"),
    ],
)
def test_targets_at_positions_are_classes_or_nothing(targets: list[list[int]], message: str) -> None:
    examples = pd.DataFrame({"split": ["network", "test"]})
    inputs, mask = torch.zeros(2, 2, dtype=torch.int64), torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(Refused, match=message):
        Dataset("own", inputs, torch.tensor(targets), examples, None, 2, "for tests", mask=mask)


def test_the_adding_recipes_are_the_settings_of_the_comparison() -> None:
    """8,000 steps of 32, Adam at 5e-3 halved every 1,500 steps, 8 units: equal but for the cell."""
    for cell in ("rnn", "lstm", "gru"):
        recipe = RECIPES[f"adding-{cell}"]
        assert (recipe.network.units, recipe.network.cell) == (8, cell)
        assert recipe.training == RECIPES["adding-lstm"].training
    training = recipe.training
    assert (training.batch_size, training.epochs * 32_000 // 32) == (32, 8_000)
    assert (training.optimizer.rate, training.schedule.every, training.schedule.factor) == (5e-3, 1_500, 0.5)
