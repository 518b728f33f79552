"""What is declared in pyproject.toml is what the code imports, and the wheel holds what the code needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("interp", "models", "analyses")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = {
    "mypy",
    "ruff",
    "pandas-stubs",
    "hatchling",
}  # commands, stubs and the builder, which no test imports


def name_of(requirement: str) -> str:
    """`scikit-learn>=1.6,<2` names scikit-learn."""
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def imported_distributions(*folders: str) -> set[str]:
    """The distributions that these folders' files import anywhere, also inside functions."""
    provided, found = packages_distributions(), set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py*")):
        if path.suffix not in (".py", ".pyi"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= {name.split(".")[0] for name in absolute_imports(node)}
    ours = {*FLOORS, *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
    foreign = found - ours - set(sys.stdlib_module_names)
    return {name_of(provided[name][0]) for name in foreign}


def absolute_imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def test_the_packages_declare_exactly_what_they_import() -> None:
    declared = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    assert imported_distributions(*FLOORS) == declared


def test_the_tests_declare_what_they_import_beyond_that() -> None:
    declared = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    for_development = {name_of(requirement) for requirement in PROJECT["optional-dependencies"]["dev"]}
    assert imported_distributions("tests") - declared == for_development - TOOLS


@pytest.mark.parametrize(
    "requirement", [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]], ids=name_of
)
def test_every_requirement_is_a_range_with_both_ends(requirement: str) -> None:
    assert ">=" in requirement
    assert re.search(r",<\d", requirement)


def test_the_wheel_holds_the_three_packages_with_types_and_templates(tmp_path: Path) -> None:
    code = f"import hatchling.build; hatchling.build.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"{floor}/py.typed" for floor in FLOORS} < wanted
    assert {"interp/__init__.pyi", "interp/reporting/templates/style.css"} < wanted
    assert held == wanted
