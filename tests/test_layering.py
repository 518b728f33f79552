"""The house keeps its rules (tests/house_rules.py), and a planted breach of each rule is caught."""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from house_rules import HEAVY, LIGHT, ROOMS, broken_rules, sources

ROOT = Path(__file__).parents[1]


def test_the_house_keeps_its_rules() -> None:
    assert broken_rules(ROOT) == []


def test_the_whole_house_is_read() -> None:
    tree = sources(ROOT, *ROOMS)
    assert {"models.data.catalogue", "models.training.recipes", "interp.refusals"} <= tree.keys()
    rooms = {(source.floor, source.room) for source in tree.values() if source.room}
    assert {(floor, room) for floor in ("interp", "models") for room in ROOMS[floor]} <= rooms


def test_light_modules_are_light_when_truly_imported() -> None:
    light = [
        source.module
        for source in sources(ROOT, *ROOMS).values()
        if any(fnmatch(source.path, pattern) for pattern in LIGHT)
    ]
    code = f"import sys, {', '.join(light)}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def plant(root: Path, files: dict[str, str]) -> Path:
    """A small house with the given files in it."""
    for place, text in {"models/data/catalogue.py": "", "interp/reading/points.py": "", **files}.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for folder in list(path.relative_to(root).parents)[:-1]:
            (root / folder / "__init__.py").touch()
    return root


WRONG = {
    "models does not import interp": {"models/data/a.py": "from interp.reading import points"},
    "interp does not import models": {"interp/reading/a.py": "def f():\n    import models.data.catalogue"},
    "models does not import analyses": {"models/data/a.py": "import analyses.cli"},
    "interp does not import tests": {"interp/reading/a.py": "from tests import conftest"},
    "reading does not stand before measuring": {"interp/measuring/a.py": "from ..reading.points import x"},
    "training does not stand before data": {
        "models/training/a.py": "",
        "models/data/b.py": "from models.training.a import x",
    },
    "data and networks stand apart": {
        "models/networks/a.py": "",
        "models/data/b.py": "from models.networks import a",
    },
    "data does not stand before the floor itself": {"models/refusals.py": "import models.data.catalogue"},
    "import the file that defines the thing": {"interp/reading/a.py": "from interp import capture"},
    "attic does not stand before reading": {
        "interp/attic/a.py": "",
        "interp/reading/b.py": "import interp.attic.a",
    },
    "models/data/catalogue.py costs torch": {"models/data/catalogue.py": "import torch.nn as nn"},
    "models/__init__.py -> models/data/a.py -> sklearn": {
        "models/__init__.py": "from models.data.a import load",
        "models/data/a.py": "try:\n    from sklearn import svm\nexcept ImportError:\n    pass",
    },
    "no drawers": {"interp/reading/utils.py": ""},
    "a room's __init__.py stays empty": {"models/data/__init__.py": "x = 1"},
    "prints": {"analyses/question.py": "print('hello')"},
    "calls torch.manual_seed": {"tests/test_a.py": "import torch\ntorch.manual_seed(0)"},
    "calls np.random.seed": {"models/data/a.py": "def f():\n    np.random.seed(0)"},
    "imports torch.manual_seed": {"models/data/a.py": "from torch import manual_seed"},
}


@pytest.mark.parametrize("complaint", WRONG)
def test_a_planted_breach_is_caught_once(tmp_path: Path, complaint: str) -> None:
    complaints = broken_rules(plant(tmp_path, WRONG[complaint]))
    assert len(complaints) == 1
    assert complaint in complaints[0]


def test_what_is_allowed_is_let_through(tmp_path: Path) -> None:
    files = {
        "analyses/cli.py": "from interp.reading import points\nimport models.data.catalogue\nprint(1)",
        "interp/__init__.py": "def __getattr__(name):\n    from interp.reading import points",
        "interp/refusals.py": "",
        "interp/writing/a.py": "import torch\nfrom interp.reading.points import x\nimport interp.refusals",
        "models/networks/a_config.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
            "def build():\n    import torch\n    return torch.Generator().manual_seed(0)"
        ),
        "models/training/recipes.py": "from models.networks.a_config import x\nfrom .. import refusals",
        "models/refusals.py": "",
        "tests/test_a.py": "import models.data.catalogue\nprint(1)",
    }
    assert broken_rules(plant(tmp_path, files)) == []
