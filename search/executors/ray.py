"""Workers on the nodes of a Ray cluster (https://docs.ray.io): actors, which Ray places and watches over.

Ray restarts nothing by itself here (`max_restarts=0`): an actor that dies with its node costs its job one try, and
the crew asks for another, which Ray places where there is room.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from hwmodel.errors import ConfigError
from search.executors.base import Job
from search.executors.crew import Crew, Hand, LostError
from search.executors.factory import MakeEvaluator, pickled
from search.executors.worker import Reply, Worker

#: A machine that does not answer for so long is not there [s].
_REACH_S = 10.0
#: Nothing is reported to Ray's makers.
_SILENT = ("RAY_USAGE_STATS_ENABLED", "0")


class RayExecutor(Crew):
    """Scores in actors of Ray. Every node needs this package, and model file and data at the same paths.

    Args:
        make_evaluator: picklable; gives the evaluator, once in each worker.
        workers: how many; None is as many as the cluster has room for now.
        address: of the cluster: `auto` or `HOST:PORT`; None starts one on this machine, and ends it afterwards.
        timeout_s: for one try at a candidate [s]; None waits.
        num_cpus: of each worker.
        num_gpus: of each worker, a fraction shares one; None is 1 where the cluster has any, else 0.

    Raises:
        ConfigError: Ray is not installed, the cluster is not there or has no room, or the factory cannot be
            pickled.
    """

    def __init__(
        self,
        make_evaluator: MakeEvaluator,
        workers: int | None = None,
        *,
        address: str | None = None,
        timeout_s: float | None = None,
        num_cpus: float = 1.0,
        num_gpus: float | None = None,
    ) -> None:
        data = pickled(make_evaluator)
        self._ray, self._is_ours = _connected(address)
        try:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            if num_gpus is None:
                num_gpus = float(any(node.get("GPU") for node in nodes))
            room = _room(nodes, num_cpus, num_gpus)
            super().__init__(room if workers is None else workers, timeout_s)
            self._factory = self._ray.put(data)
            self._actor = self._ray.remote(
                num_cpus=num_cpus, num_gpus=num_gpus, max_restarts=0, max_task_retries=0
            )(Worker)
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        super().close()
        self._leave()

    def _leave(self) -> None:
        if self._is_ours:
            self._is_ours = False
            self._ray.shutdown()

    def _hire(self, number: int) -> Hand:
        return _RayHand(self._ray, self._actor.remote(self._factory))

    def _wait(self, hands: Sequence[Hand], timeout_s: float) -> list[Hand]:
        waiting = {hand.pending: hand for hand in hands if isinstance(hand, _RayHand) and hand.pending is not None}
        done, _ = self._ray.wait(list(waiting), num_returns=1, timeout=timeout_s)
        return [waiting[item] for item in done]


class _RayHand:
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.pending: Any = actor.begin.remote()

    def give(self, job: Job) -> None:
        self.pending = self._actor.answer.remote(job)

    def take(self) -> Reply:
        pending, self.pending = self.pending, None
        try:
            reply: Reply = self._ray.get(pending)
        except self._ray.exceptions.RayError as error:  # of the system: what the evaluator raises is an answer
            raise LostError(_ending(error)) from error
        return reply

    def dismiss(self) -> None:
        self.pending = None
        self._ray.kill(self._actor, no_restart=True)


def _connected(address: str | None) -> tuple[Any, bool]:
    """Ray, and whether we are to leave it.

    Raises:
        ConfigError: it is not installed, or there is no cluster.
    """
    os.environ.setdefault(*_SILENT)
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"engine ray: needs Ray ({error}). pip install 'hwmodel[ray]'") from error
    if ray.is_initialized():
        return ray, False
    fix = "Start one: ray start --head; ray start --address HOST:PORT on every other node."
    _check_reachable(address, fix)
    try:
        ray.init(
            address="local" if address is None else address,
            include_dashboard=False if address is None else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"engine ray: no cluster at {address!r}: {error}. {fix}") from error
    return ray, True


def _check_reachable(address: str | None, fix: str) -> None:
    """Somebody listens there: Ray itself would try for minutes, and then end this process.

    Raises:
        ConfigError: nobody does.
    """
    host, separator, port = (address or "").rpartition("://")[2].rpartition(":")
    if not (separator and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"engine ray: no cluster at {address!r}: {error}. {fix}") from error


def _room(nodes: Sequence[Mapping[str, float]], num_cpus: float, num_gpus: float) -> int:
    """Workers that these nodes have room for.

    Raises:
        ConfigError: for none.
    """
    wanted = {name: amount for name, amount in (("CPU", num_cpus), ("GPU", num_gpus)) if amount > 0}
    room = sum(
        min((int(node.get(name, 0) // amount) for name, amount in wanted.items()), default=0) for node in nodes
    )
    if room < 1:
        has = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise ConfigError(
            f"workers: each must find {num_cpus:g} CPUs and {num_gpus:g} GPUs on one node (one of them above 0), "
            f"but the nodes have: {has}."
        )
    return room


def _ending(error: Exception) -> str:
    """How an actor ended, in the first line of what Ray says, which is much."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
