"""An interruption waits until what must not be torn is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from search.guard.interrupts import interrupts_deferred
from search.mirror.local import OptunaMirror


@contextmanager
def raising(number: int) -> Iterator[None]:
    """As a command hears a signal: by KeyboardInterrupt."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_heard_at_the_end(number: signal.Signals) -> None:
    done = []
    with raising(number):
        with pytest.raises(KeyboardInterrupt), interrupts_deferred():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append("written")
        with pytest.raises(KeyboardInterrupt):  # as before
            os.kill(os.getpid(), number)
    assert done == ["written"]


def test_one_that_another_thread_takes_waits_too() -> None:
    """A mask would not do: the handler of Python runs in the first thread, whoever takes the signal."""
    done = []
    with raising(signal.SIGINT), pytest.raises(KeyboardInterrupt), interrupts_deferred():
        other = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT))
        other.start()
        other.join()
        done.append("written")
    assert done == ["written"]


def test_a_signal_that_ends_the_process_ends_it_afterwards() -> None:
    code = (
        "import os, signal\nfrom search.guard.interrupts import interrupts_deferred\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "with interrupts_deferred():\n    os.kill(os.getpid(), signal.SIGTERM)\n    print('written', flush=True)\n"
        "print('too far')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "written\n")


def test_what_is_ignored_stays_so_and_other_threads_change_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts_deferred():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    handler, seen = signal.getsignal(signal.SIGINT), []

    def elsewhere() -> None:
        with interrupts_deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    other = threading.Thread(target=elsewhere)
    other.start()
    other.join()
    assert seen == [handler]


def test_the_mirror_writes_what_it_began() -> None:
    """Interrupted in the middle of a write it would leave the database locked for the write at the end."""
    written: list[object] = []

    class Studies:
        def add(self, results: list[object]) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            written.extend(results)

    mirror = object.__new__(OptunaMirror)
    mirror._studies, mirror._waiting, mirror._path = Studies(), ["one"], None  # type: ignore[assignment, list-item]
    with raising(signal.SIGINT), pytest.raises(KeyboardInterrupt):
        mirror.flush()
    assert written == ["one"] and mirror._waiting == []
