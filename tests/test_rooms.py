"""The walls of the house: which room may import which, and what never enters one.

A module belongs to the room in the table whose name is the longest beginning of its own. What is not in the table is no
room, and may be imported by all.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = frozenset({"fastapi", "starlette", "uvicorn"})


@dataclass(frozen=True, slots=True)
class Room:
    """What the modules of a room may import beside one another."""

    rooms: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()  # packages, which no line may import, be it in a function
    only_inside: frozenset[str] = frozenset({"torch"})  # packages that no module may import as it is imported


def room(*rooms: str, never: frozenset[str] = frozenset()) -> Room:
    return Room(frozenset(rooms), never)


ROOMS = {
    "deployments": room(never=FRAMEWORKS),  # its own files: what all rooms share
    "deployments.app": room("deployments", "deployments.web", "deployments.replica", never=FRAMEWORKS),
    "deployments.web": room("deployments", "deployments.speech", "deployments.fleet"),
    "deployments.speech": room("deployments", never=FRAMEWORKS | {"ray"}),
    "deployments.fleet": room("deployments", never=FRAMEWORKS),
    "deployments.replica": room("deployments", never=FRAMEWORKS),
    "deployments.launch": room("deployments", "deployments.app", never=FRAMEWORKS),
}
# A package's own files are open to all that may import it. Of other rooms these files too, past a door that imports
# nothing for the sake of processes that stay small.
BY_FILE = {("deployments.app", "deployments.web.app")}
PACKAGES = sorted({name.partition(".")[0] for name in ROOMS})


@dataclass(frozen=True, slots=True)
class Import:
    """A line that imports a module."""

    module: str
    imported: str
    line: int
    at_once: bool  # when the module itself is imported

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.imported}"


def room_of(module: str) -> str | None:
    """The room of a module, None where it is in none."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in ROOMS), None)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports_of(module: str, source: str) -> Iterator[Import]:
    """Every import of a module, those for the type checker alone too."""
    tree = ast.parse(source)
    inside = {node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
              for node in ast.walk(function)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if is_module(name) else node.module or "" for name in full]
        else:
            continue
        yield from (Import(module, name, node.lineno, node not in inside) for name in names)


def offences(module: str, source: str) -> Iterator[str]:
    """What a module imports that its room may not."""
    here = room_of(module)
    assert here is not None
    walls = ROOMS[here]
    for each in imports_of(module, source):
        package, there = each.imported.partition(".")[0], room_of(each.imported)
        if package in walls.never or (each.at_once and package in walls.only_inside):
            yield str(each)
        if there in (None, here):
            continue
        at_the_door = each.imported == there or there in PACKAGES or (here, each.imported) in BY_FILE
        if there not in walls.rooms:
            yield str(each)
        elif not at_the_door:
            yield f"{each}, which is not the door of {there}"


SOURCES = {module_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


@pytest.mark.parametrize("module", SOURCES)
def test_rooms_keep_to_their_walls(module: str) -> None:
    assert list(offences(module, SOURCES[module].read_text(encoding="utf-8"))) == []


def test_nobody_imports_what_starts_the_server() -> None:
    callers = ("commands", "benchmarks", "tests")
    packages = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in callers]
    assert ROOT / "deployments" in packages
    for path in (path for package in packages for path in package.rglob("*.py")):
        imports = imports_of(module_of(path), path.read_text(encoding="utf-8"))
        assert [str(each) for each in imports if room_of(each.imported) == "deployments.launch"] == [] or (
            room_of(module_of(path)) == "deployments.launch"
        )


@pytest.mark.parametrize("name", ROOMS)
def test_every_room_is_there_and_says_what_lives_in_it(name: str) -> None:
    assert is_module(name)
    path = SOURCES[name]
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("deployments.web.app", "from deployments.replica import ModelServer"),
        ("deployments.web.app", "from deployments.speech.router import Router"),  # past the door
        ("deployments.speech.router", "from deployments import web"),
        ("deployments.speech.router", "def later():\n    from starlette.responses import Response"),
        ("deployments.replica.reading", "import fastapi.routing"),
        ("deployments.logs", "import deployments.speech"),
        ("deployments.app", "from deployments.launch import launcher"),
        ("deployments.replica.reading", "import torch"),
    ],
)
def test_the_search_finds_what_it_looks_for(module: str, line: str) -> None:
    assert list(offences(module, line))


def test_what_speaks_needs_no_framework_and_the_ingress_no_replica() -> None:
    """Nor by way of others: asked of processes that have imported nothing else."""
    program = "import sys; import {module}; found = set({heavy}) & set(sys.modules); assert not found, found"
    for module, heavy in (
        ("deployments.speech", [*FRAMEWORKS, "ray", "torch"]),
        ("deployments.replica", [*FRAMEWORKS, "torch"]),
        ("deployments.web.app", ["deployments.replica", "deployments.launch", "torch"]),
    ):
        command = [sys.executable, "-c", program.format(module=module, heavy=heavy)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
