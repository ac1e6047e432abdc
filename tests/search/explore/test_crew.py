"""Workers that price designs: what is raised there is raised here, and one that is gone is said."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any, Never

import pytest

from hwmodel.errors import ConfigError, MappingError
from search.executors.worker import RemoteError
from search.explore.crew import Alone, Errand, Processes, WorkerLostError, make_crew


class LockedError(Exception):
    """Cannot travel: it is made of two things, and its pickle holds one."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class Stub:
    """A pricer that fails in every way."""

    def ask(self, number: int) -> int:
        return number + 1

    def refuse(self) -> Never:
        raise MappingError("no mapping fits")

    def lock(self) -> Never:
        raise LockedError("a", "b")

    def hears(self) -> bool:
        """Whether Ctrl-C reaches this process."""
        os.kill(os.getpid(), signal.SIGINT)
        return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Recipe:
    """Of a stub."""

    def pricer(self) -> Stub:
        return Stub()


def answer(crew: Any, method: str, *arguments: object) -> object:
    ((index, found),) = crew.run([Errand(method, arguments)])
    assert index == 0
    return found


@pytest.fixture(scope="module")
def crew() -> Iterator[Processes]:
    crew = Processes(Recipe(), 1)  # type: ignore[arg-type]
    yield crew
    crew.close()


def test_errors_travel_with_their_traceback(crew: Processes) -> None:
    assert answer(crew, "ask", 3) == 4
    with pytest.raises(MappingError, match="no mapping fits") as caught:
        answer(crew, "refuse")
    assert isinstance(caught.value.__cause__, RemoteError) and "in refuse" in str(caught.value.__cause__)


def test_an_error_that_cannot_travel_is_told_as_text(crew: Processes) -> None:
    with pytest.raises(RuntimeError, match="cannot travel") as caught:
        answer(crew, "lock")
    assert "LockedError: a: b" in str(caught.value.__cause__)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no masks of signals here")
def test_a_worker_hears_no_interrupt(crew: Processes) -> None:
    assert answer(crew, "hears") is False


def test_a_worker_that_is_gone_is_said(crew: Processes) -> None:
    with pytest.raises(WorkerLostError, match=r"worker 0 killed by SIGKILL .*What was priced is kept"):
        answer(crew, "die")


def test_one_process_is_this_one() -> None:
    alone = make_crew(Recipe(), 1)  # type: ignore[arg-type]
    assert isinstance(alone, Alone) and answer(alone, "ask", 1) == 2
    with pytest.raises(ConfigError, match="jobs: must be an integer >= 1, but got True"):
        make_crew(Recipe(), True)  # type: ignore[arg-type]
