"""Every family of networks, one line each: its config (which imports no torch) and where its class is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from models.networks.mlp_config import MLPConfig

if TYPE_CHECKING:
    from models.networks.hooked import HookedModel

NetworkConfig = MLPConfig  # a union, once there are more: told apart by their field `family`

CLASSES = {"mlp": "models.networks.mlp:MLP"}


def network_class(config: NetworkConfig) -> type[HookedModel]:
    """The class that builds networks of this config: `network_class(config)(config, seeds=…)`."""
    module, name = CLASSES[config.family].split(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]
