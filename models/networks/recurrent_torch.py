"""Recurrent layers to and from torch.nn.RNN, LSTM and GRU: the same weights, transposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from models.networks.recurrent import Recurrent
from models.networks.recurrent_layer import RecurrentLayer
from models.refusals import Refused

CLASSES: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
NAMES = {"W_x": "weight_ih", "W_h": "weight_hh", "b_x": "bias_ih", "b_h": "bias_hh"}


def to_torch(model: Recurrent) -> nn.RNNBase:
    """torch's own module with the weights of this network's layers (one network; `batch_first`).

    It takes what enters layer 0, `[example, pos, width]`, and gives `hook_h` of the last layer.
    """
    if model.seeds is not None:
        raise Refused("torch's modules hold one network: give model.member(seed).")
    config = model.config
    # torch draws initial weights from the global state: put back what was there
    with torch.random.fork_rng(devices=[]):
        module: nn.RNNBase = CLASSES[config.cell](
            config.widths[0], config.units, config.layers, batch_first=True
        )
    module.to(device=model.device, dtype=model.dtype)
    module.load_state_dict(
        {
            f"{theirs}_l{number}": getattr(layer, ours).detach().mT
            if ours.startswith("W")
            else getattr(layer, ours).detach()
            for number, layer in enumerate(model.layers)
            for ours, theirs in NAMES.items()
        }
    )
    return module


@torch.no_grad()
def copy_from_torch(model: Recurrent, module: nn.RNNBase) -> None:
    """Sets this network's layers to the weights of torch's module of the same kind and sizes.

    Raises `Refused` for what this network does not have: another kind or size, two directions, projections, ReLU, no
    biases.
    """
    config = model.config
    if model.seeds is not None:
        raise Refused("torch's modules hold one network: give model.member(seed).")
    asked = (config.cell.upper(), config.widths[0], config.units, config.layers)
    given = (type(module).__name__, module.input_size, module.hidden_size, module.num_layers)
    strange = module.bidirectional or module.proj_size or not module.bias
    if asked != given or strange or getattr(module, "nonlinearity", "tanh") != "tanh":
        raise Refused(
            f"The network's layers are {asked[0]}(input {asked[1]}, hidden {asked[2]}, layers {asked[3]}), one-way, "
            f"with biases, tanh; given {module}."
        )
    for number, layer in enumerate(model.layers):
        for ours, theirs in NAMES.items():
            value = getattr(module, f"{theirs}_l{number}")
            getattr(cast("RecurrentLayer", layer), ours).copy_(value.mT if value.ndim == 2 else value)
