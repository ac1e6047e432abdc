"""What becomes of a candidate that fails or takes too long."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from hwmodel.errors import ConfigError
from search.guard.deadline import can_limit
from search.observer import Observer
from search.scoring import Evaluator, Outcome
from workloads.compress.config import CompressionConfig

CONFIG = CompressionConfig.from_bits({"fc": 4})
alarms = pytest.mark.skipif(not can_limit(), reason="no alarms on this system")


class Heard(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def outcome_of(act: Callable[[int], float], timeout_s: float | None = None) -> tuple[Outcome, int, list[str]]:
    """(outcome, calls, what was said) of an evaluator that does `act(call)`, from 1."""
    calls, observer = [0], Heard()

    def evaluate(config: CompressionConfig) -> float:
        calls[0] += 1
        return act(calls[0])

    return Evaluator(evaluate, timeout_s).ptq(CONFIG, observer), calls[0], observer.said


def failing(error: BaseException, times: int = 99) -> Callable[[int], float]:
    def act(call: int) -> float:
        if call <= times:
            raise error
        return 0.5

    return act


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: an illegal memory access"),
        MemoryError(),
    ],
)
def test_what_may_pass_is_tried_twice(error: Exception) -> None:
    outcome, calls, said = outcome_of(failing(error, times=1))
    assert (outcome.value, calls, len(said)) == (0.5, 2, 1)
    outcome, calls, said = outcome_of(failing(error))
    assert (outcome.accuracy, calls) == (None, 2)
    assert said[1].endswith("(recorded as failed)")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x8 and 9x4)"),
        ConfigError("epoch 1: the loss must be finite, but is nan"),
        ZeroDivisionError("division by zero"),
    ],
)
def test_what_follows_from_the_candidate_is_not_tried_again(error: Exception) -> None:
    outcome, calls, said = outcome_of(failing(error))
    assert (outcome.accuracy, calls) == (None, 1)
    assert said == [f"{type(error).__name__}: {error} (recorded as failed)"]


def endless(_: int) -> float:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        time.sleep(0.005)
    return 1.0


@alarms
def test_a_candidate_that_takes_too_long_has_failed_once() -> None:
    start = time.monotonic()
    outcome, calls, _ = outcome_of(endless, timeout_s=0.1)
    assert (outcome.accuracy, calls) == (None, 1)
    assert outcome.error == "TimeoutError: took longer than 0.1 s"
    assert time.monotonic() - start < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0), "nothing rings later"


@alarms
def test_a_candidate_that_catches_everything_is_still_stopped() -> None:
    def stubborn(call: int) -> float:
        try:
            return endless(call)
        except BaseException:
            return endless(call)

    outcome, _, _ = outcome_of(stubborn, timeout_s=0.1)
    assert outcome.error.startswith("TimeoutError")


@alarms
def test_in_time_nothing_changes_and_the_alarm_of_others_goes_on() -> None:
    rung: list[Any] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        outcome, _, said = outcome_of(lambda _: 0.25, timeout_s=30)
        assert (outcome.value, said) == (0.25, [])
        end = time.monotonic() + 10
        while not rung and time.monotonic() < end:
            time.sleep(0.01)
        assert rung == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread_the_limit_is_said_not_to_hold() -> None:
    found: list[tuple[Outcome, int, list[str]]] = []
    thread = threading.Thread(target=lambda: found.append(outcome_of(lambda _: 0.5, timeout_s=1)))
    thread.start()
    thread.join()
    assert found[0][0].value == 0.5
    assert found[0][2] == ["timeout: not kept here: it needs the main thread of a POSIX system."]


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_is_a_time(limit: float) -> None:
    with pytest.raises(ConfigError, match="timeout: must be positive and finite"):
        Evaluator(lambda config: 0.5, limit)
