"""Runs the blocks of a page as printed, from top to bottom, in a folder of their own.

- `python`: the blocks of a page share their names. What they print is compared with the `text` block that follows.
- `console`: every line behind `$` is a command; what it prints is compared with the lines below it, and if there
  are none it only has to succeed. A code of exit other than 0 is printed as `[exit 3]`.
- `yaml`: a whole file is read by what reads such files; a part of one is read in the frame of a small whole one.
- A block whose first line is the name of a file (`# net.py`) is that file.

`...` in an output stands for any text. A remark `numbers vary` lets every number be another one, and with it where
lines and columns break.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from typer.testing import CliRunner

from hwmodel import load_accelerator, load_designs
from reports.cli import app
from search import read_spec
from search.explore.spec import read_explore_spec
from tests.docs.blocks import ROOT, Block, read_blocks

#: Columns of the terminal that the commands of the pages print on.
WIDTH = 100
#: What the remark `numbers vary` lets differ.
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
#: Small whole files, in which parts are read.
SEARCH_FRAME = {"model": "resnet8", "data": "digits", "accelerator": "edge_npu"}
CHIP_FRAME = ROOT / "examples" / "my_chip.yaml"
#: What the words of a command are made of that only a shell can read.
SHELL = frozenset("|<>;&()")


def normal(text: str) -> str:
    """A text without the white space at the ends of its lines, and without empty lines around it."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def matches(shown: str, printed: str, *, any_number: bool = False) -> bool:
    """Whether a program printed what the page shows, `...` standing for any text."""
    shown, printed = normal(shown), normal(printed)
    if any_number:
        shown, printed = (re.sub(r"\s+", " ", NUMBER.sub("0", text)) for text in (shown, printed))
    pattern = ".*".join(re.escape(part) for part in shown.split("..."))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def commands(block: Block) -> list[tuple[str, str]]:
    """The commands of a console block with the output that is shown below each."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (found[-1][0][:-1] + line.strip(), "")
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        else:
            raise ValueError(f"{block.place} a console block begins with a command: $ hwmodel ...")
    return found


def run_command(command: str) -> str:
    """What a command prints, both streams as they come, with its code of exit where that is not 0."""
    reader = shlex.shlex(command, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words = list(reader)
    if words[0] == "hwmodel" and not any(SHELL.issuperset(word) for word in words):
        result = CliRunner().invoke(app, words[1:], prog_name="hwmodel")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        output, code = result.output, result.exit_code
    else:
        answer = subprocess.run(
            ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        output, code = answer.stdout, answer.returncode
    return output if code == 0 else f"{output}[exit {code}]\n"


def read_as_file(block: Block, folder: Path) -> None:
    """Reads a block of YAML as the file that it is, or in a frame, as its remark says.

    Raises:
        ConfigError: what is wrong with it.
    """
    if block.remark == "part of a search file":
        _write(folder / "part.yaml", {**SEARCH_FRAME, **_parsed(block.text)})
        read_spec(folder / "part.yaml")
    elif block.remark == "part of a chip file":
        _write(folder / "part.yaml", _merged(_parsed(CHIP_FRAME.read_text()), _parsed(block.text)))
        load_designs(folder / "part.yaml") if "sweep" in block.text else load_accelerator(folder / "part.yaml")
    else:
        path = folder / (block.file_name or "whole.yaml")
        path.write_text(block.text)
        if "models" in _parsed(block.text):
            read_explore_spec(path)
        elif "model" in _parsed(block.text):
            read_spec(path)
        elif "sweep" in _parsed(block.text):
            load_designs(path)
        else:
            load_accelerator(path)


def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _write(path: Path, content: Any) -> None:
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)


def _merged(whole: Any, part: Any) -> Any:
    """A chip file with the sections of a part in the place of its own; memories replace those of the same name."""
    if isinstance(part, list):  # entries of `memories`
        part = {"memories": part}
    memories = {entry["name"]: entry for entry in (*whole["memories"], *part.pop("memories", ()))}
    return {**whole, **part, "memories": sorted(memories.values(), key=lambda entry: entry["size"] == "unbounded")}


@dataclass
class PageRun:
    """A page that runs in a folder.

    Attributes:
        folder: the folder that its blocks run in; `examples` in it are those of the project.
        names: what its blocks of Python have defined so far.
        printed: what the last block of Python printed.
    """

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str = ""

    def run_page(self, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Runs all blocks of a page in the folder, on a terminal of known width, and forgets the modules it had."""
        monkeypatch.chdir(self.folder)
        monkeypatch.syspath_prepend(str(self.folder))
        monkeypatch.setenv("COLUMNS", str(WIDTH))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        (self.folder / "examples").symlink_to(ROOT / "examples")
        before = set(sys.modules)
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            try:
                for block in read_blocks(page):
                    self.run(block)
            finally:
                for name in set(sys.modules) - before:
                    if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(self.folder)):
                        del sys.modules[name]

    def run(self, block: Block) -> None:
        """Runs one block, or reads it where it is marked as one that is not run.

        Raises:
            Exception: what its code raises, or that its output is not the one that the page shows.
        """
        if block.remark == "not run":
            self.check_only(block)
        elif block.language == "python":
            self.run_python(block)
        elif block.language == "console":
            self.run_console(block)
        elif block.language == "yaml":
            read_as_file(block, self.folder)
        elif block.follows:
            self.compare(block, block.text, self.printed)
        else:
            raise ValueError(f"{block.place} a text that is no output is marked: <!-- not run: REASON -->")

    def check_only(self, block: Block) -> None:
        """What holds of a block that is not run: Python compiles, and commands have these options."""
        if block.language == "python":
            compile(block.text, block.place, "exec")
        if block.language == "console":
            for command, _ in commands(block):
                words = shlex.split(command, comments=True)
                if words[0] == "hwmodel":
                    assert_options_exist(words[1:], block.place)

    def run_python(self, block: Block) -> None:
        if block.file_name:
            path = self.folder / block.file_name
            path.write_text(block.text)
            names = {"__name__": path.stem, "__file__": str(path)}
        else:
            names = self.names
        output = io.StringIO()
        code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
        with contextlib.redirect_stdout(output):
            exec(code, names)
        self.printed = output.getvalue()

    def run_console(self, block: Block) -> None:
        for command, shown in commands(block):
            printed = run_command(command)
            failed = re.search(r"\[exit \d+\]$", printed.strip())
            if shown.strip() or failed:
                self.compare(block, shown, printed, f"$ {command}\n")

    def compare(self, block: Block, shown: str, printed: str, what: str = "") -> None:
        if not matches(shown, printed, any_number=block.remark == "numbers vary"):
            raise AssertionError(f"{block.place} {what}shows\n{normal(shown)}\n\nbut it is\n{normal(printed)}")


def assert_options_exist(words: list[str], place: str) -> None:
    """Every option of a command line is one of the command's."""
    import typer

    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"{place} no command '{words[0]}'"
        command, words = command.commands[words[0]], words[1:]
    names = (name for option in command.params for name in (*option.opts, *option.secondary_opts))
    known = {"--help", "-h", *names}
    for option in (word.partition("=")[0] for word in words if word.startswith("-") and word != "-"):
        assert option in known, f"{place} no option {option}"
