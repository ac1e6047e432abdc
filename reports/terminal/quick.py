"""Commands that load libraries, compute and end: garbage collections would only walk over what they loaded."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reports.terminal.once import OnceCommand


class QuickCommand(OnceCommand):
    """A command of some seconds, most of which are imports: it runs without collections."""

    def invoke(self, ctx: Any) -> Any:
        with uncollected():
            return super().invoke(ctx)


@contextmanager
def uncollected() -> Iterator[None]:
    """No cyclic garbage collection in here, nor at the end of the process over what lives then.

    torch makes a million objects that live as long as the process. Collections during its import, and the last one
    of the interpreter, take a quarter of the processor time of `hwmodel cost resnet18`, and free nothing.
    """
    was_enabled = gc.isenabled()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
