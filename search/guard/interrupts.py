"""Interruptions that wait until what must not be torn is done."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

#: What ends a command from outside; SIGHUP is not on Windows.
ENDS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Signals that end a command are heard when it is left, the first of each kind; for what takes a moment.

    Masking them would not do: another thread may take a signal, and Python runs its handler here all the same.
    In other threads than the first one nothing interrupts anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: dict[int, FrameType | None] = {}

    def hear(number: int, frame: FrameType | None) -> None:
        heard.setdefault(number, frame)

    before = {number: signal.getsignal(number) for number in ENDS}
    before = {number: own for number, own in before.items() if own not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)
        for number, frame in heard.items():
            own = before[number]
            if callable(own):
                own(number, frame)
            else:
                os.kill(os.getpid(), number)
