"""A whole job with every fidelity, from a file: on real networks, and resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from search.front.results import Result
from search.job import run_job
from search.ledger import read_results
from search.materials import Materials
from search.observer import Observer
from search.rungs.fidelities import read_rungs
from search.spec import parse_spec
from tests.search.conftest import NET
from tests.search.rungs.toys import Listening

SPEC = """
name: tiny
model: net.py:build
data: synthetic
data_options: {shape: [1, 8, 8], num_classes: 4, train: 96, validation: 1200, test: 50}
objectives: [accuracy, avg_w_bits]
space: {w_bits: [2, 4, 8], a_bits: [4, 8]}
search: {trials: 2, qat: 4, test_seeds: 1, rungs: [0.5], warm: true, stop_at: [0.5]}
training:
  float: {epochs: 10, batch_size: 16, optimizer: adam, lr: 0.01}
  qat: {epochs: 2, batch_size: 16}
"""


def essence(results: tuple[Result, ...]) -> list[tuple[object, ...]]:
    return [(r.key, r.stage, r.origin, r.correct, r.total, r.seed, r.share, dict(r.curve)) for r in results]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fidelities")
    (folder / "net.py").write_text(NET)
    run_job(parse_spec(SPEC, folder=folder), folder / "run", device="cpu")
    return folder


def test_short_warm_and_full_runs_of_a_real_network(place: Path) -> None:
    results = read_results(place / "run")
    finetuned = [result for result in results if result.stage != "ptq"]
    assert [r.stage for r in finetuned] == [*2 * ["short"], "qat", *3 * [*2 * ["warm"], "qat"]]
    assert all(result.is_done for result in results)
    full = [result for result in finetuned if result.stage == "qat"]
    assert all(set(result.curve) == {"0.5"} for result in full)
    assert {report.stage for report in read_rungs(place / "run")} == {"short", "warm"}
    materials = Materials(
        spec=parse_spec(SPEC, folder=place), folder=place / "run", observer=Observer(), device="cpu"
    )
    for result in full:
        if (place / "run" / result.checkpoint).exists():
            again = materials.scorer.qat(materials.space.config(result.point), result.seed)[0]
            assert (result.correct, result.total) == (again.correct, again.total), "as trained from the float model"


def test_single_changes_saw_parts_of_the_images(place: Path) -> None:
    scores = json.loads((place / "run" / "sensitivity.json").read_text())["scores"]
    assert scores[0]["total"] == 1200
    assert {score["total"] for score in scores[1:]} < {500, 1000, 1200}
    assert min(score["total"] for score in scores[1:]) < 1200
    assert {result.total for result in read_results(place / "run")} == {1200}


def test_cut_anywhere_the_ledger_grows_again_to_the_same(place: Path, tmp_path: Path) -> None:
    shutil.copy(place / "net.py", tmp_path)
    whole = read_results(place / "run")
    shutil.copytree(place / "run", tmp_path / "run")
    ledger = tmp_path / "run" / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[: len(lines) // 2]))
    heard = Listening()
    spec = parse_spec(SPEC, folder=place)  # the network of before: its path belongs to the study
    run_job(spec, tmp_path / "run", device="cpu", progress=heard)
    assert essence(read_results(tmp_path / "run")) == essence(whole)
    assert any(text.startswith("Rung 0.5: 6 warm runs, 3 of them with a full one") for text in heard.said)
