"""The layering of the house, held by the imports themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
#: Bottom first: each room looks only down.
ROOMS = ("hwmodel", "workloads", "search", "reports")
#: Heavy library -> the one room that imports it.
HOME = {
    "networkx": "hwmodel", "numba": "hwmodel", "pint": "hwmodel", "pydantic": "hwmodel",
    "pydantic_core": "hwmodel", "ruamel": "hwmodel",
    "torch": "workloads", "sklearn": "workloads", "safetensors": "workloads", "timm": "workloads",
    "transformers": "workloads", "onnx": "workloads", "onnxruntime": "workloads", "google": "workloads",
    "optuna": "search", "scipy": "search", "sqlalchemy": "search",
    "matplotlib": "reports", "jinja2": "reports", "rich": "reports", "typer": "reports", "click": "reports",
}  # fmt: skip
#: Import name -> distribution name, where they differ.
DISTRIBUTION = {
    "PIL": "pillow",
    "ruamel": "ruamel.yaml",
    "sklearn": "scikit-learn",
    "pydantic_core": "pydantic",
    "click": "typer",
    "google": "protobuf",
}


def files() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, runs when the file is imported) of every import; those for type checkers only are left out."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.extend((f"{child.module}.{alias.name}", top) for alias in child.names)
            visit(child, top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_looks_only_down(path):
    room = path.relative_to(ROOT).parts[0]
    above = ROOMS[ROOMS.index(room) + 1 :]
    upward = [name for name, _ in imports(path) if name.split(".")[0] in above]
    assert not upward, f"{room} must not import {upward}"
    assert not [name for name, _ in imports(path) if name.split(".")[0] in ("tests", "benchmarks", "examples")]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_heavy_library_lives_in_one_room(path):
    room = path.relative_to(ROOT).parts[0]
    strays = [name for name, _ in imports(path) if HOME.get(name.split(".")[0], room) != room]
    assert not strays, f"{strays} belong to another room than {room}"
    early = [name for name, top in imports(path) if top and name.split(".")[0] == "pandas"]
    assert not early, "pandas is imported late, inside functions"


def test_every_library_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [item for extra in project["optional-dependencies"].values() for item in extra]
    declared = {re.split(r"[<>=\[ ]", item)[0].lower() for item in project["dependencies"] + optional}
    used = {name.split(".")[0] for path in files() for name, _ in imports(path)}
    third_party = used - set(sys.stdlib_module_names) - set(ROOMS) - {"__future__"}
    missing = {name for name in third_party if DISTRIBUTION.get(name, name).lower() not in declared}
    assert not missing


def test_no_import_cycles():
    graph: nx.DiGraph[str] = nx.DiGraph()
    names = {module_name(path) for path in files()}
    for path in files():
        for imported, top in imports(path):
            if not top:
                continue
            target = imported if imported in names else imported.rpartition(".")[0]
            if target in names and target != module_name(path):
                graph.add_edge(module_name(path), target)
    cycles = [cycle for cycle in nx.simple_cycles(graph) if len(cycle) > 1]
    assert not cycles


def test_every_package_is_installed():
    """A wheel holds every folder with Python in it, and the data files that the code reads."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in files()}
    assert folders == set(setuptools["packages"])
    for room, pattern in (("hwmodel", "accelerators/*.yaml"), ("reports", "page/templates/*.j2")):
        assert pattern in setuptools["package-data"][room]
        assert list((ROOT / room).glob(pattern))


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_is_cheap(room):
    """Nothing heavy loads before it is used."""
    heavy = ("torch", "optuna", "matplotlib", "pandas", "scipy", "sklearn", "numba", "pint", "networkx")
    code = f"import sys, {room}; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_tree_names_no_place_of_its_making():
    """No absolute path of a home or work folder, no registry host."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    private = re.compile(r"/(?:home|root|Users)/\w|pypi\.org|files\.pythonhosted")
    for name in filter(None, tracked):
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".yaml", ".toml", ".txt", "")
            and path.is_file()
            and path != Path(__file__)
        ):
            found = private.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert not found, f"{name}: {found and found.group()}"
