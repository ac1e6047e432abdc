"""Every study runs in its quick version, on stand-ins of its data, and its record says what it did."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reports.experiments.gallery import gallery_text
from reports.experiments.listing import scripts_in
from reports.experiments.record import Record

ROOT = Path(__file__).parents[2]
SCRIPTS = scripts_in(ROOT / "examples" / "studies")
RESULTS = ROOT / "docs" / "results"
#: Lines of a script; what it needs more belongs into the library.
LONGEST = 115


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_study_runs(script, data_folder, tmp_path):
    arguments = [sys.executable, str(script.path), "--quick", "--data", str(data_folder), "-o", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert answer.returncode == 0, answer.stderr
    assert "quick version" in answer.stdout
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
