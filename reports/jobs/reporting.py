"""How a search ends: the page, and the front on the terminal."""

from __future__ import annotations

from pathlib import Path

from reports.page.html import write_page
from reports.run.folder import Run, read_run
from reports.terminal.console import emit, emit_json, make_console
from reports.terminal.searchtables import front_table, precision_table, run_data, run_lines
from reports.terminal.tables import print_lines


def reported(folder: Path) -> Run:
    """The run, read once, its page written."""
    run = read_run(folder)
    write_page(run)
    return run


def show(run: Run, *, json: bool) -> None:
    """The front, the bits of every layer, and what was found."""
    if json:
        emit_json(run_data(run))
        return
    console = make_console()
    console.print(front_table(run, width=console.width))
    emit("")
    console.print(precision_table(run, width=console.width))
    emit("")
    print_lines(console, run_lines(run))
