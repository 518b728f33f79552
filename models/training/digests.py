"""What a trained network depends on, as one digest: recipe, data, training code and torch's version.

The code's part is the syntax tree of the files that shape the numbers: the network's own, the training step's, and
whatever of ours those import, found by following the imports. Comments and layout do not count, and nobody has to
remember to raise a version.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from models.data.dataset import Dataset
from models.networks.families import CLASSES
from models.networks.hooked import HookedModel
from models.training.recipes import Recipe

ROOT = Path(__file__).parents[2]
TRAINING = "models.training.population"
INERT = (
    "models.data.",
    "models.refusals",
    "models.networks.families",
    "models.training.recipes",
    "models.training.fitting",
)


def recipe_digest(recipe: Recipe, data: Dataset) -> str:
    """SHA-256 over everything that decides the weights but the seed; the recipe's name and description do not."""
    parts = {
        "network": asdict(recipe.network),
        "training": asdict(recipe.training),
        "data": data.digest,
        "tokenizer": None if data.tokenizer is None else data.tokenizer.digest,
        "code": code_digest(recipe.network.family),
        "torch": version("torch").split("+")[0],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def network_digest(model: HookedModel) -> str:
    """SHA-256 over a trained network: its config, seeds, weights, and the tokenizer it learned with."""
    digest = hashlib.sha256()
    told = {"network": asdict(model.config), "seeds": model.every_seed, "spelt_with": model.spelt_with}
    digest.update(json.dumps(told, sort_keys=True).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@cache
def code_digest(family: str, shaping: str = TRAINING) -> str:
    """SHA-256 over the syntax trees of `shaping_modules`."""
    trees = [ast.dump(_tree(module)) for module in shaping_modules(family, shaping)]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()


def shaping_modules(family: str, shaping: str = TRAINING) -> list[str]:
    """Our modules that the family's network and `shaping` (a training step, unless given) run.

    Configs and data are digested as they are.
    """
    found: set[str] = set()
    waiting = [CLASSES[family].split(":")[0], shaping]
    while waiting:
        module = waiting.pop()
        if module not in found and not module.startswith(INERT) and not module.endswith("_config"):
            found.add(module)
            waiting += _imported(module)
    return sorted(found)


def _imported(module: str) -> Iterator[str]:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("models."):
            yield str(node.module)


def _tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
