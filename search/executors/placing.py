"""Where workers run: each has cores of its own, and a GPU where there are some."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hwmodel.errors import ConfigError

_VISIBLE, _THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Of one worker.

    Attributes:
        cores: it may run on; empty leaves that to the system.
        threads: it computes with.
        device: the GPU that it sees, as in `CUDA_VISIBLE_DEVICES`; "" leaves that as it is.
    """

    cores: tuple[int, ...] = ()
    threads: int = 1
    device: str = ""

    def take(self) -> None:
        """Settle this process here, before CUDA is used."""
        os.environ[_THREADS] = str(self.threads)
        if "torch" in sys.modules:  # the user's script has imported it; it has read the variable
            from workloads.training.device import use_threads

            use_threads(self.threads)
        if self.device:
            os.environ[_VISIBLE] = self.device
        if self.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cores)


def places(workers: int, devices: Sequence[str] = (), threads: int | None = None) -> tuple[Place, ...]:
    """A place for each worker: the cores of this process in equal parts, the GPUs in turn.

    Args:
        workers: how many.
        devices: GPUs, as in `CUDA_VISIBLE_DEVICES`; more workers than GPUs share them.
        threads: of each worker; None is `OMP_NUM_THREADS` where that is set, else one per core of its part.

    Raises:
        ConfigError: no workers, or no threads.
    """
    for name, value in (("workers", workers), ("threads", 1 if threads is None else threads)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name}: must be an integer >= 1, but got {value!r}.")
    cores = _cores()
    given = os.environ.get(_THREADS, "")
    wanted = int(given) if threads is None and given.isdecimal() and int(given) else threads
    found = []
    for worker in range(workers):
        part = _part(cores, worker, workers)
        found.append(
            Place(
                cores=part if hasattr(os, "sched_setaffinity") else (),
                threads=wanted or max(len(part), 1),
                device=devices[worker % len(devices)] if devices else "",
            )
        )
    return tuple(found)


def devices_of(device: str | None) -> tuple[str, ...]:
    """The GPUs that workers share: all for None and `cuda`, one for `cuda:1`, none for `cpu`.

    Raises:
        ConfigError: no such device on this machine.
    """
    if device == "cpu":
        return ()
    from workloads.training.device import num_gpus, select_device

    chosen, count = select_device(device), num_gpus()
    given = os.environ.get(_VISIBLE, "")
    names = [name.strip() for name in given.split(",")] if given else [str(index) for index in range(count)]
    if chosen.type != "cuda":
        return ()
    return tuple(names[:count]) if chosen.index is None else (names[chosen.index],)


def _cores() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _part(cores: tuple[int, ...], worker: int, workers: int) -> tuple[int, ...]:
    """Neighbouring cores; where there are more workers than cores, some share one."""
    if workers >= len(cores):
        return (cores[worker % len(cores)],)
    return cores[worker * len(cores) // workers : (worker + 1) * len(cores) // workers]
