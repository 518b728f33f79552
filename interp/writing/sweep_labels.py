"""The labels of a sweep's result: what each entry edits, as coordinates along `edit`.

`hook`: the hook, or the hooks in the order of the edits, joined by " + "; `layer`: the layer of the first of them (-1
before all layers, the number of layers after them); one coordinate for each axis that any edit is restricted on (`pos`,
`head`, `neuron`, ...; `example` and `seed` as `edited_example`, `edited_seed`): the positions as they were given,
whole numbers where every entry names exactly one, text otherwise (empty for an entry without such a restriction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from torch import Tensor, nn

from interp.reading.points import hook_points, layer_of
from interp.writing.edits import Edit

RENAMED = {"example": "edited_example", "seed": "edited_seed", "edit": "edited_edit"}


def labelled(
    values: Tensor,
    asked: Sequence[Sequence[Edit]],
    *,
    model: nn.Module,
    examples: pd.DataFrame | None,
    seeds: Sequence[int] | None,
) -> xr.DataArray:
    """The values `[edit, (seed), example]` with what is known of their edits, seeds and examples."""
    dims = ("edit", "example") if seeds is None else ("edit", "seed", "example")
    columns = () if examples is None else examples.items()
    along_examples = {str(name): ("example", column.to_numpy()) for name, column in columns}
    along_edits = {name: ("edit", column) for name, column in coordinates(asked, model).items()}
    own = {} if seeds is None else {"seed": list(seeds)}
    data = values.detach().cpu().float() if values.itemsize < 4 else values.detach().cpu()
    return xr.DataArray(data.numpy(), dims=dims, coords={**along_examples, **along_edits, **own})


def coordinates(asked: Sequence[Sequence[Edit]], model: nn.Module) -> Mapping[str, np.ndarray[Any, Any]]:
    """One array along the entries for each coordinate."""
    layers = _layers(model)
    axes = dict.fromkeys(axis for edits in asked for edit in edits for axis, _ in edit.where.choices)
    return {
        "hook": np.array([" + ".join(dict.fromkeys(edit.hook for edit in edits)) for edits in asked]),
        "layer": np.array([layers[edits[0].hook] for edits in asked]),
        **{RENAMED.get(axis, axis): _column(axis, asked) for axis in axes},
    }


def _layers(model: nn.Module) -> dict[str, int]:
    """The layer of every hook: -1 before the first, the number of layers after the last."""
    known = {name: layer_of(name) for name in hook_points(model)}
    after = 1 + max((layer for layer in known.values() if layer is not None), default=-1)
    return {name: after if layer is None else layer for name, layer in known.items()}


def _column(axis: str, asked: Sequence[Sequence[Edit]]) -> np.ndarray[Any, Any]:
    """What the entries choose along an axis."""
    chosen = [
        list(
            {
                str(choice): choice for edit in edits for name, choice in edit.where.choices if name == axis
            }.values()
        )
        for edits in asked
    ]
    if all(len(some) == 1 and isinstance(some[0], int) for some in chosen):
        return np.array([some[0] for some in chosen])
    return np.array([" + ".join(map(str, some)) for some in chosen])
