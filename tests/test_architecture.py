"""docs/architecture.md is a map of this code: every folder, file, function and class that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = ("hwmodel", "workloads", "search", "reports")
#: Backticked words of the page that name no code: kinds of nodes and keys of files.
WORDS = frozenset(
    {
        "acc",
        "o",
        "sensitivity.json",
        "source:",
        "hw calibrate",
        "Class.method",
        "_bits _pj _cycles _s _hz _mm2 _nm",
        "num_",
    }
)


def prose() -> str:
    """The page without its fenced blocks."""
    return re.sub(r"```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def definitions() -> tuple[set[str], set[str]]:
    """Names of all functions, classes and modules of the rooms, and `Class.method` of all methods."""
    names, methods = set(ROOMS), set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            names |= {path.stem, path.parent.name}
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    names.add(node.name)
                if isinstance(node, ast.ClassDef):
                    found = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
                    fields = [ast.unparse(item.target) for item in node.body if isinstance(item, ast.AnnAssign)]
                    methods |= {f"{node.name}.{name}" for name in (*found, *fields)}
    return names, methods


def exists(place: str) -> bool:
    """A file or folder of the tree, named from its root, from a room or from a folder of a room."""
    if "/" not in place:
        return any(next((ROOT / room).rglob(place), None) for room in ROOMS)
    starts = [
        ROOT,
        *(ROOT / room for room in ROOMS),
        *(path for room in ROOMS for path in (ROOT / room).glob("*/")),
    ]
    return any((start / place).exists() for start in starts)


def test_everything_that_the_map_names_exists() -> None:
    names, methods = definitions()
    wrong = []
    for word in sorted(set(re.findall(r"`([^`\n]+)`", prose())) - WORDS):
        if re.search(r"[/ ]|\.(py|yaml|md)$", word):
            good = exists(word) or word.startswith("hwmodel ") or word == "best.yaml"
        elif "." in word:
            good = word in methods or all(part in names for part in word.split("."))
        else:
            good = word in names
        if not good:
            wrong.append(word)
    assert not wrong, f"docs/architecture.md names what is not in the code: {wrong}"


def test_every_folder_of_the_rooms_is_on_the_map() -> None:
    page = prose()
    folders = {path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    missing = [str(folder) for folder in folders if len(folder.parts) > 1 and f"`{folder.name}/`" not in page]
    assert not missing
