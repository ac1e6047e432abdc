"""The programs and files of `examples` run and are valid. The pages that show them: `tests/docs`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hwmodel import load_accelerator, load_designs
from search import read_spec

ROOT = Path(__file__).parent.parent


def run(arguments, folder):
    answer = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(path, tmp_path):
    assert run([sys.executable, str(path)], tmp_path)


def test_the_files_of_the_examples_are_valid():
    assert load_accelerator(ROOT / "examples" / "my_chip.yaml").num_pes == 64
    designs = load_designs(ROOT / "examples" / "npu_ranges.yaml")
    assert len(designs) == 12
    assert designs.has_area
    assert designs.notes == ()
    assert read_spec(ROOT / "examples" / "demo.yaml").name == "demo"
