"""Evaluators that die, hang and fail on request: what a configuration does is told by its bits."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from search.executors import Job
from search.observer import Observer
from tests.search.helpers import Count, ToyScorer
from workloads.compress.config import CompressionConfig

#: What the evaluator does -> weight bits of `fc` that ask for it.
ACTS = {"good": 8, "kill": 2, "exit": 3, "hang": 4, "nan": 5, "error": 6, "bug": 7, "memory": 9}


def config_of(act: str, number: int = 0) -> CompressionConfig:
    """A configuration that makes `Toy` do something; different numbers give different keys."""
    return CompressionConfig.from_bits({"fc": ACTS[act], "conv1": 2 + number % 7, "conv2": 2 + number // 7})


def jobs_of(*acts: str) -> list[Job]:
    return [Job(number=n, stage="ptq", config=config_of(act, n)) for n, act in enumerate(acts)]


def correct_of(config: CompressionConfig) -> int:
    return sum((index + 2) * (choice.w_bits or 0) for index, choice in enumerate(config.layers.values())) % 1000


@dataclass(frozen=True)
class Toy:
    """An evaluator, and the factory of itself.

    Attributes:
        folder: gets a file per candidate, with a line per try: the process that made it.
        spare: what kills a worker, or lacks memory, passes at the second try.
        pause_s: of a good candidate [s].
    """

    folder: Path
    spare: bool = False
    pause_s: float = 0.0

    def __call__(self) -> Toy:
        return self

    def ptq(self, config: CompressionConfig) -> Count | float:
        act = next(name for name, bits in ACTS.items() if config.layers["fc"].w_bits == bits)
        path = self.folder / config.key
        with path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if not self.spare or len(tries_of(self.folder, config)) == 1:
            self._fail(act)
        time.sleep(self.pause_s)
        return float("nan") if act == "nan" else Count(correct_of(config))

    def qat(self, config: CompressionConfig, seed: int) -> Count | float:
        return self.ptq(config)

    def _fail(self, act: str) -> None:
        if act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "exit":
            os._exit(3)
        if act == "hang":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (self.folder / "child").write_text(str(child.pid))
            time.sleep(600)
        if act == "memory":
            raise MemoryError
        if act == "error":
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if act == "bug":
            raise KeyError("a bug")


def tries_of(folder: Path, config: CompressionConfig) -> list[int]:
    """The process of every try at a candidate."""
    return [int(line) for line in (folder / config.key).read_text().split()]


@dataclass(frozen=True)
class Fragile:
    """A toy scorer of which every fourth candidate kills its worker, once.

    Attributes:
        folder: gets a file per candidate.
    """

    folder: Path

    def _strike(self, name: str) -> None:
        path = self.folder / name
        if int(name[:8], 16) % 4 == 0 and not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def ptq(self, config: CompressionConfig) -> Count:
        self._strike(config.key)
        return ToyScorer().ptq(config)

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, None]:
        self._strike(config.key[::-1])
        return ToyScorer().qat(config, seed)


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives")


class Deadly:
    """Kills whoever pickles it."""

    def __reduce__(self) -> NoReturn:
        die()

    def state_dict(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Doomed:
    """A factory whose first worker dies at a moment: `start`, `ready`, `score`, `answer` or `torn`.

    Attributes:
        folder: as of `Toy`; gets `dead` when it has happened.
        moment: of the death.
    """

    folder: Path
    moment: str

    def __call__(self) -> Doomed:
        if self.moment == "start":
            self.fall()
        if self.moment == "ready" and not (self.folder / "dead").exists():
            setattr(Connection, "recv_bytes", lambda pipe: self.fall())  # noqa: B010
        return self

    def fall(self) -> None:
        if not (self.folder / "dead").exists():
            (self.folder / "dead").touch()
            die()

    def ptq(self, config: CompressionConfig) -> Count | float:
        return Toy(self.folder).ptq(config)

    def qat(self, config: CompressionConfig, seed: int) -> Any:
        found = self.ptq(config)
        if self.moment == "score":
            self.fall()
        if not (self.folder / "dead").exists():
            if self.moment == "answer":
                (self.folder / "dead").touch()
                return found, Deadly()
            if self.moment == "torn":

                def half(pipe: Connection, data: bytes) -> None:  # as the pipe frames it, up to the middle
                    os.write(pipe.fileno(), struct.pack("!i", len(data)) + data[: len(data) // 2])
                    self.fall()

                setattr(Connection, "send_bytes", half)  # noqa: B010
        return found


@dataclass(frozen=True)
class Moody:
    """A scorer of which some candidates are nan, out of memory (for good, or once), or diverge.

    Attributes:
        folder: gets a file per candidate that was out of memory once.
    """

    folder: Path

    def ptq(self, config: CompressionConfig) -> Count:
        return ToyScorer().ptq(config)

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Any, None]:
        mood = int(config.key[:8], 16) % 6
        first = self.folder / config.key
        if mood == 0:
            return float("nan"), None
        if mood == 1 or (mood == 2 and not first.exists()):
            first.touch()
            raise MemoryError("no room for the gradients")
        if mood == 3:
            raise ArithmeticError("the loss must be finite, but is nan")
        return ToyScorer().qat(config, seed)


@dataclass(frozen=True)
class Given:
    """A factory of what is there, which notes who made it."""

    scorer: Any
    pids: Path | None = None

    def __call__(self) -> Any:
        if self.pids is not None:
            with self.pids.open("a") as file:
                file.write(f"{os.getpid()}\n")
        return self.scorer


@dataclass(frozen=True)
class Linear:
    """A toy scorer whose finetuned models are real: drawn by the seed."""

    def ptq(self, config: CompressionConfig) -> Count:
        return ToyScorer().ptq(config)

    def qat(self, config: CompressionConfig, seed: int) -> tuple[Count, Any]:
        import torch

        torch.manual_seed(seed)
        return ToyScorer().qat(config, seed)[0], torch.nn.Linear(2, 2)


class Heard(Observer):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def is_running(pid: int) -> bool:
    """A process that is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(is_true: Callable[[], bool], limit_s: float = 240) -> None:
    """Wait for a condition; the limit only ends a test that would hang."""
    end = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.05)
