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
        "resident:",
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


def lemmas(text: str) -> set[int]:
    """Numbers of the lemmas that a text names: `Lemma 3`, `Lemmas 10 and 11`, `Lemmas 4 to 9`."""
    found: set[int] = set()
    for words in re.findall(r"Lemmas? (\d+(?:(?:, | and | to )\d+)*)", " ".join(text.split())):
        numbers = [int(number) for number in re.findall(r"\d+", words)]
        found |= set(range(numbers[0], numbers[1] + 1)) if " to " in words else set(numbers)
    return found


def test_every_lemma_that_is_named_is_stated_and_used() -> None:
    page = (ROOT / "docs" / "explain" / "mapper.md").read_text(encoding="utf-8")
    stated = [int(number) for number in re.findall(r"^\*\*Lemma (\d+) ", page, re.MULTILINE)]
    assert stated == list(range(1, len(stated) + 1))
    code = {number for path in (ROOT / "hwmodel").rglob("*.py") for number in lemmas(path.read_text("utf-8"))}
    pages = {number for path in (ROOT / "docs").rglob("*.md") for number in lemmas(path.read_text("utf-8"))}
    assert code | pages <= set(stated)
    assert set(stated) - code <= {1}, "a lemma that no function rests on"


def test_the_pages_of_the_cost_model_name_what_exists() -> None:
    code = "\n".join(path.read_text("utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    code += "\n".join(path.read_text("utf-8") for path in (ROOT / "hwmodel" / "accelerators").glob("*.yaml"))
    for name in ("mapper.md", "cost-model.md"):
        page = re.sub(r"```.*?```", "", (ROOT / "docs" / "explain" / name).read_text("utf-8"), flags=re.DOTALL)
        for word in set(re.findall(r"`([\w./]+)`", page)):
            known = (
                exists(word) or any(ROOT.glob(f"tests/**/{word}")) or f"/{word}" in page or word.startswith("test_")
            )
            known = known or bool(re.search(rf"\b{re.escape(word.split('.')[-1])}\b", code))
            assert known, f"docs/explain/{name} names {word}, which is not in the code"
