"""Faults with many hands: workers die at each moment of their life, drivers at durable events, disks are full.

As the handed cases do it for a search without workers: every fault ends in what an undisturbed run leaves.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.executors import Executor, InProcess, Processes
from search.front.results import Result
from search.mirror.local import OptunaMirror
from search.scoring import Evaluator
from search.space import Space
from search.study import Study
from tests.search.executors.toys import (
    Doomed,
    Given,
    Heard,
    Moody,
    config_of,
    correct_of,
    is_running,
    jobs_of,
    tries_of,
    wait_until,
)
from tests.search.helpers import ToyScorer, make_graph
from tests.search.test_interrupt import essence

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
ROOT = Path(__file__).parents[3]
TRIALS, QAT, WORKERS = 8, 4, 2


# ---- a worker, at each moment of its life --------------------------------------------------------


@pytest.mark.parametrize("moment", ["start", "ready", "score", "answer", "torn"])
def test_a_worker_dies_at_each_moment_of_its_life(tmp_path: Path, moment: str) -> None:
    jobs = [replace(job, stage="qat") for job in jobs_of("good", "good", "good")]
    heard = Heard()
    with Processes(Doomed(tmp_path, moment), 1) as pool:
        found = [(job.number, outcome.value, outcome.error) for job, outcome in pool.run(jobs, heard)]
    assert found == [(n, correct_of(config_of("good", n)) / 1000, "") for n in range(3)]
    assert (tmp_path / "dead").exists()
    tries = [len(tries_of(tmp_path, config_of("good", n))) for n in range(3)]
    # the one whose worker dies once it has been scored; the answer that is torn is the second
    assert tries == {"start": [1, 1, 1], "ready": [1, 1, 1], "torn": [1, 2, 1]}.get(moment, [2, 1, 1])
    (said,) = heard.said
    candidate = "" if moment == "start" else "Candidate 1: " if moment == "torn" else "Candidate 0: "
    assert said.startswith(f"{candidate}WorkerDied: killed by SIGKILL")


# ---- candidates that fail in a worker ------------------------------------------------------------


def search(folder: Path, scorer: Any, pool: Executor) -> tuple[Result, ...]:
    graph = make_graph()
    study = Study.create_or_resume(folder, graph=graph, space=Space.from_graph(graph), evaluate=scorer, name="run")
    study.run(trials=TRIALS, qat=QAT, executor=pool)
    return study.results()


def test_what_fails_in_a_worker_is_recorded_as_it_is_in_the_driver(tmp_path: Path) -> None:
    found = []
    for name in ("here", "there"):
        scorer = Moody(tmp_path / f"{name} moods")
        scorer.folder.mkdir()
        with InProcess(Evaluator(scorer)) if name == "here" else Processes(Given(scorer), 1) as pool:
            graph = make_graph()
            study = Study.create_or_resume(
                tmp_path / name, graph=graph, space=Space.from_graph(graph), evaluate=scorer, name="run"
            )
            study.run(trials=TRIALS, qat=16, executor=pool)
        found.append(
            [(*one, r.status, r.error) for one, r in zip(essence(study.results()), study.results(), strict=True)]
        )
    assert found[0] == found[1]
    errors = {error for *_, error in found[0]}
    assert errors == {
        "", "ScoreError: accuracy: must lie in [0, 1], but got nan.", "MemoryError: no room for the gradients",
        "ArithmeticError: the loss must be finite, but is nan",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "here moods").iterdir()) == sorted(
        path.name for path in (tmp_path / "there moods").iterdir()
    )


# ---- the driver ----------------------------------------------------------------------------------


class Full:
    """Raises at the n-th durable event of the driver, once; 0 counts only."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int, code: int) -> None:
        self.seen, self._at, self._code = 0, at, code
        for where, name in ((os, "fsync"), (os, "replace"), (OptunaMirror, "add")):
            patch.setattr(where, name, self._wrapped(getattr(where, name)))

    def _wrapped(self, call: Any) -> Any:
        def counted(*given: Any, **named: Any) -> Any:
            self.seen += 1
            if self.seen == self._at:
                raise OSError(self._code, os.strerror(self._code))
            return call(*given, **named)

        return counted


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_while_workers_work_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with Processes(Given(ToyScorer(), tmp_path / "pids"), WORKERS) as pool:
        with monkeypatch.context() as patch:
            events = Full(patch, 0, code)
            whole = search(tmp_path / "whole", ToyScorer(), pool)
        assert events.seen > 2 * len(whole), "the ledger and its copy, line by line"
        kept: tuple[Result, ...] = ()
        for at in (1, 2, 3, 5, 9, 14, 22):
            with monkeypatch.context() as patch:
                Full(patch, at, code)
                try:
                    found = search(tmp_path / "run", ToyScorer(), pool)
                except OSError as error:
                    assert error.errno == code
                    found = Study.create_or_resume(
                        tmp_path / "run", graph=make_graph(), space=Space.from_graph(make_graph()),
                        evaluate=ToyScorer(), name="run",
                    ).results()  # fmt: skip
            assert found[: len(kept)] == kept, "what was written stays"
            kept = found
        assert essence(search(tmp_path / "run", ToyScorer(), pool)) == essence(whole)
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]


SCRIPT = """
import json, os, sys

def deadly(n):
    seen = [0]
    def tick():
        seen[0] += 1
        if seen[0] == n:
            os.kill(os.getpid(), 9)
    def wrapped(call):
        def counted(*given, **named):
            tick()
            found = call(*given, **named)
            tick()
            return found
        return counted
    import search.ledger as ledger
    from search.mirror.local import OptunaMirror
    os.fsync, os.replace, OptunaMirror.add = wrapped(os.fsync), wrapped(os.replace), wrapped(OptunaMirror.add)
    whole = ledger.append_line
    def torn(path, item):
        seen[0] += 1
        if seen[0] == n:
            path.open("ab").write(json.dumps(item).encode()[:40])
            os.kill(os.getpid(), 9)
        whole(path, item)
    ledger.append_line = torn

if __name__ == "__main__":  # workers import this file, too: nothing heavy above
    from pathlib import Path
    from search.executors import Processes
    from tests.search.executors.test_faults import WORKERS, search
    from tests.search.executors.toys import Given
    from tests.search.helpers import ToyScorer

    folder, pids, at = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    ended = []
    for n in at:  # each in a child of its own, which need not import anything
        child = os.fork()
        if not child:
            deadly(n)
            with Processes(Given(ToyScorer(), pids), WORKERS) as pool:
                search(folder, ToyScorer(), pool)
            os._exit(0)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(ended))
"""


def test_a_driver_killed_at_its_durable_events_leaves_no_worker_and_loses_nothing(tmp_path: Path) -> None:
    script, pids = tmp_path / "drive.py", tmp_path / "pids"
    script.write_text(SCRIPT)
    at = [2, 9, 12, 15, 22, 100_000]
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run"), str(pids), json.dumps(at)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    ended = json.loads(done.stdout)
    assert ended == [-signal.SIGKILL] * (len(at) - 1) + [0], done.stderr
    hands = [int(line) for line in pids.read_text().split()]
    assert len(hands) > WORKERS, "some were at work when their driver was killed"
    for pid in hands:
        wait_until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]
    with Processes(Given(ToyScorer()), WORKERS) as pool:
        whole = search(tmp_path / "whole", ToyScorer(), pool)
        assert essence(search(tmp_path / "run", ToyScorer(), pool)) == essence(whole)
