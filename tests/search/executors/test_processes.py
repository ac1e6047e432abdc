"""Candidates in processes: whatever one does to its worker costs that candidate alone."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwmodel.errors import ConfigError
from search.executors import InProcess, Processes
from search.executors.worker import RemoteError
from search.scoring import Evaluator
from tests.search.executors.toys import (
    Heard,
    Toy,
    config_of,
    correct_of,
    is_running,
    jobs_of,
    tries_of,
    wait_until,
)
from workloads.compress.config import CompressionConfig

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def scored(pool: Processes | InProcess, *acts: str) -> tuple[list[tuple[int, float | None, str]], list[str]]:
    """(number, accuracy, error) of every job as they come, and what was said."""
    heard = Heard()
    return [(j.number, o.value, o.error) for j, o in pool.run(jobs_of(*acts), heard)], heard.said


def test_a_candidate_costs_itself_alone(tmp_path: Path) -> None:
    acts = ("good", "kill", "good", "exit", "hang", "nan", "good", "error", "memory", "good")
    with Processes(Toy(tmp_path), 2, timeout_s=8.0) as pool:
        found, said = scored(pool, *acts)
    errors = {
        "good": "",
        "kill": "WorkerDied: killed by SIGKILL (out of memory, or by hand)",
        "exit": "WorkerDied: exited with code 3",
        "hang": "TimeoutError: took longer than 8 s",
        "nan": "ScoreError: accuracy: must lie in [0, 1], but got nan.",
        "error": "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
        "memory": "MemoryError: ",
    }
    configs = {job.number: job.config for job in jobs_of(*acts)}
    assert found == [
        (number, correct_of(configs[number]) / 1000 if act == "good" else None, errors[act])
        for number, act in enumerate(acts)
    ]
    tries = [len(set(tries_of(tmp_path, configs[number]))) for number in configs]
    assert tries == [2 if act in ("kill", "exit", "memory") else 1 for act in acts], "in another process"
    assert sorted(said) == sorted(
        f"Candidate {number}: {errors[act]} ({end})"
        for number, act in enumerate(acts)
        for end in {"good": (), "kill": (0, 1), "exit": (0, 1), "memory": (0, 1)}.get(act, (1,))
        for end in (("retrying", "recorded as failed")[end],)
    )
    assert not is_running(int((tmp_path / "child").read_text())), "what a worker started ends with it"


def test_any_number_of_workers_gives_the_same_in_the_same_order(tmp_path: Path) -> None:
    acts = ("good", "kill", "nan", "good", "error", "memory", "good")
    alone = InProcess(Evaluator(Toy(tmp_path, spare=True)))
    harmless = ("good", "good", "nan", "good", "error", "good", "good")
    wanted, _ = scored(alone, *harmless)
    assert alone.width == 1
    for workers in (1, 2, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        with Processes(Toy(folder, spare=True), workers, timeout_s=300.0) as pool:
            assert pool.width == workers
            found, said = scored(pool, *acts)
        assert [number for number, _, _ in found] == list(range(len(acts)))
        for got, want, act in zip(found, wanted, acts, strict=True):
            if act in ("kill", "memory"):  # passed the second time
                assert got == (got[0], correct_of(config_of(act, got[0])) / 1000, "")
            else:
                assert (act in ("nan", "error")) == bool(got[2])
                assert (got[1] is None) == (want[1] is None)
        assert sum("retrying" in text for text in said) == 2


def test_a_worker_is_kept_and_one_that_dies_idle_costs_nothing(tmp_path: Path) -> None:
    with Processes(Toy(tmp_path), 1) as pool:
        scored(pool, "good", "good")
        first = {tries_of(tmp_path, config_of("good", number))[0] for number in (0, 1)}
        assert len(first) == 1, "one worker, made once"
        os.kill(first.pop(), signal.SIGKILL)
        found, said = scored(pool, "good", "good", "good")
        assert [error for _, _, error in found] == ["", "", ""]
        assert len(tries_of(tmp_path, config_of("good", 2))) == 1
        assert said in (
            ["WorkerDied: killed by SIGKILL (out of memory, or by hand) (it had no candidate; another worker takes "
             "its place)"],
            ["Candidate 0: WorkerDied: killed by SIGKILL (out of memory, or by hand) (retrying)"],
        )  # fmt: skip


def test_killed_from_outside_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / config_of("good").key

    def strike() -> None:
        wait_until(lambda: path.exists() and bool(path.read_text()))
        os.kill(int(path.read_text()), signal.SIGKILL)

    with Processes(Toy(tmp_path, pause_s=2.0), 1) as pool:
        thread = threading.Thread(target=strike)
        thread.start()
        found, said = scored(pool, "good")
        thread.join()
    assert found == [(0, correct_of(config_of("good")) / 1000, "")]
    assert said == ["Candidate 0: WorkerDied: killed by SIGKILL (out of memory, or by hand) (retrying)"]


def test_a_bug_ends_the_search_with_its_own_error(tmp_path: Path) -> None:
    with Processes(Toy(tmp_path), 1) as pool:
        with pytest.raises(KeyError, match="a bug") as caught:
            scored(pool, "good", "bug", "good")
        assert isinstance(caught.value.__cause__, RemoteError)
        assert "in _fail" in str(caught.value.__cause__)
        assert scored(pool, "good")[0][0][2] == "", "and the workers go on"


def test_an_interrupted_run_leaves_nobody_busy(tmp_path: Path) -> None:
    child = tmp_path / "child"

    def interrupt() -> None:
        wait_until(lambda: child.exists() and bool(child.read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    with Processes(Toy(tmp_path), 2) as pool:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            scored(pool, "good", "hang", "good")
        thread.join()
        wait_until(lambda: not is_running(int(child.read_text())))
        assert scored(pool, "good")[0][0][2] == "", "and the next run goes on"


@dataclass(frozen=True)
class Broken:
    """A factory that cannot."""

    how: str

    def __call__(self) -> Toy:
        if self.how == "exit":
            os._exit(7)
        raise ConfigError("data: no such file")


def test_a_factory_that_fails_ends_the_search() -> None:
    with Processes(Broken("raise"), 1) as pool, pytest.raises(ConfigError, match="data: no such file"):
        scored(pool, "good")
    with (
        Processes(Broken("exit"), 1) as pool,
        pytest.raises(ConfigError, match=r"3 in a row .* exited with code 7"),
    ):
        scored(pool, "good")


def test_what_cannot_travel_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"evaluate: must be picklable for workers, but function is not"):
        Processes(lambda: lambda config: 0.5, 1)  # type: ignore[arg-type, return-value]
    for workers in (0, True, 1.5):
        with pytest.raises(ConfigError, match="workers: must be an integer >= 1"):
            Processes(Toy(Path()), workers)  # type: ignore[arg-type]
    for limit in (0.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="timeout: must be positive and finite"):
            Processes(Toy(Path()), 1, timeout_s=limit)


class Where:
    """Says where it is."""

    def __call__(self) -> Where:
        return self

    def ptq(self, config: CompressionConfig) -> float:
        place = [sorted(os.sched_getaffinity(0)), os.environ["OMP_NUM_THREADS"], os.environ["CUDA_VISIBLE_DEVICES"]]
        raise RuntimeError(f"{place} torch: {'torch' in sys.modules}")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux")
def test_a_worker_keeps_to_its_place() -> None:
    cores = sorted(os.sched_getaffinity(0))
    with Processes(Where(), 1, threads=3, devices=["5"]) as pool:
        assert scored(pool, "good")[0][0][2] == f"RuntimeError: {[cores, '3', '5']} torch: False"


SCRIPT = """
import sys
from pathlib import Path
from search.executors import Processes
from tests.search.executors.toys import Heard, Toy, jobs_of

if __name__ == "__main__":
    with Processes(Toy(Path(sys.argv[1])), 1) as pool:
        list(pool.run(jobs_of("hang"), Heard()))
"""


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT", "Ctrl-C", "SIGTERM"])
def test_workers_end_with_their_driver(tmp_path: Path, how: str) -> None:
    script = tmp_path / "drive.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as driver:
        child = tmp_path / "child"
        wait_until(lambda: child.exists() and bool(child.read_text()))
        pids = [int(child.read_text()), *tries_of(tmp_path, config_of("hang"))]
        assert all(map(is_running, pids))
        if how == "Ctrl-C":  # the terminal sends it to the whole group
            os.killpg(driver.pid, signal.SIGINT)
        else:
            os.kill(driver.pid, getattr(signal, how))
        driver.wait()
        if "C" in how or how == "SIGINT":
            assert not any(map(is_running, pids)), "gone before the driver is"
        for pid in pids:
            wait_until(lambda pid=pid: not is_running(pid))
        assert driver.stderr is not None
        said = driver.stderr.read()
    assert said.count("Traceback") == (how in ("SIGINT", "Ctrl-C")), said


def test_messages_are_values(tmp_path: Path) -> None:
    for job in jobs_of("good", "kill"):
        assert pickle.loads(pickle.dumps(job)) == job
