"""Quick commands run without collections of garbage, and leave the collector as they found it."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from reports.terminal.quick import QuickCommand, uncollected


@pytest.mark.parametrize("fails", [False, True])
def test_the_collector_waits_for_the_command(fails):
    seen = []
    app = typer.Typer()

    @app.command(cls=QuickCommand)
    def run() -> None:
        seen.append(gc.isenabled())
        if fails:
            raise OSError("no")

    assert gc.isenabled()
    CliRunner().invoke(app, [])
    assert seen == [False]
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_end_of_the_process_collects_nothing_either():
    """What a cycle holds is let go by the collector alone: here it is not looked at, as the process ends anyway."""
    code = (
        "from reports.terminal.quick import uncollected\n"
        "class Cycle:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self): print('collected')\n"
        "with {}: Cycle()\n"
        "print('end')"
    )
    for context, printed in (
        ("uncollected()", ["end"]),
        ("__import__('contextlib').nullcontext()", ["end", "collected"]),
    ):
        answer = subprocess.run(
            [sys.executable, "-c", code.format(context)], capture_output=True, text=True, check=True
        )
        assert answer.stdout.split() == printed
