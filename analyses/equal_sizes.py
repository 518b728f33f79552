"""Networks of nearly equal size: what is compared may differ by at most `MOST_UNEQUAL` in its parameters, all counted.

A larger network can do better for being larger. Sizes are checked before anything is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from models.refusals import Refused

if TYPE_CHECKING:
    from models.networks.families import NetworkConfig

Config = TypeVar("Config", bound="NetworkConfig")

MOST_UNEQUAL = 0.05


def fitted(config: Any, parameters: int) -> Any:
    """This transformer with as many neurons a layer as bring it nearest to this number of parameters."""
    one, two = (size(replace(config, d_mlp=neurons)) for neurons in (1, 2))
    return replace(config, d_mlp=max(1, 1 + round((parameters - one) / (two - one))))


def size(config: NetworkConfig) -> int:
    """How many parameters a network of this config has."""
    from models.networks.families import network_class

    return sum(weights.numel() for weights in network_class(config)(config, seeds=0).parameters())


def equal(configs: dict[str, Config]) -> dict[str, Config]:
    """These configs; `Refused` when the largest network has over `MOST_UNEQUAL` more parameters than the smallest."""
    sizes = {kind: size(config) for kind, config in configs.items()}
    if unequal(sizes) > MOST_UNEQUAL:
        raise Refused(
            f"Compared are networks whose parameters differ by at most {MOST_UNEQUAL:.0%}; given {sizes}. In so long a "
            "sequence positions outweigh the rest: give a shorter length."
        )
    return configs


def unequal(sizes: Mapping[str, int]) -> float:
    """By what share the largest of these counts is above the smallest."""
    return max(sizes.values()) / min(sizes.values()) - 1
