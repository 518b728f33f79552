"""The house rules that can be read off the source: who imports whom, what is light, what is never done.

Floors: analyses may import models and interp; these two import neither each other nor analyses. Rooms: inside a floor
a room imports only itself and those before it, and `data` does not import `networks`; a question, which stands in no
room, may import any.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOMS = {
    "interp": ("measuring", "reading", "writing", "locating", "reporting"),
    "models": ("networks", "data", "training"),
    "analyses": ("tokens", "attention", "facts", "images", "sequences", "translation", "command_line"),
}
STRANGERS = {("models", "data", "networks")}
MAY_USE = {"interp": {"interp"}, "models": {"models"}, "analyses": {"analyses", "interp", "models"}}
HEAVY = {"torch", "transformer_lens", "sklearn", "matplotlib"}
LIGHT = (
    "models/__init__.py",
    "interp/__init__.py",
    "models/networks/*_config.py",
    "models/training/recipes.py",
    "models/training/*_config.py",
    "models/data/catalogue.py",
    "analyses/cli.py",
)
DRAWERS = {"utils.py", "common.py", "helpers.py"}
GLOBAL_SEEDS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
}


@dataclass(frozen=True)
class Source:
    """One file: its place below the root, its module name, its syntax."""

    path: str
    module: str
    tree: ast.Module

    @property
    def floor(self) -> str:
        return self.module.split(".")[0]

    @property
    def room(self) -> str:
        """The folder below the floor, or "" for a file of the floor itself."""
        parts = Path(self.path).parts
        return parts[1] if len(parts) > 2 else ""


def sources(root: Path, *folders: str) -> dict[str, Source]:
    """Every Python file below these folders, by module name."""
    found = {}
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        place = path.relative_to(root)
        module = ".".join(place.with_suffix("").parts).removesuffix(".__init__")
        found[module] = Source(place.as_posix(), module, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imported(source: Source, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Dotted names that these nodes import; `from a import b` gives a.b, a module or a thing in a."""
    package = source.module if source.path.endswith("__init__.py") else source.module.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What is run when a module is imported: all but the insides of functions and of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        yield child
        yield from run_at_import(child)


def home(name: str, tree: dict[str, Source]) -> str:
    """The module that an imported name lives in: the longest part of it that is a module."""
    while name and name not in tree:
        name = name.rpartition(".")[0]
    return name


def wrong_directions(tree: dict[str, Source]) -> Iterator[str]:
    for source in tree.values():
        for name in imported(source, ast.walk(source.tree)):
            floor = name.split(".")[0]
            if floor in (*ROOMS, "tests") and (reason := why_not(source, name, tree)):
                yield f"{source.path} imports {name}: {reason}"


def why_not(source: Source, name: str, tree: dict[str, Source]) -> str:
    """Why this file may not import this name of the project; empty when it may."""
    floor, target = name.split(".")[0], tree.get(home(name, tree))
    if floor not in MAY_USE[source.floor]:
        return f"{source.floor} does not import {floor}"
    if floor != source.floor or source.path == f"{floor}/__init__.py":
        return ""
    if target is None or target.path.endswith("__init__.py"):
        return "import the file that defines the thing"
    rooms = ROOMS[floor]
    if not target.room or source.room == target.room or (floor == "analyses" and not source.room):
        return ""
    if (floor, source.room, target.room) in STRANGERS:
        return f"{source.room} and {target.room} stand apart"
    if (
        source.room not in rooms
        or target.room not in rooms
        or rooms.index(target.room) > rooms.index(source.room)
    ):
        return f"{target.room} does not stand before {source.room or 'the floor itself'}"
    return ""


def heavy_imports(tree: dict[str, Source]) -> Iterator[str]:
    for source in tree.values():
        if any(fnmatch(source.path, pattern) for pattern in LIGHT):
            for chain in chains_to_heavy(source, tree, ()):
                yield f"{source.path} costs {chain[-1]} to import: {' -> '.join(chain)}"


def chains_to_heavy(
    source: Source, tree: dict[str, Source], via: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Each way in which importing this file imports something heavy, through files of the project too."""
    via = (*via, source.path)
    for name in imported(source, run_at_import(source.tree)):
        if name.split(".")[0] in HEAVY:
            yield (*via, name.split(".")[0])
        parents = (".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 2))
        for parent in parents:  # importing a.b.c runs a and a.b first
            if parent in tree and tree[parent].path not in via:
                yield from chains_to_heavy(tree[parent], tree, via)


def forbidden_files(tree: dict[str, Source]) -> Iterator[str]:
    for source in tree.values():
        if Path(source.path).name in DRAWERS:
            yield f"{source.path}: no drawers, name the file after what it does"
        if source.path.endswith("__init__.py") and source.room and source.tree.body:
            yield f"{source.path}: a room's __init__.py stays empty"


def command_line(source: Source) -> bool:
    return source.module.startswith(("analyses.cli", "analyses.command_line"))


def forbidden_calls(tree: dict[str, Source]) -> Iterator[str]:
    for source in tree.values():
        for node in ast.walk(source.tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called == "print" and source.floor != "tests" and not command_line(source):
                yield f"{source.path}:{node.lineno} prints: only the command line does"  # type: ignore[attr-defined]
            if called in GLOBAL_SEEDS:
                yield f"{source.path}:{node.lineno} calls {called}: pass a seed or a generator"  # type: ignore[attr-defined]
        seeds = GLOBAL_SEEDS.intersection(imported(source, ast.walk(source.tree)))
        yield from (f"{source.path} imports {name}: pass a seed or a generator" for name in sorted(seeds))


def broken_rules(root: Path) -> list[str]:
    """Everything in the tree below `root` that breaks a house rule."""
    tree = sources(root, *ROOMS)
    everywhere = tree | sources(root, "tests")
    return [
        *wrong_directions(tree),
        *heavy_imports(tree),
        *forbidden_files(everywhere),
        *forbidden_calls(everywhere),
    ]
