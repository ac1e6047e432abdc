"""A limit on how long one candidate may take."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

#: The alarm rings again after so long [s]: Python drops an exception that is raised inside a finalizer, and code
#: that catches everything may swallow one.
_AGAIN_S = 1.0


class OutOfTimeError(BaseException):
    """Raised where the program stands; no `except Exception` of the code under the limit catches it."""


def can_limit() -> bool:
    """Alarms reach the main thread of a POSIX system, and nothing else."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def limited(limit_s: float | None) -> Iterator[None]:
    """Within it the program is interrupted after `limit_s` [s]; None, or where `can_limit` is false: never.

    One call into a library (a matrix product) is never cut: the alarm is heard when it returns. An alarm that
    somebody else has set goes on afterwards.

    Raises:
        OutOfTimeError: the limit was reached.
    """
    if limit_s is None or not can_limit():
        yield
        return

    is_on = True

    def ring(_signal: int, _frame: FrameType | None) -> None:
        if is_on:
            raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    start = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
    try:
        try:
            yield
        finally:
            is_on = False  # from here on an alarm is late, and must not end what comes next
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, left - (time.monotonic() - start)), interval)
