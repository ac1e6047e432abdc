"""What a shell offers at TAB, as it asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwmodel import list_accelerators
from reports.commands import completing
from workloads import data_names, model_names
from workloads.names import DATA, MODELS

HWMODEL = [sys.executable, "-c", "import sys; sys.argv[0] = 'hwmodel'; from reports.cli import app; app()"]


def completed(line: str, folder: Path) -> list[str]:
    """The words that bash is offered for the last one of a line."""
    position = str(line.count(" "))
    env = {**os.environ, "_HWMODEL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": position}
    answer = subprocess.run(HWMODEL, env=env, cwd=folder, capture_output=True, text=True, check=True)
    return answer.stdout.split("\n")[:-1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "runs" / "r20").mkdir(parents=True)
    (tmp_path / "runs" / "r20" / "study.json").write_text("{}")
    (tmp_path / "runs" / "notes").mkdir()
    for name in ("net.onnx", "net.yaml", "net.txt", ".hidden.yaml"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hwmodel cost resnet1", ["resnet18"]),
        ("hwmodel cost lenet5 --hw eyer", ["eyeriss", "eyeriss_v2"]),
        ("hwmodel resume runs/", ["runs/notes/", "runs/r20"]),
        ("hwmodel ladder lenet5 --data di", ["digits"]),
        ("hwmodel expl", ["explore"]),
    ],
)
def test_bash_is_offered_names(line: str, words: list[str], place: Path) -> None:
    assert completed(line, place) == words


def test_files_that_may_stand_there_are_offered_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert completing.models("ne") == ["net.onnx"]
    assert completing.accelerators("n") == [*(n for n in list_accelerators() if n[0] == "n"), "net.yaml"]
    assert completing.accelerators(".h") == [".hidden.yaml"]
    assert completing.configurations("") == ["runs/", "net.yaml"]
    assert completing.layers("lenet") == ["lenet5:"]
    assert completing.runs("absent/") == []
    assert completing.runs(f"{place}/ru") == [f"{place}/runs/"]


def test_the_names_are_those_that_load() -> None:
    assert list(MODELS) == model_names()
    assert list(DATA) == data_names()


def test_a_completion_loads_nothing_heavy() -> None:
    code = (
        "import sys; from reports.commands import completing as c; c.models(''), c.accelerators(''), c.data('');"
        "print([m for m in ('torch', 'optuna', 'matplotlib', 'pandas', 'scipy', 'numba') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
