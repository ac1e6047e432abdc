"""How a command ends: the exit codes, and nowhere else a number."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `hwmodel`. A defect of hwmodel itself ends with a traceback and Python's own 1."""

    DONE = 0
    USAGE = 2  #: click's own
    INVALID = 3
    FAILED = 4
    INTERRUPTED = 130  #: 128 + SIGINT, as shells count

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    Exit.DONE: "done",
    Exit.USAGE: "usage",
    Exit.INVALID: "invalid model or config",
    Exit.FAILED: "some candidates failed",
    Exit.INTERRUPTED: "interrupted",
}

EXIT_CODES = f"Exit codes: {', '.join(f'{code:d} {code.meaning}' for code in Exit)}."
