"""`hwmodel explore`: a finished run on every design of a chip file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reports.explore.tables import design_lines, exploration_data, front_table
from reports.jobs.outputs import check_csv, write_csv
from reports.terminal.console import emit, emit_json, is_terminal, make_console
from reports.terminal.tables import print_lines
from search.codesign.explore import explore_run


def explore(*, run: Path, hw: str, objectives: str | None, every: bool, csv: str | None, json: bool) -> None:
    """Price a run on every design, and show the front of configurations and designs."""
    check_csv(csv, json=json)
    names = None if objectives is None else [name.strip() for name in objectives.split(",")]
    with _progress() as progress:
        found = explore_run(run, hw, objectives=names, progress=progress)
    if csv is not None:
        write_csv(found.to_dataframe(every=every), csv, "rows")
    if json:
        emit_json(exploration_data(found, every=every))
    elif csv != "-":
        console = make_console()
        console.print(front_table(found, every=every, width=console.width))
        emit("")
        print_lines(console, design_lines(found))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Designs priced so far, on a terminal."""
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("pricing designs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=make_console(sys.stderr), transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)
