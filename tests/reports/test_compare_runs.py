"""Runs beside each other: what is compared, what is said not to be, on every width, as JSON and as a page."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from hwmodel.errors import ConfigError
from reports import compare_runs
from reports.cli import app
from reports.compare.sheet import write_comparison
from reports.compare.tables import notes, print_comparison
from reports.run.volume import Box
from reports.terminal.console import make_console
from search.front.objective import resolve_objectives
from search.front.results import Result
from tests.reports.conftest import NASTY
from tests.reports.runs import write_run

SPEC = "config.yaml"


def change(folder: Path, before: str, after: str, name: str = SPEC) -> Path:
    """A run with another line in a file of it."""
    path = folder / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two finished runs that differ in their seed."""
    first, second = write_run(tmp_path / "seed0"), write_run(tmp_path / "seed1")
    return first, change(second, "seed: 0", "seed: 5")


def run(*arguments: object, code: int = 0, columns: str = "200") -> Any:
    result = CliRunner(env={"COLUMNS": columns}).invoke(app, ["compare", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_equal_runs_tie_and_only_what_differs_is_listed(pair: tuple[Path, Path]) -> None:
    found = compare_runs(*pair)
    assert [item.name for item in found.runs] == ["seed0", "seed1"]
    assert [(item.key, item.values) for item in found.differences] == [("search.seed", ("0", "5"))]
    assert list(found.limits) == []
    assert found.against_first(found.runs[1]) == "tie"
    frame = found.to_dataframe().set_index("run")
    assert frame.loc["seed0", "picked"] == 4
    assert frame.loc["seed0", "test_accuracy"] == pytest.approx((180 + 184) / 400)
    assert frame.loc["seed0", "energy_pj"] == 4e6
    assert frame["hypervolume"].nunique() == 1


def test_a_clear_gain_is_no_tie(pair: tuple[Path, Path]) -> None:
    change(pair[1], '"correct": 180', '"correct": 110', "test.jsonl")
    found = compare_runs(*pair)
    first, second = found.to_dataframe()["test_accuracy"]
    assert found.against_first(found.runs[1]) == f"{(second - first) * 100:+.2f} points"


def test_the_hypervolume_has_one_reference_point_for_all(pair: tuple[Path, Path]) -> None:
    """Of QAT results in accuracy, average bits, energy: (0.94, b4, 4e6) and (0.85, b2, 2e6), in both runs."""
    found = compare_runs(*pair)
    assert [objective.name for objective in found.objectives] == ["accuracy", "avg_w_bits", "energy"]
    assert found.stage == "qat"
    reference = found.box.reference()  # 10 % of the range beyond 0.85 and 4 uJ
    assert "accuracy 0.841" in reference and "energy 4.2 uJ" in reference.replace("µ", "u")
    thin = 1 - 1 / 1.1  # of the box: what a point at the worst value of an axis still has there
    assert found.volume(found.runs[0]) == pytest.approx(thin**2 + thin - thin**3)
    assert any(found.box.reference() in text for text in notes(found))


def scored(number: int, correct: int, energy: float) -> Result:
    costs = {"energy_pj": energy, "avg_w_bits": 4.0}
    return Result(number=number, stage="ptq", key=str(number), correct=correct, total=100, costs=costs)


def test_a_box_counts_what_a_grid_counts() -> None:
    """Shares of the box, against counting the cells of a fine grid that some result dominates."""
    objectives = resolve_objectives(("accuracy", "energy"))
    values = np.random.default_rng(1).integers(0, 50, size=(12, 2))
    values[:3] = [(0, 50), (50, 40), (10, 0)]  # the ranges are 50, so the box reaches 5 beyond
    results = [scored(n, 40 + int(a), 10.0 + int(e)) for n, (a, e) in enumerate(values)]
    box = Box.of(results, objectives)
    assert box is not None
    a, e = values[:, 0], values[:, 1]
    grid_a, grid_e = np.meshgrid(np.arange(-5, 50) + 0.5, np.arange(0, 55) + 0.5)
    covered = ((grid_a[..., None] <= a) & (grid_e[..., None] >= e)).any(axis=-1)
    assert box.volume(results) == pytest.approx(covered.mean())
    history = box.history(results)
    assert len(history) == 12 and history == sorted(history)
    assert history[4] == pytest.approx(box.volume(results[:5]))


def test_other_data_and_other_chips_are_said_and_not_compared(pair: tuple[Path, Path]) -> None:
    change(pair[1], "data: digits", "data: synthetic")
    found = compare_runs(*pair)
    assert any("different data" in text for text in found.limits)
    assert found.objectives == () and found.against_first(found.runs[1]) == ""
    assert np.isnan(found.volume(found.runs[0]))


def test_on_another_chip_average_bits_are_left(pair: tuple[Path, Path]) -> None:
    manifest = json.loads((pair[1] / "study.json").read_text())
    manifest.pop("hash", None)
    (pair[1] / "study.json").write_text(json.dumps({**manifest, "accelerator": "other (0123)"}))
    found = compare_runs(*pair)
    assert any("Costs that need a chip are of different ones" in text for text in found.limits)
    assert [objective.name for objective in found.objectives] == ["accuracy", "avg_w_bits"]
    assert ("accelerator", "other (0123)") in [(item.key, item.values[1]) for item in found.differences]


def test_an_unfinished_run_is_said(tmp_path: Path) -> None:
    found = compare_runs(write_run(tmp_path / "a"), write_run(tmp_path / "b", finished=False))
    assert any(text.startswith("b is not finished") for text in found.limits)
    assert "unfinished" in run(tmp_path / "a", tmp_path / "b").stdout


def test_two_runs_are_needed_and_each_once(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="two runs at least, but got 1"):
        compare_runs(pair[0])
    with pytest.raises(ConfigError, match="each run once"):
        compare_runs(pair[0], pair[1] / ".." / "seed0")
    assert "two runs at least" in run(pair[0], code=2).stderr
    assert "holds no ledger.jsonl" in run(pair[0], pair[0].parent, code=3).stderr
    assert "must end in .html" in run(*pair, "-o", "page.pdf", code=2).stderr


@pytest.mark.parametrize("width", [40, 80, 120, 220])
def test_the_terminal_holds_it_at_every_width(pair: tuple[Path, Path], width: int) -> None:
    nasty = pair[1].rename(pair[1].with_name("[red]<b>" + "x" * 60))
    change(nasty, "checkpoint:\n", f"checkpoint: {'w' * 60}\n")
    stream = io.StringIO()
    console = make_console(stream)
    console.width = width
    print_comparison(console, compare_runs(pair[0], nasty))
    lines = stream.getvalue().splitlines()
    assert all(cell_len(line) <= width for line in lines)
    text = "".join(line.strip() for line in lines).replace(" ", "")
    for said in ("[red]<b>" + "x" * 60, "search.seed", "4.00µJ", "91.00%", "tie", "--jsonhasthemwhole"):
        assert said in text


def test_json_and_csv(pair: tuple[Path, Path]) -> None:
    data = json.loads(run(*pair, "--json").stdout)
    assert [item["run"] for item in data["runs"]] == ["seed0", "seed1"]
    assert data["differences"] == [{"key": "search.seed", "values": ["0", "5"]}]
    assert data["objectives"] == ["accuracy", "avg_w_bits", "energy"]
    frame = pd.read_csv(io.StringIO(run(*pair, "--csv", "-").stdout))
    assert list(frame["test_low"]) == [item["test_low"] for item in data["runs"]]


class Page(HTMLParser):
    """Tags, text, and what would be loaded."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.loaded += [
            value for key, value in attrs if key in ("src", "srcset", "href") and not value.startswith("#")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_one_file_without_a_script(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "compare.html"
    assert "the same as a page" in run(*pair, "-o", out).stderr
    page = Page(out.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert page.loaded and all(value.startswith("data:image/svg+xml;base64,") for value in page.loaded)
    assert page.tags.count("figure") == 4  # a front over each of three costs, and the hypervolume
    assert all(
        text in page.text for text in ("seed0", "seed1", "search.seed", "tie", "91.00 %", "Layers of the picks")
    )
    assert NASTY.replace("\x1b", "\\x1b") in page.text
    assert write_comparison(out, compare_runs(*pair)).read_text(encoding="utf-8") == out.read_text(encoding="utf-8")
