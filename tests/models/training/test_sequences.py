"""Training on token sequences: the answer is due at one position, and padding changes nothing."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from models.data.dataset import Dataset
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig
from models.seeds import generator
from models.training.answering import Questions, answers
from models.training.digests import code_digest, shaping_modules
from models.training.recipes import Recipe
from models.training.train import train
from models.training.training_config import Optimizer, TrainingConfig

CPU = torch.device("cpu")


def facts(*, lengths: tuple[int, ...]) -> Dataset:
    """Thirty sequences of distinct tokens, each with an arbitrary answer among five, padded to the longest."""
    randomness = generator(0, "facts")
    longest, each = max(lengths), 30
    tokens = torch.randint(5, 40, (each, longest), generator=randomness)
    real = torch.tensor([lengths[place % len(lengths)] for place in range(each)])
    mask = torch.arange(longest) < real[:, None]
    targets = torch.randint(5, (each,), generator=randomness)
    split = ["network"] * 30 + ["probe"] * 30 + ["test"] * 30
    examples = pd.DataFrame({"split": split, "answer_pos": (real - 1).tolist() * 3})
    inputs = (tokens * mask).repeat(3, 1)
    return Dataset(
        "facts", inputs, targets.repeat(3), examples, None, 40, "for tests", mask=mask.repeat(3, 1)
    )


def small(*, causal: bool = True, epochs: int = 2, dtype: str = "float64") -> Recipe:
    network = TransformerConfig(40, 5, layers=2, d_model=16, heads=2, d_mlp=32, causal=causal)
    training = TrainingConfig(
        "cross_entropy", Optimizer("adam", 1e-2), batch_size=10, epochs=epochs, dtype=dtype
    )
    return Recipe("small", "for tests", network, "facts", training)


@pytest.mark.parametrize("lengths", [(3,), (2, 5, 3)])
@pytest.mark.parametrize("causal", [True, False])
def test_an_answer_is_the_logits_of_the_sequence_alone_at_its_position(
    lengths: tuple[int, ...], causal: bool
) -> None:
    data = facts(lengths=lengths).network
    model = Transformer(small(causal=causal).network, seeds=(0, 1)).double()
    given = answers(model, Questions.of(data, device=CPU, dtype=torch.float64, causal=causal))
    for row in (0, 1, 2, 29):
        length = int(data.mask[row].sum())
        alone = model(data.inputs[row : row + 1, :length])[:, 0, -1]
        torch.testing.assert_close(given[:, row], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lengths", [(3,), (2, 5, 3)])
def test_a_population_of_transformers_trains_as_each_seed_alone(lengths: tuple[int, ...]) -> None:
    data = facts(lengths=lengths)
    together = train(small(epochs=30), seeds=[4, 1, 2], data=data).model
    alone = train(small(epochs=30), seeds=[1], data=data).model
    for ours, theirs in zip(together.member(1).parameters(), alone.member(1).parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_float32_members_have_the_same_bits_in_populations_of_any_size() -> None:
    data = facts(lengths=(3,))
    several = train(small(dtype="float32"), seeds=6, data=data).model
    pair = train(small(dtype="float32"), seeds=2, data=data).model
    for seed in (0, 1):
        pairs = zip(several.member(seed).parameters(), pair.member(seed).parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_arbitrary_facts_are_learned_by_heart() -> None:
    metrics = train(small(epochs=60), seeds=2, data=facts(lengths=(2, 5, 3))).metrics
    assert metrics[metrics.epoch == 60].test_accuracy.tolist() == [1.0, 1.0]


def test_the_code_of_a_family_is_found_by_following_its_imports() -> None:
    mlp, transformer = shaping_modules("mlp"), shaping_modules("transformer")
    shared = {
        "models.seeds",
        "models.networks.hooked",
        "models.training.optimizers",
        "models.training.losses",
    }
    assert shared <= set(mlp) & set(transformer)
    assert "models.networks.mlp" in mlp
    assert "models.networks.attention" in transformer
    assert not any("config" in module or module.startswith("models.data") for module in mlp + transformer)
    assert code_digest("mlp") != code_digest("transformer")
