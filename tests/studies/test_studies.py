"""Every study runs in its quick version, on stand-ins of its data, and its record says what it did."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import pytest
import torch

from reports.experiments.gallery import gallery_text
from reports.experiments.listing import scripts_in
from reports.experiments.record import Record

ROOT = Path(__file__).parents[2]
SCRIPTS = scripts_in(ROOT / "examples" / "studies")
RESULTS = ROOT / "docs" / "results"
#: Lines of a script; what it needs more belongs into the library.
LONGEST = 120


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_study_runs(script, data_folder, tmp_path, monkeypatch, capsys):
    """In this process, where the libraries are loaded; how a script ends as a command: `test_experiments.py`."""
    arguments = ["--quick", "--data", str(data_folder), "-o", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(script.path), *arguments])
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng([]), pytest.raises(SystemExit) as end:
        runpy.run_path(str(script.path), run_name="__main__")
    said = capsys.readouterr()
    assert end.value.code in (None, 0), said.err
    assert "quick version" in said.out
    record = Record.read(tmp_path / f"{script.name}.json")
    assert record.quick and record.finding and record.question == script.question
    assert record.tables and all(record.tables.values())
    assert record.figures
    for figure in record.figures:
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
    for name, rows in record.tables.items():
        with (tmp_path / f"{script.name}-{name}.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == len(rows)


def test_the_scripts_are_numbered_and_short():
    numbers = [script.number for script in SCRIPTS]
    assert len(set(numbers)) == len(numbers)
    assert [s.name for s in SCRIPTS if len(s.path.read_text().splitlines()) > LONGEST] == []


def test_the_gallery_is_that_of_its_records():
    records = [
        (s, Record.read(RESULTS / f"{s.name}.json")) for s in SCRIPTS if (RESULTS / f"{s.name}.json").exists()
    ]
    assert (RESULTS / "README.md").read_text() == gallery_text(records)
    known = {f"{record.name}.json" for _, record in records} | {f for _, r in records for f in r.figures}
    assert {path.name for path in RESULTS.iterdir()} - {"README.md"} == known
    assert not any(record.quick for _, record in records)


def table_of(name, table):
    return Record.read(RESULTS / f"{name}.json").tables[table]


def test_results_that_have_a_known_answer_have_it():
    """The published ends of the regression, the ladder that study 1 repeats, and the energies of LeNet-5."""
    ends = {row["method"]: [row[f"x{n}"] for n in range(5)] for row in table_of("sparse_regression", "3 equations")}
    assert ends["gradient descent"] == pytest.approx([-0.7476, 2.3894, -0.1226, 0.0313, -1.5649], abs=1.5e-4)
    for name in ("pruned to two", *(f"trimmed L1 {gamma}" for gamma in (1, 2, 5, 10))):
        assert ends[name] == pytest.approx([0, 3, 0, 0, -1], abs=1e-4)
    for cut, first, last in ((0.01, 2.95, -0.9583), (0.02, 2.9, -0.9167), (0.04, 2.8, -0.8333)):
        assert ends[f"proximal {cut}"] == pytest.approx([0, first, 0, 0, last], abs=1e-4)
    ladder = {row["bits"]: row["test"] for row in table_of("ptq_ladder", "before") if row["grid"] == "min-max"}
    assert ladder == {6: 0.9174, 5: 0.9123, 4: 0.8807, 3: 0.3465, 2: 0.1000}
    energies = {row["sums"]: row["bit operations"] for row in table_of("lenet_integers", "energy")}
    assert energies["18/18/18/18/18"] == 402_692_880
    assert energies["18/16/16/18/16"] == 395_774_080
