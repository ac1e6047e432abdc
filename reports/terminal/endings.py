"""How every command ends: one message and an exit code for what is the user's, a traceback for what is ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from hwmodel.errors import HwModelError
from reports.exits import Exit
from reports.terminal.console import last_words
from reports.terminal.interrupts import interruptible


@contextmanager
def ended(*, debug: bool = False, interrupted: str = "Interrupted.") -> Iterator[None]:
    """Within it errors of users, closed pipes and interrupts end the command as `Exit` says.

    Args:
        debug: errors keep their traceback.
        interrupted: what an interrupted user is told.

    Raises:
        typer.Exit: so it ends.
    """
    try:
        with interruptible():
            yield
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        raise typer.Exit(Exit.DONE) from None
    except KeyboardInterrupt:
        last_words(interrupted)
        raise typer.Exit(Exit.INTERRUPTED) from None
    except (HwModelError, OSError) as error:  # a full disk, a folder without rights: nothing of ours is wrong
        if debug:
            raise
        last_words(f"Error: {error}")
        raise typer.Exit(Exit.INVALID) from None


def _drop_stdout() -> None:
    """The reader of the pipe is gone (`| head`): what is still buffered goes nowhere, quietly."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
