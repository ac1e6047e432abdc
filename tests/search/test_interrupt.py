"""Killed at any moment and run again, a study ends with what an uninterrupted one finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.front.results import Result
from search.space import Space
from search.study import Study
from tests.search.helpers import Count, ToyScorer, make_graph
from workloads.compress.config import CompressionConfig

TRIALS, QAT = 20, 6
ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys, time
from tests.search.helpers import ToyScorer
from tests.search.test_interrupt import search

class Slow(ToyScorer):
    def ptq(self, config):
        time.sleep(0.005)
        return super().ptq(config)

search(sys.argv[1], Slow())
"""


def search(folder: str | Path, scorer: ToyScorer) -> Study:
    graph = make_graph()
    study = Study.create_or_resume(folder, graph=graph, space=Space.from_graph(graph), evaluate=scorer, name="run")
    study.run(trials=TRIALS, qat=QAT)
    return study


def essence(results: tuple[Result, ...]) -> list[tuple[object, ...]]:
    return [(r.number, r.stage, r.key, r.correct, r.seed, r.origin) for r in results]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    return essence(search(tmp_path_factory.mktemp("whole"), ToyScorer()).results())


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_twice(tmp_path: Path, uninterrupted: list[tuple[object, ...]]) -> None:
    ledger = tmp_path / "ledger.jsonl"
    counts = []
    for lines in (7, TRIALS + 3):
        with subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT) as process:
            deadline = time.monotonic() + 60
            while not ledger.exists() or ledger.read_bytes().count(b"\n") < lines:
                assert process.poll() is None, "the study ended before it was killed"
                assert time.monotonic() < deadline, "the study does not move"
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        counts.append(ledger.read_bytes().count(b"\n"))
    assert 7 <= counts[0] < counts[1] < len(uninterrupted)
    assert essence(search(tmp_path, ToyScorer()).results()) == uninterrupted


class Interrupting(ToyScorer):
    """Ctrl-C at one call."""

    def __init__(self, stage: str, call: int) -> None:
        super().__init__()
        self.stage, self.left = stage, call

    def _count(self, stage: str) -> None:
        if stage == self.stage:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

    def ptq(self, config: CompressionConfig) -> Count:
        self._count("ptq")
        return super().ptq(config)

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, None]:
        self._count("qat")
        return super().qat(config, seed)


@pytest.mark.parametrize(
    ("stage", "call"),
    [("ptq", 4), ("ptq", 16), ("qat", 0), ("qat", 3), ("qat", 5)],
)
def test_interrupted_anywhere(
    tmp_path: Path, stage: str, call: int, uninterrupted: list[tuple[object, ...]]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, Interrupting(stage, call))
    resumed = ToyScorer()
    assert essence(search(tmp_path, resumed).results()) == uninterrupted
    if stage == "ptq":  # what was scored before the interruption is not scored again
        assert len(resumed.ptq_calls) == len(set(resumed.ptq_calls))


def test_torn_last_line(tmp_path: Path, uninterrupted: list[tuple[object, ...]]) -> None:
    search(tmp_path, ToyScorer())
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-40])
    assert essence(search(tmp_path, ToyScorer()).results()) == uninterrupted
