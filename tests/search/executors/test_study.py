"""A search with many hands: killed anywhere, it ends with what an undisturbed one of as many hands finds."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hwmodel.errors import ConfigError
from search.executors import Engine, InProcess, Processes, factory_of
from search.job import resume_job, run_job
from search.scoring import Evaluator
from search.space import Space
from search.study import Study
from tests.search.executors.toys import Fragile, Given, Linear, is_running, wait_until
from tests.search.helpers import make_graph
from tests.search.test_interrupt import essence
from tests.search.test_materials import DATA, MODEL, SPEC

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
ROOT = Path(__file__).parents[3]
TRIALS, QAT, WORKERS = 9, 3, 2


def search(folder: Path, marks: Path) -> Study:
    graph = make_graph()
    scorer = Fragile(marks)
    study = Study.create_or_resume(folder, graph=graph, space=Space.from_graph(graph), evaluate=scorer, name="run")
    with Processes(factory_of(scorer), WORKERS, threads=1) as pool:
        study.run(trials=TRIALS, qat=QAT, executor=pool)
    return study


def test_workers_and_drivers_are_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    for name in ("marks", "more marks"):
        (tmp_path / name).mkdir()
    whole = search(tmp_path / "whole", tmp_path / "marks")
    assert list((tmp_path / "marks").iterdir()), "some workers were killed"
    assert all(result.is_done for result in whole.results())
    script = tmp_path / "drive.py"
    script.write_text(
        "if __name__ == '__main__':  # workers import this file, too: nothing heavy above\n"
        "    import sys\n    from pathlib import Path\n    from tests.search.executors.test_study import search\n"
        "    search(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    ledger = tmp_path / "run" / "ledger.jsonl"
    command = [sys.executable, str(script), str(ledger.parent), str(tmp_path / "more marks")]
    counts = []
    for lines in (3, TRIALS + 2):
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as driver:
            wait_until(lambda lines=lines: ledger.exists() and ledger.read_bytes().count(b"\n") >= lines)
            children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children")
            workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
            driver.kill()
        for pid in workers:
            wait_until(lambda pid=pid: not is_running(pid))
        counts.append(ledger.read_bytes().count(b"\n"))
    assert 3 <= counts[0] < counts[1] <= len(whole.results())
    assert essence(search(ledger.parent, tmp_path / "more marks").results()) == essence(whole.results())


def records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "ledger.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("wall_s", "hash")} for line in lines]


def test_a_job_with_one_worker_leaves_what_one_without_does(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "data.py").write_text(DATA)
    (tmp_path / "s.yaml").write_text(SPEC.format(data="data.py:pairs"))
    run_job(tmp_path / "s.yaml", tmp_path / "here", device="cpu")
    run_job(tmp_path / "s.yaml", tmp_path / "there", device="cpu", engine=Engine(workers=1))
    assert records(tmp_path / "there") == records(tmp_path / "here")
    names = {path.name for path in (tmp_path / "here" / "checkpoints").iterdir()}
    assert {path.name for path in (tmp_path / "there" / "checkpoints").iterdir()} == names
    for name in names:
        mine, theirs = (tmp_path / side / "checkpoints" / name for side in ("here", "there"))
        assert mine.read_bytes() == theirs.read_bytes()
    resume_job(tmp_path / "there", device="cpu", engine=Engine(workers=2))
    assert records(tmp_path / "there") == records(tmp_path / "here"), "finished before anybody was asked"


def test_a_save_of_ones_own_is_given_a_state_by_workers(tmp_path: Path) -> None:
    kinds, saved = [], []
    for name, pool in (("here", InProcess(Evaluator(Linear()))), ("there", Processes(Given(Linear()), 1))):
        kind: set[str] = set()

        def save(path: Path, model: Any, notes: dict[str, str], kind: set[str] = kind) -> None:
            kind.add(type(model).__name__)
            torch.save(model.state_dict(), path)

        graph, folder = make_graph(), tmp_path / name
        study = Study.create_or_resume(
            folder, graph=graph, space=Space.from_graph(graph), evaluate=Linear(), name="run", save=save
        )
        with pool:
            study.run(trials=2, qat=2, executor=pool)
        kinds.append(kind)
        saved.append(
            {path.name: torch.load(io.BytesIO(path.read_bytes())) for path in (folder / "checkpoints").iterdir()}
        )
    assert kinds == [{"Linear"}, {"CarriedState"}]
    assert saved[0].keys() == saved[1].keys() and saved[0]
    for name, state in saved[0].items():
        assert state.keys() == saved[1][name].keys() == {"weight", "bias"}
        assert all(torch.equal(value, saved[1][name][key]) for key, value in state.items())


def test_an_engine_is_what_was_asked_for() -> None:
    assert Engine.of(None, None, None) is None
    assert Engine.of(None, 3, None) == Engine(workers=3)
    assert Engine.of("ray", None, "auto") == Engine(name="ray", address="auto")
    with pytest.raises(ConfigError, match=r"address: only engine ray has one, but got 'auto'\. Add --engine ray"):
        Engine.of(None, 2, "auto")
    with pytest.raises(ConfigError, match=r"engine must be one of processes, ray, but got 'rey'"):
        Engine.of("rey", None, None)
