"""Evaluators that die, hang and fail on request: what a configuration does is told by its bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from search.executors import Job
from search.observer import Observer
from tests.search.helpers import Count
from workloads.compress.config import CompressionConfig

GOOD, ONCE = 8, 1
#: Weight bits of `fc` -> what the evaluator does.
DEADS = {"kill": 2, "exit": 3, "hang": 4, "nan": 5, "error": 6, "bug": 7}


def config_of(act: str, number: int = 0) -> CompressionConfig:
    """A configuration that makes `Toy` do something; different numbers give different keys."""
    return CompressionConfig.from_bits({"fc": DEADS.get(act, GOOD), "conv1": 2 + number % 7, "c2": 2 + number // 7})


def jobs_of(*acts: str) -> list[Job]:
    return [Job(number=n, stage="ptq", config=config_of(act, n)) for n, act in enumerate(acts)]


def correct_of(config: CompressionConfig) -> int:
    return sum((index + 2) * (choice.w_bits or 0) for index, choice in enumerate(config.layers.values())) % 1000


@dataclass(frozen=True)
class Toy:
    """An evaluator, and the factory of itself.

    Attributes:
        folder: where its calls leave traces; a file `spare` there makes every death pass the second time.
        pause_s: of a good candidate [s].
    """

    folder: Path
    pause_s: float = 0.0

    def __call__(self) -> Toy:
        return self

    def ptq(self, config: CompressionConfig) -> Count | float:
        act = next((name for name, bits in DEADS.items() if config.layers["fc"].w_bits == bits), "good")
        mark = self.folder / f"{config.key}.tried"
        is_first = not mark.exists()
        with mark.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if is_first or not (self.folder / "spare").exists():
            if act == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if act == "exit":
                os._exit(3)
        if act == "hang":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (self.folder / "child.pid").write_text(str(child.pid))
            time.sleep(600)
        if act == "nan":
            return float("nan")
        if act == "error":
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if act == "bug":
            raise KeyError("a bug")
        time.sleep(self.pause_s)
        return Count(correct_of(config))


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


def within(seconds: float, is_true: object) -> bool:
    """A condition holds before so many seconds are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_true():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False
