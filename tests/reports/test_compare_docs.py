"""docs/compare.md: its Python runs as printed, its console block is what the command prints, its options exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reports.cli import app

PAGE = (Path(__file__).parent.parent.parent / "docs" / "compare.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_python_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "compare.md", "exec"), notebook)
    assert (tmp_path / "roofline.png").stat().st_size > 10_000
    assert list(notebook["frame"]["accelerator"]) == ["eyeriss", "edge_npu"]


def test_the_console_block_is_what_the_command_prints() -> None:
    (block,) = [block for block in blocks("") if block.startswith("$ ")]
    command, _, shown = block.partition("\n")
    found = CliRunner(env={"COLUMNS": "96"}).invoke(app, command.split()[2:])
    assert [line.rstrip() for line in found.stdout.splitlines()] == [line.rstrip() for line in shown.splitlines()]


def test_every_option_that_the_page_names_exists() -> None:
    commands = {
        name: CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [name, "--help"]).stdout
        for name in ("cost", "map", "compare")
    }
    for line in (line for block in blocks("") for line in block.splitlines() if line.startswith("hwmodel ")):
        name, options = line.split()[1], re.findall(r"(?<!\S)--?[a-z][a-z-]*", line)
        assert [option for option in options if option not in commands[name]] == []
