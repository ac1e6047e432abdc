"""The last finetunings of a run are jobs like all others: of workers, of batches, and each may fail alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.executors import Engine, Executor, InProcess, Processes
from search.finaltest import TESTS, FinalRecord, measure_front, read_tests
from search.front.results import Result
from search.job import JobResult, resume_job
from search.scoring import Evaluator
from search.seeds import derive_seed
from tests.search.executors.test_inprocess import Batching
from tests.search.executors.toys import Heard, Toy, config_of, correct_of, tries_of
from tests.search.helpers import Count

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def measured(folder: Path, pool: Executor, *acts: str, test_seeds: int = 2) -> tuple[list[FinalRecord], list[str]]:
    """The records of a front that does these things, and what was said. The test split gives 880 of 1000."""
    front = []
    for number, act in enumerate(acts):
        config = config_of(act, number)
        front.append(
            Result(number=number, stage="qat", config=config.to_dict(), key=config.key, correct=9, total=10)
        )
    scorer = SimpleNamespace(float_accuracy=lambda: Count(9), validation=lambda model: Count(9, 10),
                             test=lambda model: Count(880))  # fmt: skip
    materials: Any = SimpleNamespace(
        folder=folder, scorer=scorer, float_model=None, rebuild=lambda result: None,
        as_model=lambda config, found: found, spec=SimpleNamespace(search=SimpleNamespace(seed=0)),
    )  # fmt: skip
    heard = Heard()
    measure_front(materials, front, test_seeds, heard, pool)
    return [record for record in read_tests(folder) if record.stage == "qat"], heard.said


def test_workers_leave_the_file_that_the_driver_leaves(job: JobResult, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(job.folder, folder)
    here = (folder / TESTS).read_bytes()
    runs = [record.run for record in read_tests(folder)]
    assert runs.count(1) == sum(result.stage == "qat" for result in job.front) > 1
    (folder / TESTS).unlink()
    resume_job(folder, device="cpu", engine=Engine(workers=2))
    assert (folder / TESTS).read_bytes() == here


def test_a_repeat_costs_itself_alone(tmp_path: Path) -> None:
    acts = ("good", "kill", "memory", "nan", "hang", "good")
    with Processes(Toy(tmp_path), 2, timeout_s=5.0) as pool:
        records, said = measured(tmp_path, pool, *acts)
    assert [(record.key, record.run) for record in records] == [
        (config_of(act, n).key, run) for n, act in enumerate(acts) for run in range(2)
    ]
    killed = "WorkerDied: killed by SIGKILL (out of memory, or by hand)"
    memory, nan = "MemoryError: ", "ScoreError: accuracy: must lie in [0, 1], but got nan."
    late = "TimeoutError: took longer than 5 s"
    assert [record.error for record in records if record.run] == ["", killed, memory, nan, late, ""]
    for record in records:
        assert (record.correct, record.total) == ((0, 0) if record.error else (880, 1000))
    repeats = [record for record in records if record.run and not record.error]
    assert [(r.validation_correct, r.seed) for r in repeats] == [
        (correct_of(config_of("good", n)), derive_seed(0, "test", config_of("good", n).key, 1)) for n in (0, 5)
    ]
    tries = [len(tries_of(tmp_path, config_of(act, n))) for n, act in enumerate(acts)]
    assert tries == [1, 2, 2, 1, 1, 1]
    assert sorted(said) == sorted(
        [f"Candidate {n}: {error} ({end})"
         for n, error in ((1, killed), (2, memory)) for end in ("retrying", "recorded as failed")]
        + [f"Candidate {n}: {error} (recorded as failed)" for n, error in ((3, nan), (4, late))]
    )  # fmt: skip


def test_a_second_try_leaves_what_the_first_would_have(tmp_path: Path) -> None:
    acts, toy, found = ("kill", "memory", "good"), Toy(tmp_path, spare=True), []
    for name, pool in (("there", Processes(toy, 2)), ("here", InProcess(Evaluator(toy)))):  # tried twice by then
        (tmp_path / name).mkdir()
        with pool:
            found.append(measured(tmp_path / name, pool, *acts))
    assert found[0][0] == found[1][0] and [record.correct for record in found[0][0]] == [880] * 6
    assert (len(found[0][1]), found[1][1]) == (2, [])


def test_repeats_are_finetuned_in_batches(tmp_path: Path) -> None:
    target = Batching(act=lambda config, seed: (Count(seed % 1000), None))
    records, _ = measured(tmp_path, InProcess(Evaluator(target)), "good", "good", test_seeds=4)
    repeats = [record for record in records if record.run]
    assert target.batches == [[record.seed for record in part] for part in (repeats[:3], repeats[3:])]
    assert [record.validation_correct for record in repeats] == [record.seed % 1000 for record in repeats]
    assert [record.run for record in records] == [0, 1, 2, 3] * 2


def test_an_end_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    with Processes(Toy(tmp_path), 2) as pool:
        whole, _ = measured(tmp_path, pool, "good", "good", "good")
        lines = (tmp_path / TESTS).read_bytes().splitlines(keepends=True)
        for kept in range(len(lines)):
            (tmp_path / TESTS).write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
            before = [len(tries_of(tmp_path, config_of("good", n))) for n in range(3)]
            assert measured(tmp_path, pool, "good", "good", "good")[0] == whole
            again = sum(len(tries_of(tmp_path, config_of("good", n))) for n in range(3)) - sum(before)
            assert again == sum(b'"run": 1' in line for line in lines[kept:]), (
                "what is recorded is not trained again"
            )
