"""Workers on a Ray cluster of two nodes, of which one is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
pytest.importorskip("ray")

from ray.cluster_utils import Cluster

from hwmodel.errors import ConfigError
from search.executors import RayExecutor
from search.executors.worker import RemoteError
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

ROOT = Path(__file__).parents[2]
#: The head has no CPU: workers are on the nodes that are added.
HEAD = {"num_cpus": 0, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room for workers, and one node."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_raylet_start_wait_time_s", "300")
        patch.setenv("PYTHONPATH", str(ROOT))  # the nodes import what the driver does
        found = Cluster(initialize_head=True, head_node_args=HEAD)
        found.add_node(num_cpus=1)
        yield found
        found.shutdown()


def scored(pool: RayExecutor, *acts: str) -> tuple[list[tuple[int, float | None, str]], list[str]]:
    heard = Heard()
    return [(j.number, o.value, o.error) for j, o in pool.run(jobs_of(*acts), heard)], heard.said


def test_a_candidate_costs_itself_alone(cluster: Any, tmp_path: Path) -> None:
    acts = ("good", "kill", "nan", "exit", "hang", "error", "memory", "good")
    with RayExecutor(Toy(tmp_path), address=cluster.address, timeout_s=20.0) as pool:
        assert pool.width == 1, "as many as there is room for"
        found, said = scored(pool, *acts)
    configs = {job.number: job.config for job in jobs_of(*acts)}
    died = "WorkerDied: ActorDiedError: The actor died unexpectedly before finishing this task."
    errors = {
        "good": "",
        "kill": died,
        "exit": died,
        "hang": "TimeoutError: took longer than 20 s",
        "nan": "ScoreError: accuracy: must lie in [0, 1], but got nan.",
        "error": "RuntimeError: mat1 and mat2 shapes cannot be multiplied",
        "memory": "MemoryError: ",
    }
    assert found == [
        (number, correct_of(configs[number]) / 1000 if act == "good" else None, errors[act])
        for number, act in enumerate(acts)
    ]
    assert [len(set(tries_of(tmp_path, config))) for config in configs.values()] == [
        2 if act in ("kill", "exit", "memory") else 1 for act in acts
    ]
    assert sum("(retrying)" in text for text in said) == 3


def test_a_node_that_dies_costs_one_try(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    jobs = jobs_of(*["good"] * 4)
    with RayExecutor(Toy(tmp_path, pause_s=4.0), 2, address=cluster.address, timeout_s=300.0) as pool:

        def strike() -> None:
            wait_until(lambda: all((tmp_path / job.config.key).exists() for job in jobs[:2]))
            cluster.remove_node(node, allow_graceful=False)

        thread = threading.Thread(target=strike)
        thread.start()
        heard = Heard()
        found = [(job, outcome.value) for job, outcome in pool.run(jobs, heard)]
        thread.join()
    assert found == [(job, correct_of(job.config) / 1000) for job in jobs]
    tries = [len(tries_of(tmp_path, job.config)) for job in jobs]
    assert sorted(tries) == [1, 1, 1, 2], "one of them began on the node that died"
    assert [text for text in heard.said if "(retrying)" in text]
    assert not [text for text in heard.said if "recorded as failed" in text]


def test_a_bug_ends_the_search_with_its_own_error(cluster: Any, tmp_path: Path) -> None:
    with RayExecutor(Toy(tmp_path), address=cluster.address) as pool:
        with pytest.raises(KeyError, match="a bug") as caught:
            scored(pool, "good", "bug")
        assert isinstance(caught.value.__cause__, RemoteError)


SCRIPT = """
import sys
from pathlib import Path
from search.executors import RayExecutor
from tests.search.executors.toys import Heard, Toy, jobs_of

with RayExecutor(Toy(Path(sys.argv[1])), address=sys.argv[2]) as pool:
    list(pool.run(jobs_of("hang"), Heard()))
"""


def test_workers_end_with_their_driver(cluster: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), cluster.address]
    with subprocess.Popen(command, env=environment) as driver:
        wait_until((tmp_path / "child").exists)
        (worker,) = tries_of(tmp_path, config_of("hang"))
        assert is_running(worker)
        driver.kill()
    wait_until(lambda: not is_running(worker))


def test_what_the_cluster_has_no_room_for_is_refused(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"each must find 2 CPUs and 0 GPUs on one node"):
        RayExecutor(Toy(tmp_path), address=cluster.address, num_cpus=2)
    with pytest.raises(ConfigError, match=r"each must find 1 CPUs and 1 GPUs on one node"):
        RayExecutor(Toy(tmp_path), address=cluster.address, num_gpus=1)


def test_without_an_address_a_cluster_of_this_machine_is_started(tmp_path: Path) -> None:
    with RayExecutor(Toy(tmp_path), 1) as pool:
        assert scored(pool, "good") == ([(0, correct_of(config_of("good")) / 1000, "")], [])


def test_no_cluster_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no cluster at '127\.0\.0\.1:1': .* Start one: ray start --head"):
        RayExecutor(Toy(tmp_path), address="127.0.0.1:1")
