"""The layering of the house, held by the imports themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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
    "optuna": "search", "scipy": "search", "sqlalchemy": "search", "ray": "search", "psycopg": "search",
    "markupsafe": "reports", "plotly": "reports",
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


#: The folders of hwmodel, bottom first; the files at its root below all folders, and those above: the public verbs.
FOLDERS = ("network", "chip", "nest", "price", "mapper", "place", "show", "interop")
BASE, FACE = (
    {"errors", "csvfile", "deprecated", "files", "lazy", "moved", "plots", "shown"},
    {"cost", "table", "explain", "warm", "__init__"},
)
#: Python files in one folder; one with more wants folders of its own.
MAX_FILES = 20
#: Files that people write by hand.
TEXT = {".py", ".md", ".yaml", ".css", ".js", ".html", ".toml"}


@cache
def files() -> tuple[Path, ...]:
    return tuple(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class Import:
    """An import in a file: what, where, whether it waits for a call, and whether it is for type checkers only."""

    name: str
    line: int
    is_late: bool
    for_types: bool


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file, those inside functions and those for type checkers included."""
    found: list[Import] = []

    def visit(node: ast.AST, is_late: bool, for_types: bool) -> None:
        for child in ast.iter_child_nodes(node):
            names: list[str] = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom) and child.module:
                names = [f"{child.module}.{alias.name}" for alias in child.names]
            found.extend(Import(name, getattr(child, "lineno", 0), is_late, for_types) for name in names)
            visit(
                child,
                is_late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda),
                for_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)),
            )

    visit(ast.parse(path.read_text(encoding="utf-8")), False, False)
    return tuple(found)


def used(path: Path) -> list[Import]:
    """The imports that run, early or late."""
    return [item for item in imports(path) if not item.for_types]


def offenders(is_wrong: Callable[[Path, Import], bool]) -> list[str]:
    """`file:line imports name` of every import that breaks a rule."""
    return [
        f"{path.relative_to(ROOT)}:{item.line} imports {item.name}"
        for path in files()
        for item in used(path)
        if is_wrong(path, item)
    ]


def root_of(name: str) -> str:
    return name.partition(".")[0]


def test_a_room_looks_only_down() -> None:
    def looks_up(path: Path, item: Import) -> bool:
        above = ROOMS[ROOMS.index(path.relative_to(ROOT).parts[0]) + 1 :]
        return root_of(item.name) in (*above, "tests", "benchmarks", "examples")

    assert offenders(looks_up) == []


#: The files that name a module of a room above, as text and late: old paths, and who draws (as pandas names its
#: plotting backends).
NAME_ABOVE = {"hwmodel/moved.py", "hwmodel/plots.py"}


def test_a_room_names_none_above_as_text() -> None:
    """`import_module("reports.figures")` is an import that the other tests do not see."""
    found = set()
    for path in files():
        room = path.relative_to(ROOT).parts[0]
        above = ROOMS[ROOMS.index(room) + 1 :]
        texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        if any(
            re.fullmatch(rf"(?:{'|'.join(above)})(?:\.\w+)+", text)
            for text in texts
            if isinstance(text, str) and above
        ):
            found.add(path.relative_to(ROOT).as_posix())
    assert found == NAME_ABOVE


def test_a_folder_of_hwmodel_looks_only_down() -> None:
    """Late imports count. The base looks at nothing, and nothing but a room above looks at the public face."""
    height = {**dict.fromkeys(BASE, 0), **{name: n for n, name in enumerate(FOLDERS, 1)}}
    beside = {
        path.relative_to(ROOT / "hwmodel").with_suffix("").parts[0] for path in (ROOT / "hwmodel").rglob("*.py")
    }
    assert beside == height.keys() | FACE

    def looks_up(path: Path, item: Import) -> bool:
        room, own, *_ = path.relative_to(ROOT).with_suffix("").parts
        if room != "hwmodel" or root_of(item.name) != "hwmodel" or own in FACE:
            return False
        target = item.name.split(".")[1]
        return height.get(target, len(height)) > height[own] or (own in BASE and target in BASE)

    assert offenders(looks_up) == []


def test_a_heavy_library_lives_in_one_room() -> None:
    def strays(path: Path, item: Import) -> bool:
        room = path.relative_to(ROOT).parts[0]
        return HOME.get(root_of(item.name), room) != room

    assert offenders(strays) == []


def test_pandas_is_imported_late() -> None:
    assert offenders(lambda _, item: root_of(item.name) == "pandas" and not item.is_late) == []


def test_no_folder_is_crowded() -> None:
    counts = Counter(path.parent.relative_to(ROOT) for path in files())
    assert {str(folder): count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_every_library_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [item for extra in project["optional-dependencies"].values() for item in extra]
    declared = {re.split(r"[<>=\[ ]", item)[0].lower() for item in project["dependencies"] + optional}
    roots = {root_of(item.name) for path in files() for item in used(path)}
    third_party = roots - set(sys.stdlib_module_names) - set(ROOMS) - {"__future__"}
    missing = {name for name in third_party if DISTRIBUTION.get(name, name).lower() not in declared}
    assert not missing


@cache
def import_graph() -> nx.DiGraph[str]:
    """Module -> the modules that it imports, early or late; a lazy name of a package is where it comes from."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    names = {module_name(path) for path in files()}
    homes = {
        f"{module_name(path)}.{item.name.rpartition('.')[2]}": item.name.rpartition(".")[0]
        for path in files()
        if path.name == "__init__.py"
        for item in imports(path)
        if item.for_types
    }
    for path in files():
        for item in used(path):
            target = item.name if item.name in names else homes.get(item.name, item.name.rpartition(".")[0])
            if target in names and target != module_name(path):
                graph.add_edge(module_name(path), target)
    return graph


def circles(graph: nx.DiGraph[str]) -> list[list[str]]:
    """The sets of nodes that reach each other."""
    return [sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1]


def test_no_import_cycles() -> None:
    """Between modules, late imports included."""
    assert circles(import_graph()) == []


def test_no_cycles_among_siblings() -> None:
    """Between the folders and files that stand beside each other, late imports included."""
    found = []
    for folder in sorted({path.parent for path in files()}):
        package = ".".join(folder.relative_to(ROOT).parts)
        beside: nx.DiGraph[str] = nx.DiGraph()
        for source, target in import_graph().edges:
            if source.startswith(f"{package}.") and target.startswith(f"{package}."):
                ends = [name.removeprefix(f"{package}.").partition(".")[0] for name in (source, target)]
                if ends[0] != ends[1]:
                    beside.add_edge(*ends)
        found += [f"{package}: {circle}" for circle in circles(beside)]
    assert found == []


@pytest.mark.parametrize("module", ["hwmodel.price.spatial", "hwmodel.show.notebook"])
def test_prices_and_displays_load_no_compiler(module: str) -> None:
    """What needs no mapper loads none, and no numba."""
    code = f"import sys, {module}; print([m for m in sys.modules if m.startswith(('numba', 'hwmodel.mapper'))])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_package_is_installed():
    """A wheel holds every folder with Python in it, and the data files that the code reads."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in files()}
    assert folders == set(setuptools["packages"])
    page = [("reports", f"page/{name}") for name in ("templates/*.j2", "templates/*.css", "script/*.js")]
    for room, pattern in (("hwmodel", "accelerators/*.yaml"), *page):
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


def test_no_file_holds_what_a_merge_left_unsettled() -> None:
    marker = re.compile(rb"^(?:<{7}|>{7}|\|{7}) ", re.MULTILINE)
    places = [ROOT / name for name in ("docs", "examples", "benchmarks", "tests", *ROOMS)]
    texts = [ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    texts += [path for place in places for path in place.rglob("*") if path.suffix in TEXT]
    assert [str(path.relative_to(ROOT)) for path in texts if marker.search(path.read_bytes())] == []
