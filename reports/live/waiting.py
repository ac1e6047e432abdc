"""A bar on stderr for what takes its time: nothing at first, nothing on a pipe, and nothing is left of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from hwmodel.network.names import safe_name, shortened
from reports.terminal.console import is_terminal, make_console
from reports.terminal.interrupts import check

if TYPE_CHECKING:
    from rich.progress import Progress

#: What is done sooner shows no bar [s].
AFTER_S = 2.0
#: Longest description [characters].
MAX_TEXT = 40


class Bar:
    """What is going on, and how far it is; the bar appears when `show` is called, from another thread.

    Args:
        what: is going on.
        stream: the terminal; None shows nothing.
    """

    def __init__(self, what: str, stream: IO[str] | None) -> None:
        self._text, self._done, self._total = what, 0, 0
        self._stream = stream
        self._progress: Progress | None = None
        self._lock = threading.Lock()
        self._is_over = False

    def step(self, what: str, done: int, total: int) -> None:
        """So many of `total` steps are done."""
        check()
        with self._lock:
            self._text, self._done, self._total = what, done, total
            self._draw()

    def show(self) -> None:
        """The bar appears, unless all is over."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), TimeElapsedColumn())
        with self._lock:
            if self._stream is None or self._is_over:
                return
            self._progress = Progress(*columns, console=make_console(self._stream), transient=True)
            self._progress.add_task(self._text, total=None)
            self._draw()
            self._progress.start()

    def end(self) -> None:
        """The bar goes away."""
        with self._lock:
            self._is_over = True
            if self._progress is not None:
                self._progress.stop()

    def _draw(self) -> None:
        if self._progress is None:
            return
        count = f" {self._done}/{self._total}" if self._total else ""
        self._progress.update(
            self._progress.task_ids[0],
            description=shortened(safe_name(self._text), MAX_TEXT) + count,
            completed=self._done,
            total=self._total or None,
        )


@contextmanager
def waiting(what: str, *, after_s: float = AFTER_S, stream: IO[str] | None = None) -> Iterator[Bar]:
    """A bar for what takes longer than `after_s`, on a terminal.

    Args:
        what: is going on at first.
        after_s: until it appears [s].
        stream: where; None is stderr.
    """
    stream = sys.stderr if stream is None else stream
    bar = Bar(what, stream if is_terminal(stream) else None)
    timer = threading.Timer(after_s, bar.show)
    timer.daemon = True
    if is_terminal(stream):
        timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        bar.end()
