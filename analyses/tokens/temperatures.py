"""Temperature (T7): the distribution softmax(logits / T), what is drawn from it, and which T fits new text best.

That entropy rises and the likeliest token's share falls with T holds of any logits; it is checked at every position.
What follows for drawn texts is measured: texts are drawn at each temperature, and counted is how often the likeliest
token was taken and in how many different ways they begin. Which temperature predicts best is a matter of the network,
not of the softmax: 1 is what it was trained at, and one that learnt its texts by heart is too sure of itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import interp
import models
from analyses.tokens.last_vectors import COURSE, surprisals
from analyses.tokens.readers import Readers

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from analyses.tokens.readers import Numbers

GRID = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
DRAWN_AT = (0.5, 1.0, 2.0)
DRAWN, DRAWN_LENGTH = 40, 12
"""Texts drawn for each unit and temperature, and their tokens."""
BEGINNING = 3


def softened(readers: Readers) -> tuple[list[interp.Evidence], dict[float, dict[str, Numbers]]]:
    """The claims, and for each temperature the figures behind them."""
    test = readers.data.test
    asked = test.targets >= 0
    spread = {t: spread_of(readers.model, test.inputs, t) for t in GRID}
    rises, falls = (steps([spread[t][which] for t in GRID], sign) for which, sign in ((0, 1), (1, -1)))
    found: dict[float, dict[str, Numbers]] = {
        t: {
            "entropy": readers.per_unit(spread[t][0], asked),
            "top1": readers.per_unit(spread[t][1], asked),
            "surprisal": readers.per_unit(surprisals(readers.model, test, temperature=t), asked),
        }
        for t in GRID
    }
    for t in DRAWN_AT:
        found[t] |= drawn(readers, t)
    evidence = [
        _always(
            "The entropy of the next token rises with the temperature, at every position.",
            rises,
            readers,
            asked,
        ),
        _always(
            "The likeliest token's share falls with the temperature, at every position.",
            falls,
            readers,
            asked,
        ),
        *in_texts(found),
        interp.Evidence(
            "The temperature of training, 1, predicts new text better than 0.5 and 2 do.",
            COURSE,
            "surprisal of the true next token, in nats, at temperature 1",
            found[1.0]["surprisal"],
            interp.BelowControls(),
            {f"temperature {t:g}": found[t]["surprisal"] for t in (0.5, 2.0)},
        ),
    ]
    return evidence, found


def _always(statement: str, holds: Tensor, readers: Readers, asked: Tensor) -> interp.Evidence:
    return interp.Evidence(
        statement,
        COURSE,
        f"share of positions where it holds over all temperatures from {GRID[0]:g} to {GRID[-1]:g}",
        readers.per_unit(holds, asked),
        interp.Equals(1),
    )


def in_texts(found: Mapping[float, Mapping[str, Numbers]]) -> list[interp.Evidence]:
    """What temperature does to drawn texts."""
    words = {"likeliest": "take the likeliest token less often", "beginnings": "begin in more different ways"}
    measures = {
        "likeliest": "share of drawn tokens that are the likeliest",
        "beginnings": f"different beginnings of {BEGINNING} tokens, as a share of the drawn texts",
    }
    rules = {"likeliest": interp.BelowControls(), "beginnings": interp.ExceedsControls()}
    return [
        interp.Evidence(
            f"Texts drawn at temperature {high:g} {words[what]} than those drawn at {low:g}.",
            COURSE,
            measures[what],
            found[high][what],
            rules[what],
            {f"temperature {low:g}": found[low][what]},
        )
        for what in words
        for low, high in itertools.pairwise(DRAWN_AT)
    ]


def spread_of(model: Any, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Entropy in nats and the likeliest token's share, `[*seed, example, pos]`, float64."""
    import torch

    with torch.no_grad():
        chances = models.next_probabilities(model(tokens), temperature=temperature)
    return torch.special.entr(chances).sum(-1), chances.amax(-1)


def steps(values: list[Tensor], sign: int) -> Tensor:
    """Where every value is beyond the one before it."""
    import torch

    return (sign * torch.stack(values).diff(dim=0) > 0).all(dim=0)


def drawn(readers: Readers, temperature: float) -> dict[str, Numbers]:
    """Of texts drawn by each unit: how often the likeliest token was taken, and in how many ways they begin."""
    model, single = readers.model, getattr(readers.model, "seeds", None) is None
    count = DRAWN * readers.units if single else DRAWN
    begun = readers.data.test.inputs[:1, :1].expand(count, 1)
    texts = models.generate(model, begun, count=DRAWN_LENGTH, temperature=temperature, seed=0)
    taken = likeliest(model, texts)
    if single:
        texts, taken = (part.view(readers.units, DRAWN, -1) for part in (texts, taken))
    ways = [len({tuple(text) for text in unit[:, 1 : 1 + BEGINNING].tolist()}) / DRAWN for unit in texts]
    return {
        "likeliest": taken.double().mean(dim=(-2, -1)).numpy(force=True),
        "beginnings": np.array(ways),
    }


def likeliest(model: Any, texts: Tensor) -> Tensor:
    """Whether each drawn token was the likeliest at its place, `[*seed, example, pos]`."""
    import torch

    with torch.no_grad():
        return model(texts[..., :-1]).argmax(-1) == texts[..., 1:]  # type: ignore[no-any-return]


def temperature_table(found: Mapping[float, Mapping[str, Numbers]]) -> pd.DataFrame:
    """A row for each temperature, measure and unit."""
    import pandas as pd

    rows = [
        (t, what, unit, value)
        for t, measures in found.items()
        for what, values in measures.items()
        for unit, value in enumerate(values)
    ]
    table = pd.DataFrame(rows, columns=["temperature", "measure", "unit", "value"])
    table.attrs["caption"] = "Entropy and surprisal in nats, the likeliest token's share, and drawn texts"
    return table


def temperature_figures(found: Mapping[float, Mapping[str, Numbers]]) -> dict[str, Any]:
    """Entropy and surprisal, and the likeliest token's share, against temperature."""
    nats = {
        name: np.stack([found[t][what] for t in GRID], axis=1)
        for name, what in (("entropy", "entropy"), ("surprisal of the true token", "surprisal"))
    }
    return {
        "temperature": interp.curves(
            nats,
            np.array(GRID),
            labels=("temperature", "nats"),
            caption="Entropy of the next token and surprisal of the true one, against temperature: mean and range over "
            "units.",
        ),
        "top1": interp.curves(
            {"likeliest token": np.stack([found[t]["top1"] for t in GRID], axis=1)},
            np.array(GRID),
            labels=("temperature", "share of the likeliest token"),
            caption="Share of the likeliest token against temperature: mean and range over units.",
        ),
    }
