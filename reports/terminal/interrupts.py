"""Ctrl-C, SIGTERM and SIGHUP (the terminal is gone) end a command in the same way, and are not lost.

The handler raises KeyboardInterrupt where the program stands. Python drops an exception that is raised inside a
finalizer or a callback of the interpreter, so the signal is also remembered: `check`, called between two
steps of a search, raises again.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from search.guard.interrupts import ENDS


@dataclass
class _State:
    is_pending: bool = False


_state = _State()


def check() -> None:
    """Raise KeyboardInterrupt if the process was asked to end."""
    if _state.is_pending:
        raise KeyboardInterrupt


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    _state.is_pending = True
    raise KeyboardInterrupt


def _signals() -> list[signal.Signals]:
    """Those that end a command on this system."""
    hangup = getattr(signal, "SIGHUP", None)
    return [number for number in ENDS if number != hangup or signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, even where the shell ignores SIGINT for us.

    A SIGHUP that is ignored already stays so: `nohup` asks for that.

    Outside the main thread it changes nothing: whoever embeds the command handles its signals.
    """
    try:
        previous = {number: signal.signal(number, _interrupt) for number in _signals()}
    except ValueError:
        yield
        return
    report = sys.unraisablehook

    def hide_interrupts(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            report(dropped)

    sys.unraisablehook = hide_interrupts
    _state.is_pending = False
    try:
        yield
    finally:
        _state.is_pending = False
        sys.unraisablehook = report
        for number, handler in previous.items():
            signal.signal(number, handler)
