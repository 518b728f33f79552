"""The questions: every file in the folder that sets QUESTION is an analysis. No registry, nothing imported to list."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from interp.refusals import Refused, unknown

if TYPE_CHECKING:
    from interp import Report


@dataclass(frozen=True)
class Analysis:
    """One question, its config's class, and what answers it."""

    name: str
    question: str
    config: type[Any]
    answer: Callable[[Any], Report]


def questions(folder: Path) -> dict[str, str]:
    """The QUESTION of each file in the folder that has one, by the file's name, read without importing it."""
    found = {path.stem: _question(path) for path in sorted(folder.glob("*.py"))}
    return {name: question for name, question in found.items() if question is not None}


def analysis(name: str, folder: Path) -> Analysis:
    """The analysis of this name; a name that does not exist is refused with the nearest."""
    found = questions(folder)
    if name not in found:
        raise unknown("question", name, found)
    module = _imported(name, folder)
    for part in ("Config", "answer"):
        if not hasattr(module, part):
            raise Refused(
                f"The question {name!r} lacks {part}: its file needs QUESTION, Config and answer(config)."
            )
    return Analysis(name, found[name], module.Config, module.answer)


def config_of(kind: type[Any], given: Mapping[str, Any], *, start: Any = None) -> Any:
    """A config with the given fields, the others as in `start` or, without it, as by default.

    Raises `Refused`, naming the nearest, for a field that does not exist, and for values of a wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            raise unknown("setting", name, names)
    try:
        return TypeAdapter(kind).validate_python({**(asdict(start) if start is not None else {}), **given})
    except ValidationError as error:
        wrong = "; ".join(
            ".".join(str(step) for step in one["loc"]) + ": " + one["msg"] for one in error.errors()
        )
        raise Refused(f"These settings are not possible: {wrong}.") from error


def _question(path: Path) -> str | None:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise Refused(f"{path} is no Python: {error.msg} in line {error.lineno}.") from error
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "QUESTION" for target in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                return value.value
    return None


def _imported(name: str, folder: Path) -> ModuleType:
    """The analysis's module: of this package, or read from a folder of somebody else's questions."""
    if folder.resolve() == Path(__file__).parents[1]:
        return import_module(f"analyses.{name}")
    spec = spec_from_file_location(f"question_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
