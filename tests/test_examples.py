"""What the examples and the README show runs as shown."""

from __future__ import annotations

import re
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


def test_the_program_of_the_readme_runs(tmp_path):
    program = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert program
    assert len(program[1].splitlines()) <= 20
    (tmp_path / "readme.py").write_text(program[1])
    assert run([sys.executable, "readme.py"], tmp_path).startswith("4.0\n")


def test_the_examples_of_smaller_architectures_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "smaller.md").read_text(), re.DOTALL)
    (tmp_path / "smaller.py").write_text("\n".join(blocks))
    answer = run([sys.executable, "smaller.py"], tmp_path)
    assert "layers changed" in answer
    assert "MB on disk" in answer
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"adapters.safetensors", "small.safetensors"}


def test_the_programs_of_proposing_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "proposing.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / f"own{number}.py").write_text(block)
    run([sys.executable, "own0.py"], tmp_path)
    front = run([sys.executable, "own1.py"], tmp_path)
    assert front.startswith("[(") and front.count("(") >= 4


def test_the_readme_shows_the_demo_as_it_is():
    """The widths and images of its table are those of the file that `make demo` runs."""
    text = " ".join((ROOT / "README.md").read_text().split())
    spec = read_spec(ROOT / "examples" / "demo.yaml")
    table = text[text.index("`make demo` searches") : text.index("## Your own model")]
    assert f"({spec.data_options['test']} images" in table
    named = re.findall(r"uniform (W\d+A\d+)", table)
    assert named and set(named) <= set(spec.search.uniform)
    assert f"mean of {spec.search.test_seeds} seeds" in table
