"""Networks with one kind of attention each, and what they recall: the networks of `what_do_cheaper_attentions_lose`.

Heads that share keys and values have fewer weights. So that networks of equal size are compared, what they save goes
into a wider MLP, as in Shazeer, Fast transformer decoding (2019), section 4, https://arxiv.org/abs/1911.02150.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import models
from analyses.equal_sizes import equal, fitted, size
from analyses.training_rows import for_training
from interp.refusals import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

HEADS, VALUES, BATCH = 4, 4, 50
WIDTH = 16  # of the residual stream, and of the MLP where heads share nothing
TIMES, TEST_ROWS = (1, 2, 4), 2_000


@dataclass(frozen=True)
class Setting:
    """The rows that are learned, and how: see `what_do_cheaper_attentions_lose`."""

    seeds: int = 8
    length: int = 24
    pairs: int = 12
    window: int = 8
    rows: int = 4_000
    epochs: int = 15
    rate: float = 2e-2

    def __post_init__(self) -> None:
        if not 1 <= self.window < self.length // 2:
            raise Refused(
                f"The window is at least 1 and shorter than half a row of {self.length}; given {self.window}."
            )


@dataclass(frozen=True)
class Recalled:
    """What one kind of attention recalls: `right [seed, row]` by how many times as long rows are, and untrained."""

    network: models.TransformerConfig
    right: Mapping[int, NDArray[np.bool_]]
    untrained: NDArray[np.bool_]
    parameters: int


def rows_of(
    setting: Setting, *, times: int = 1, splits: tuple[int, int, int] | None = None
) -> models.Dataset:
    """Rows `times` as long as those that train, with as many pairs; longer ones from another seed."""
    return models.key_value_recall(
        times * setting.length,
        pairs=setting.pairs,
        keys=setting.pairs + 4,
        values=VALUES,
        joined=True,
        splits=splits or (setting.rows, 100, TEST_ROWS),
        seed=times - 1,
    )


def longer_rows(setting: Setting, times: int) -> models.Dataset:
    """The rows that the networks are asked in."""
    return rows_of(setting, times=times, splits=None if times == 1 else (0, 0, TEST_ROWS)).test


def networks(setting: Setting, data: models.Dataset) -> dict[str, models.TransformerConfig]:
    """One layer with attention of each kind and an MLP, of nearly equal size, without positions."""
    exact = models.TransformerConfig(
        data.classes,
        max(TIMES) * setting.length,
        layers=1,
        d_model=WIDTH,
        heads=HEADS,
        d_mlp=WIDTH,
        positions="none",
    )
    kinds: dict[str, dict[str, Any]] = {
        "exact": {},
        "grouped-query": {"key_heads": 2},
        "multi-query": {"key_heads": 1},
        "window": {"window": setting.window},
        "linear": {"attention": "linear"},
    }
    return equal({kind: fitted(replace(exact, **changes), size(exact)) for kind, changes in kinds.items()})


def recalled(
    kind: str,
    network: models.TransformerConfig,
    data: models.Dataset,
    *,
    tests: Mapping[int, models.Dataset],
    setting: Setting,
) -> Recalled:
    """Trains one kind and asks it."""
    training = models.TrainingConfig(
        "cross_entropy",
        models.Optimizer("adam", rate=setting.rate, beta2=0.99),
        batch_size=BATCH,
        epochs=setting.epochs,
        schedule=models.Schedule("cosine", factor=0.05),
    )
    recipe = models.Recipe(f"recall-{kind}", "recalls values of keys", network, data.name, training)
    model = models.trained(recipe, seeds=setting.seeds, data=for_training(data)).model
    untrained = models.Transformer(network, seeds=model.every_seed)
    right = {times: answers_right(model, test) for times, test in tests.items()}
    return Recalled(network, right, answers_right(untrained, tests[1]), size(network))


def answers_right(model: Any, test: models.Dataset) -> NDArray[np.bool_]:
    """Which rows each seed answers rightly, `[seed, row]`."""
    import torch

    with torch.no_grad():
        parts = [
            model(rows, at=test.inputs.shape[1] - 1)[:, :, 0].argmax(dim=-1)
            for rows in (test.inputs[first : first + 500] for first in range(0, len(test), 500))
        ]
    return (torch.cat(parts, dim=1) == test.targets).numpy()


def share(right: NDArray[np.bool_], shares: NDArray[np.bool_], rows: Any = None) -> Numbers:
    """The share right on each seed's own rows, of those chosen."""
    chosen = shares if rows is None else shares & rows
    return np.array([ours[own].mean() for ours, own in zip(right, chosen, strict=True)])
