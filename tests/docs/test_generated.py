"""The generated reference says everything that there is, and nothing twice."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from docs.generate import write_pages
from docs.generate.api import PAGES, api_pages
from docs.generate.commands import commands_page, walk
from docs.generate.keys import keys_of_chips, keys_of_explorations, keys_of_searches
from docs.generate.names import names_page
from docs.generate.tables import section_of, table
from hwmodel import list_accelerators
from hwmodel.chip.chipfile import ChipFile
from reports.cli import app
from search.explore.spec import ExploreSpec
from workloads import data_names, model_names


def test_every_option_of_every_command_is_there_with_its_help() -> None:
    page = commands_page()
    sections = dict(re.findall(r"^## (hwmodel .+)\n((?:(?!^## ).*\n?)*)", page, re.MULTILINE))
    assert len(sections) == len(list(walk())) >= 18
    for name, section in sections.items():
        shown = (
            CliRunner().invoke(app, [*name.split()[1:], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
        )
        options = set(re.findall(r"--[a-z][\w-]*", " ".join(re.findall(r"^│.*?--[\w-]+.*$", shown, re.MULTILINE))))
        written = set(re.findall(r"--[a-z][\w-]*", section))
        assert options - written <= {"--help"}, name
    empty = re.findall(r"^\| `(.+)` \|.*\|  \|$", page, re.MULTILINE)
    assert empty == []


@pytest.mark.parametrize("page", [keys_of_searches, keys_of_chips])
def test_every_key_has_a_meaning(page: Callable[[], str]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^|]+)` \| [^|]* \| (.*) \|$", page(), re.MULTILINE)
    assert len(rows) > 30
    assert [key for key, kind, meaning in rows if not meaning and kind != "section"] == []


def test_every_key_of_an_exploration_has_a_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^|]+)` \| [^|]* \| (.*) \|$", keys_of_explorations(), re.MULTILINE)
    assert [key for key, *_ in rows] == list(ExploreSpec.model_fields)
    assert all(meaning for *_, meaning in rows)


def test_keys_are_those_of_the_records() -> None:
    page = keys_of_chips()
    top = page.split("\n## ")[1]
    assert re.findall(r"^\| `(\w+)` ", top, re.MULTILINE) == list(ChipFile.model_fields)
    assert "| `size` | `float or unbounded` | required | of one instance. |" in page
    assert (
        "| `width` | `int` |  | of an access, of `sram` and `regfile`. |" in page
    )  # of the record that it extends


def test_everything_with_a_name_is_there() -> None:
    names = set(re.findall(r"^\| `([\w]+)` \|", names_page(), re.MULTILINE))
    assert {*list_accelerators(), *model_names(), *data_names(), "accuracy", "energy"} <= names


def test_every_public_name_is_told_once() -> None:
    told = Counter(re.findall(r"^\.\. [\w:]+:: ([\w.]+)$", "\n".join(api_pages().values()), re.MULTILINE))
    assert set(told.values()) == {1}
    last = Counter(name.rpartition(".")[2] for name in told)
    packages = [name for _, names in PAGES.values() for name in names]
    missing = [f"{p}.{n}" for p in packages for n in importlib.import_module(p).__all__ if n not in last]
    assert missing == []


def test_old_pages_are_swept(tmp_path) -> None:
    (tmp_path / "old.md").write_text("gone")
    write_pages(tmp_path)
    assert not (tmp_path / "old.md").exists()
    assert {"commands.md", "chip-file.md", "search-file.md", "names.md", "api-search.md"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_cells_and_docstrings_are_read() -> None:
    assert table(("a",), [["x|y <b> `c<d`"]]) == "| a |\n| --- |\n| x\\|y &lt;b> `c<d` |\n"

    def documented() -> None:
        """One.

        Args:
            a, b: of both: `{c: 1}`
                and on.
            d: last.

        Returns:
            nothing.
        """

    assert section_of(documented, "Args") == {
        "a": "of both: `{c: 1}` and on.",
        "b": "of both: `{c: 1}` and on.",
        "d": "last.",
    }
