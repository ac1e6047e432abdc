"""The rooms of `reports`: commands are signatures, jobs their bodies, and each room looks only down."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hwmodel.errors import did_you_mean
from reports import jobs
from reports.exits import EXIT_CODES, Exit

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "reports").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
#: Where a room stands; it imports lower ones and itself.
HEIGHT = {
    "units": 0,
    "exits": 0,
    "run": 1,
    "figures": 2,
    "terminal": 2,
    "live": 3,
    "page": 3,
    "experiments": 4,
    "sheets": 4,
    "jobs": 5,
    "compare": 6,
    "explore": 6,
    "commands": 7,
    "cli": 8,
}


def room(path: Path) -> str:
    return path.relative_to(ROOT / "reports").with_suffix("").parts[0]


def imports(tree: ast.AST, *, late: bool) -> list[str]:
    """Modules of our own that are imported in functions, or all others; not those for type checkers only."""
    found: list[str] = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.ImportFrom) and inside == late:
                found.extend(
                    [child.module] if child.module != "reports" else [f"reports.{a.name}" for a in child.names]
                )
            if isinstance(child, ast.Import) and inside == late:
                found.extend(alias.name for alias in child.names)
            visit(child, inside or isinstance(child, ast.FunctionDef | ast.Lambda))

    visit(tree, False)
    return [name for name in found if name.split(".")[0] in ("hwmodel", "workloads", "search", "reports")]


def test_every_room_looks_only_down() -> None:
    upward = [
        (str(path.relative_to(ROOT)), name)
        for path in FILES
        if room(path) != "__init__"
        for name in imports(ast.parse(path.read_text()), late=False)
        + imports(ast.parse(path.read_text()), late=True)
        if name.startswith("reports.") and name.split(".")[1] != room(path)
        if HEIGHT[name.split(".")[1]] >= HEIGHT[room(path)]
    ]
    assert upward == []


def test_only_torch_is_waited_for() -> None:
    """`from hwmodel import x` within a function hides what a file needs; what loads torch may come late."""
    late = {
        (str(path.relative_to(ROOT)), name)
        for path in FILES
        for name in imports(ast.parse(path.read_text()), late=True)
    }
    assert {name.split(".")[0] for _, name in late} == {"workloads"}
    torch_needed = {"reports/experiments/experiment.py", "reports/figures/curves.py", "reports/jobs/models.py"}
    assert {path for path, _ in late} == torch_needed


#: What a shell asks to complete a word stands beside the commands, and is none.
COMMANDS = [path for path in FILES if room(path) == "commands" and path.stem != "completing"]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_is_a_signature_and_the_call_of_its_job(path: Path) -> None:
    for item in TREES[path].body:
        if not isinstance(item, ast.FunctionDef):
            continue
        text, call = item.body
        assert ast.get_docstring(item), f"{item.name}: its docstring is its --help"
        assert isinstance(text, ast.Expr)
        assert isinstance(call, ast.Expr)
        assert isinstance(call.value, ast.Call)
        assert re.fullmatch(r"jobs\.\w+", ast.unparse(call.value.func))
        assert ast.unparse(call.value.func).removeprefix("jobs.") in jobs.__all__
        passed = {node.id for node in ast.walk(call.value) if isinstance(node, ast.Name)} - {"jobs"}
        assert passed == {argument.arg for argument in item.args.args}, f"{item.name} drops an argument"


def test_every_job_is_found() -> None:
    for name in jobs.__all__:
        module = getattr(jobs, name).__module__
        assert module.startswith(("reports.jobs.", "reports.compare.", "reports.explore.")), did_you_mean(
            name, dir(jobs)
        )


def test_exit_codes_are_numbers_in_one_place() -> None:
    assert [int(code) for code in Exit] == [0, 2, 3, 4, 130]
    numbers = [
        ast.unparse(node)
        for path in FILES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call) and re.search(r"\b(Exit|exit)$", ast.unparse(node.func))
        for argument in node.args
        if isinstance(argument, ast.Constant)
    ]
    assert numbers == []
    readme = " ".join((ROOT / "README.md").read_text().split())
    sentence = re.search(r"Exit codes: [^.]*\.", readme)
    assert sentence
    assert (
        re.findall(r"\d+", sentence.group()) == [str(int(code)) for code in Exit] == re.findall(r"\d+", EXIT_CODES)
    )
