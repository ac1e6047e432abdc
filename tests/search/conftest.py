"""A whole job on a tiny network and synthetic images, run once for all tests that read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.job import JobResult, run_job
from search.spec import SearchSpec, parse_spec

NET = """
from torch import nn

def build(num_classes=4):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
    )
"""
SPEC = """
name: tiny
model: net.py:build
data: synthetic
data_options: {{shape: [1, 8, 8], num_classes: 4, train: 96, validation: 60, test: 50}}
accelerator: loop_nest
objectives: [accuracy, energy]
search: {{trials: {trials}, qat: {qat}, test_seeds: 2, uniform: {uniform}}}
training:
  float: {{epochs: 10, batch_size: 16, optimizer: adam, lr: 0.01}}
  qat: {{epochs: {epochs}, batch_size: 16}}
"""
QAT, TEST_SEEDS = 4, 2


def make_spec(folder: Path, *, trials: int = 7, qat: int = QAT, epochs: int = 1) -> SearchSpec:
    (folder / "net.py").write_text(NET)
    text = SPEC.format(trials=trials, qat=qat, epochs=epochs, uniform="[W4A8]" if qat else "[]")
    return parse_spec(text, folder=folder)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job")


@pytest.fixture(scope="session")
def job(place: Path) -> JobResult:
    return run_job(make_spec(place), place / "run", command="hwmodel search tiny.yaml", device="cpu")
