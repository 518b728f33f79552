"""Whether data fit a recipe's network: refused before anything is trained, with what makes them fit."""

from __future__ import annotations

from models.data.dataset import Dataset
from models.refusals import Refused
from models.training.recipes import Recipe

HINT = "recipe.on(name, inputs=…, outputs=…) makes it fit."


def check_fit(recipe: Recipe, data: Dataset) -> None:
    """Raises `Refused` for tokens where numbers are read (or the reverse), and for examples of another length,
    sequences longer than the context, and tokens that the network does not have."""
    network, held, width = recipe.network, "numbers" if data.mask is None else "tokens", data.inputs.shape[-1]
    if held != network.reads:
        raise Refused(
            f"The network of {recipe.name!r} reads {network.reads}, and the data {data.name!r} are {held}: choose "
            "another recipe (`interp list`)."
        )
    if held == "numbers" and width != network.inputs:
        raise Refused(
            f"The network of {recipe.name!r} takes {network.inputs} numbers an example, the data have {width}: {HINT}"
        )
    if held == "tokens" and width > network.inputs:
        raise Refused(
            f"The network of {recipe.name!r} reads at most {network.inputs} tokens (its context), the data have "
            f"sequences of up to {width}: {HINT}"
        )
    if held == "tokens" and data.classes > network.outputs:
        raise Refused(
            f"The network of {recipe.name!r} has {network.outputs} tokens, the data are spelt with {data.classes}: "
            f"{HINT}"
        )
