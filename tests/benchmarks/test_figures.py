"""The reference figures: there, each with its source, read by something, and missed where they are absent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import fidelity
from benchmarks.replays.figures import COMMITTED, VARIABLE, figures, figures_path

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in COMMITTED.glob("*.json"))


def sources() -> dict[str, list[str]]:
    """File -> its other columns in the README of the figures."""
    rows = re.findall(r"^\| `(\w+\.json)` \|(.*)\|$", (COMMITTED / "README.md").read_text(), re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in rows}


def test_every_file_has_its_source_and_terms():
    assert sorted(sources()) == FILES
    for name, cells in sources().items():
        assert len(cells) == 4, name
        assert all(cells), name


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read(name):
    readers = [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in readers if path != Path(__file__)]
    assert any(f'figures("{name}")' in text for text in texts)


def test_every_kind_has_its_file(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    kinds = {name: cells[3].strip("`") for name, cells in sources().items() if cells[3] != "-"}
    assert {form.figures: kind for kind, form in fidelity.FORMATS.items()} == kinds
    for kind, form in fidelity.FORMATS.items():
        assert fidelity.mismatch(figures(form.figures), form) == "", kind


def test_another_folder_replaces_the_committed_one(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text("[1]")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert figures("x.json") == [1]
    with pytest.raises(FileNotFoundError, match=f"must be there, but are not. Point {VARIABLE} to a folder"):
        figures(FILES[0])  # nothing is taken from the committed ones behind the user's back


def test_absent_figures_are_an_error(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=r"absent\.json: reference figures must be there"):
        figures_path("absent.json")


def test_a_kind_without_a_file_replays_the_committed_one(tmp_path, monkeypatch, capsys):
    """Nobody has to name a file; one that was named wins, and one that is absent is said."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert fidelity.main(["scalesim", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["cases"]) == len(figures("scalesim_cycles.json")["rows"])
    own = {"layers": figures("scalesim_cycles.json")["layers"], "rows": figures("scalesim_cycles.json")["rows"][:3]}
    (tmp_path / "own.json").write_text(json.dumps(own))
    assert fidelity.main(["scalesim", str(tmp_path / "own.json"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 3
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert fidelity.main(["scalesim"]) == 3
    assert "scalesim_cycles.json: reference figures must be there" in capsys.readouterr().err
