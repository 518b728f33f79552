"""What the network would say if it stopped at a layer (T6): the logit lens and the tuned lens, layer by layer.

Read off are, at each layer, the divergence from what the network says in the end, and the surprisal of the true token
(interp/locating/lens.py). Translators of the tuned lens are fitted on the texts that networks were trained on and read
on others. The control is a guess that reads nothing: how often each token occurs in the texts the lens was fitted on.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import interp
import models
from analyses.tokens.readers import Readers, begun

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from torch import Tensor

    from analyses.tokens.readers import Numbers

NOSTALGEBRAIST = (
    "nostalgebraist 2020, https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens"
)
BELROSE = "Belrose et al. 2023, https://arxiv.org/abs/2303.08112"
LENSES = ("logit lens", "tuned lens")
FREQUENCIES = "how often tokens occur"


class Lenses:
    """Both lenses on a network's test texts, `[(seed), layer, example, pos]`, and means over units."""

    def __init__(self, readers: Readers, *, steps: int) -> None:
        self.readers = readers
        self.fit, self.test = begun(readers.data.network), begun(readers.data.test)
        tuned = interp.train_tuned_lens(readers.model, self.fit, steps=steps, rate=0.006)
        self.read = {
            name: interp.read_lens(readers.model, self.test, tuned=lens, truth=self.test.targets)
            for name, lens in zip(LENSES, (None, tuned), strict=True)
        }
        self.layers = self.read[LENSES[0]].sizes["layer"] - 1

    def of(self, lens: str, layer: int, what: str = "kl") -> Numbers:
        """`kl` or `surprisal` at a layer, mean over each unit's own texts, in nats."""
        import torch

        values = torch.tensor(self.read[lens][what].sel(layer=layer).values)
        return self.readers.per_unit(values, self.test.targets >= 0)

    def without_reading(self) -> Numbers:
        """KL(output || how often tokens occur), per unit."""
        import torch

        counts = torch.bincount(self.fit.targets.flatten(), minlength=self.fit.classes) + 1.0
        with torch.no_grad():
            said = self.readers.model(self.test.inputs).log_softmax(-1)
        lost: Tensor = (said.exp() * (said - (counts / counts.sum()).log())).sum(-1)
        return self.readers.per_unit(lost, self.test.targets >= 0)


def through_layers(lenses: Lenses) -> list[interp.Evidence]:
    """Closer to the output with each layer; and what a translator adds."""
    nothing = lenses.without_reading()
    closer = [
        interp.Evidence(
            f"What enters layer {after} says more of the network's next token than what enters layer {before}, and "
            "than how often tokens occur.",
            NOSTALGEBRAIST,
            f"KL(output || {lens}), in nats",
            lenses.of(lens, after),
            interp.BelowControls(),
            {f"{lens}, layer {before}": lenses.of(lens, before), FREQUENCIES: nothing},
        )
        for lens in LENSES
        for before, after in itertools.pairwise(range(lenses.layers))
    ]
    translated = [
        interp.Evidence(
            f"Translated, what enters layer {layer} says more of the network's next token than read as it is, and than "
            "how often tokens occur.",
            BELROSE,
            "KL(output || tuned lens), in nats",
            lenses.of("tuned lens", layer),
            interp.BelowControls(),
            {"logit lens": lenses.of("logit lens", layer), FREQUENCIES: nothing},
        )
        for layer in range(lenses.layers)
    ]
    return [*closer, *translated]


def lens_table(lenses: Lenses) -> pd.DataFrame:
    """A row for each lens, layer and unit; the last layer is the output."""
    import pandas as pd

    rows = [
        (lens, layer, unit, kl, surprisal)
        for lens in LENSES
        for layer in range(lenses.layers + 1)
        for unit, (kl, surprisal) in enumerate(
            zip(lenses.of(lens, layer), lenses.of(lens, layer, "surprisal"), strict=True)
        )
    ]
    table = pd.DataFrame(rows, columns=["lens", "layer", "unit", "kl", "surprisal"])
    table.attrs["caption"] = (
        "What each layer says: KL(output || lens) and surprisal of the true token, in nats"
    )
    return table


def lens_figures(lenses: Lenses) -> Mapping[str, Any]:
    """Both lenses over layers, and the surprisal at every layer and position."""
    spots = [
        interp.Spot.over_seeds(f"layer {layer}", lens, lenses.of(lens, layer))
        for lens in LENSES
        for layer in range(lenses.layers)
    ]
    return {
        "lenses": interp.interval_plot(
            spots,
            measure="KL(output || lens), nats",
            caption="How far what enters each layer is from what the network says in the end, read as it is and "
            "translated. Intervals over units.",
            lines={FREQUENCIES: float(lenses.without_reading().mean())},
            ordered=True,
        ),
        "positions": interp.heatmap(
            by_position(lenses.read["tuned lens"], lenses.test),
            measure="surprisal, nats",
            caption="Surprisal of the true next token at each layer and position (tuned lens; the last row is the "
            "network's own), mean over texts and networks.",
        ),
    }


def by_position(read: xr.Dataset, test: models.Dataset) -> xr.DataArray:
    """Surprisal `[layer, pos]`."""
    values = read["surprisal"]
    over = [dim for dim in ("seed", "example") if dim in values.dims]
    return values.mean(over, skipna=True).round(2).rename(pos="position")
