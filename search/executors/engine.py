"""Which executor a job uses, as values of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hwmodel.errors import ConfigError, check_one_of
from search.executors.base import Executor
from search.executors.factory import MakeEvaluator
from search.executors.placing import devices_of
from search.executors.processes import Processes
from search.executors.ray import RayExecutor

EngineName = Literal["processes", "ray"]
ENGINES: tuple[EngineName, ...] = ("processes", "ray")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Workers for a job.

    Attributes:
        name: `processes` of this machine, or `ray`.
        workers: how many; None is one process, or as many as the cluster of Ray has room for.
        address: of that cluster; None starts one on this machine.

    Raises:
        ConfigError: no such engine, or processes with an address.
    """

    name: EngineName = "processes"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        check_one_of("engine", self.name, ENGINES)
        if self.address is not None and self.name != "ray":
            raise ConfigError(f"address: only engine ray has one, but got {self.address!r}. Add --engine ray.")

    @classmethod
    def of(cls, name: str | None, workers: int | None, address: str | None) -> Engine | None:
        """What was asked for; None where nothing was: candidates are scored in this process.

        Raises:
            ConfigError: as above.
        """
        if name is None and workers is None and address is None:
            return None
        check_one_of("engine", name or ENGINES[0], ENGINES)
        return cls(name="ray" if name == "ray" else "processes", workers=workers, address=address)

    def executor(
        self, make_evaluator: MakeEvaluator, *, device: str | None = None, timeout_s: float | None = None
    ) -> Executor:
        """The workers, not started yet.

        Args:
            make_evaluator: picklable; gives the evaluator in each.
            device: of the job; `cpu` leaves GPUs alone.
            timeout_s: for one try at a candidate [s]; None waits.

        Raises:
            ConfigError: as the executors.
        """
        if self.name == "ray":
            return RayExecutor(
                make_evaluator,
                self.workers,
                address=self.address,
                timeout_s=timeout_s,
                num_gpus=0.0 if device == "cpu" else None,
            )
        workers = 1 if self.workers is None else self.workers
        return Processes(make_evaluator, workers, timeout_s=timeout_s, devices=devices_of(device))
