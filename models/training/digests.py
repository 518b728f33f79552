"""What a trained network depends on, as one digest: recipe, data, training code and torch's version.

The code's part is the syntax tree of the files that shape the numbers, so comments and layout do not count and nobody
has to remember to raise a version.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

from models.data.dataset import Dataset
from models.training.recipes import Recipe

MODELS = Path(__file__).parent.parent
SHAPING = (
    "seeds.py",
    "networks/hooked.py",
    "networks/mlp.py",
    "training/losses.py",
    "training/optimizers.py",
    "training/population.py",
    "training/schedules.py",
)


def recipe_digest(recipe: Recipe, data: Dataset) -> str:
    """SHA-256 over everything that decides the weights but the seed; the recipe's name and description do not."""
    parts = {
        "network": asdict(recipe.network),
        "training": asdict(recipe.training),
        "data": data.digest,
        "code": code_digest(),
        "torch": version("torch").split("+")[0],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def code_digest() -> str:
    """SHA-256 over the syntax trees of the files that shape the numbers."""
    trees = [ast.dump(ast.parse((MODELS / name).read_text(encoding="utf-8"))) for name in SHAPING]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()
