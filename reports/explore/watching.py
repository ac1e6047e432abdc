"""How far an exploration is: a bar on a terminal, a line for every tenth elsewhere. Both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from reports.live.waiting import Bar, waiting
from reports.terminal.console import is_terminal, say
from reports.terminal.interrupts import check
from search.explore.walk import Progress

#: Steps below which a stage has no lines of its own.
FEW = 200


class Log:
    """One line when a long stage begins, and per tenth of it."""

    def __init__(self) -> None:
        self._told: tuple[str, int] = ("", -1)

    def __call__(self, what: str, done: int, total: int, front: int) -> None:
        check()
        tenth = 10 * done // total if total else 10
        if total >= FEW and (what, tenth) != self._told:
            self._told = (what, tenth)
            say(f"{what} {done:,}/{total:,}{f' · front {front}' if front else ''}")


def _bar(bar: Bar) -> Progress:
    def step(what: str, done: int, total: int, front: int) -> None:
        bar.step(f"{what} · front {front}" if front else what, done, total)

    return step


@contextmanager
def exploring(what: str) -> Iterator[Progress]:
    """Who is told how far it is.

    Args:
        what: is going on at first.
    """
    if not is_terminal(sys.stderr):
        yield Log()
        return
    with waiting(what, after_s=0.5) as bar:
        yield _bar(bar)
