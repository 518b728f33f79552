"""Whether data fit a recipe's network: refused before anything is trained, with what makes them fit."""

from __future__ import annotations

from models.data.dataset import Dataset
from models.networks.cnn_config import CNNConfig
from models.networks.recurrent_config import RecurrentConfig
from models.networks.seq2seq_config import Seq2SeqConfig
from models.networks.vit_config import ViTConfig
from models.refusals import Refused
from models.training.recipes import Recipe

HINT = "recipe.on(name, inputs=…, outputs=…) makes it fit."


def check_fit(recipe: Recipe, data: Dataset) -> None:
    """Raises `Refused` for tokens where numbers are read (or the reverse), and for examples of another length,
    sequences longer than the context, and tokens that the network does not have."""
    network, held, width = recipe.network, data.reads, data.inputs.shape[-1]
    if held != network.reads:
        raise Refused(
            f"The network of {recipe.name!r} reads {network.reads}, and the data {data.name!r} are {held}: choose "
            "another recipe (`interp list`)."
        )
    _check_where_it_answers(recipe, data)
    _check_images(recipe, data)
    if held not in ("tokens", "token pairs") and width != network.inputs:
        each = "an example" if held == "numbers" else "a position"
        raise Refused(
            f"The network of {recipe.name!r} takes {network.inputs} numbers {each}, the data have {width}: {HINT}"
        )
    if isinstance(network, Seq2SeqConfig):
        return _check_pairs(recipe, network, data)
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
    return None


def _check_pairs(recipe: Recipe, network: Seq2SeqConfig, data: Dataset) -> None:
    """Sources of just as many positions as the network takes, targets of at most as many, no token that it has not."""
    sources, targets = data.inputs.tensor_split([data.source_positions], dim=1)
    given = (data.source_positions, int(sources.max()) + 1, targets.shape[1], data.classes)
    taken = (network.source_context, network.source_vocabulary, network.context, network.vocabulary)
    if given[0] == taken[0] and all(one <= other for one, other in zip(given, taken, strict=True)):
        return
    raise Refused(
        f"The network of {recipe.name!r} takes sources of {taken[0]} positions and {taken[1]:,} tokens, and targets of "
        f"up to {taken[2]} positions and {taken[3]:,} tokens; the data {data.name!r} have {given[0]} and {given[1]:,}, "
        f"{given[2]} and {given[3]:,}: build a Seq2SeqConfig of their sizes."
    )


def _check_images(recipe: Recipe, data: Dataset) -> None:
    """A network that knows which pixels are neighbours is given images, and of the shape it knows."""
    network = recipe.network
    if not isinstance(network, CNNConfig | ViTConfig) or data.image_shape == network.image_shape:
        return
    rows, columns = network.image_shape
    given = "no images"
    if data.image_shape is not None:
        given = f"images of {data.image_shape[0]}x{data.image_shape[1]}"
    raise Refused(
        f"The network of {recipe.name!r} takes images of {rows}x{columns} pixels, the data {data.name!r} are {given}: "
        f"{HINT} (squares), or give the network's image_shape."
    )


def _check_where_it_answers(recipe: Recipe, data: Dataset) -> None:
    """One answer an example, or one at each position: what the data ask for and the network gives.

    Of tokens, a network that answers at each position is asked at the one where the data want it.
    """
    network = recipe.network
    once = network.reads == "numbers" or (isinstance(network, RecurrentConfig) and network.answers == "last")
    if once and data.asks_everywhere:
        raise Refused(
            f"The data {data.name!r} ask at each position, and the network of {recipe.name!r} answers once: take one "
            "that answers at each (a transformer; a recurrent network with answers='each')."
        )
    if not once and data.reads == "number sequences" and not data.asks_everywhere:
        raise Refused(
            f"The data {data.name!r} ask once, after the last position, and the network of {recipe.name!r} answers at "
            "each: give it answers='last'."
        )
