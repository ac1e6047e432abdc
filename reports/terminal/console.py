"""Where text goes: results to stdout, everything else to stderr, and no colour where none is wanted."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from hwmodel.network.names import safe_name

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of text that goes to a file or a pipe, so that one layer stays one line.
PIPE_WIDTH = 160


def make_console(stream: IO[str] | None = None) -> Console:
    """A console on a stream (stdout by default).

    A terminal gets colour unless NO_COLOR is set; a pipe gets plain text, `COLUMNS` or
    `PIPE_WIDTH` columns wide. A closed pipe raises BrokenPipeError, which the command ends on quietly.
    """
    from rich.console import Console

    class PipeConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    file = stream or sys.stdout
    width = None
    if not file.isatty() and not os.environ.get("COLUMNS", "").isdecimal():
        width = PIPE_WIDTH
    return PipeConsole(file=file, width=width, highlight=False, emoji=False, markup=False)


def is_terminal(stream: IO[str]) -> bool:
    """The stream is a terminal that can redraw lines."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """Lines for the reader on stderr: progress, hints, errors. No name in them can rewrite the terminal."""
    sys.stderr.write("".join(f"{safe_name(line)}\n" for line in text.splitlines() or [""]))
    sys.stderr.flush()


def last_words(text: str) -> None:
    """As `say`, before the command ends; where the terminal is gone (SIGHUP) nobody reads it."""
    with contextlib.suppress(OSError):
        say(text)


def emit(text: str) -> None:
    """A line of the result on stdout."""
    sys.stdout.write(f"{text}\n")


def emit_json(data: Any) -> None:
    """The result as JSON on stdout; NaN and infinities become null, which every parser reads."""
    emit(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def plain(data: Any) -> Any:
    """Nested values as JSON has them: numpy scalars unwrapped, paths as text, NaN as None."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple, set, frozenset)):
        return [plain(value) for value in data]
    if data is None or isinstance(data, (bool, int, str)):
        return data
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    item = getattr(data, "item", None)
    if callable(item) and getattr(data, "ndim", None) == 0:
        return plain(item())
    tolist = getattr(data, "tolist", None)
    return plain(tolist()) if callable(tolist) else str(data)
