"""`hwmodel search`, `resume` and `report`: the main job, and what it found."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from reports.exits import Exit
from reports.page.html import write_page
from reports.run.folder import Run, read_run
from reports.terminal.console import emit, emit_json, make_console, say
from reports.terminal.progress import observing
from reports.terminal.searchtables import front_table, precision_table, run_data, run_lines
from reports.terminal.tables import print_lines
from search.job import JobResult, resume_job, run_job
from search.observer import Observer
from search.spec import SearchSpec, read_spec
from workloads.training import select_device


def search(
    *,
    spec: Path,
    run: Path | None,
    trials: int | None,
    qat: int | None,
    device: str | None,
    strict_bits: bool,
    extend: bool,
    json: bool,
) -> None:
    """Run a specification to its end."""
    chosen = _with_budget(read_spec(spec), trials, qat)
    if strict_bits:
        chosen = chosen.model_copy(update={"strict_bits": True})
    folder = run if run is not None else Path("runs") / chosen.name
    command = f"hwmodel {' '.join(sys.argv[1:])}"

    def job(observer: Observer) -> JobResult:
        return run_job(chosen, folder, observer=observer, device=device, extend=extend, command=command)

    _watched(job, folder, name=chosen.name, device=device, json=json)


def resume(*, run: Path, device: str | None, json: bool) -> None:
    """Go on with a run."""

    def job(observer: Observer) -> JobResult:
        return resume_job(run, observer=observer, device=device)

    _watched(job, run, name=run.name, device=device, json=json)


def report(*, run: Path, json: bool) -> None:
    """Write the page and the figures of a run again, and show its front."""
    _show(_reported(run), json=json)


def _with_budget(spec: SearchSpec, trials: int | None, qat: int | None) -> SearchSpec:
    changes = {name: value for name, value in (("trials", trials), ("qat", qat)) if value is not None}
    return spec.model_copy(update={"search": spec.search.model_copy(update=changes)}) if changes else spec


def _watched(
    job: Callable[[Observer], JobResult], folder: Path, *, name: str, device: str | None, json: bool
) -> None:
    """Run a job under an observer, write the page, and end with `Exit.DONE`, `FAILED` or `INTERRUPTED`."""
    hint = f"hwmodel resume {shlex.quote(str(folder))}"
    used = str(select_device(device))
    try:
        with observing(name, device=used, hint=hint) as observer:
            result = job(observer)
        found = _reported(folder)
    except KeyboardInterrupt:
        started = (folder / "config.yaml").exists()
        say(f"Interrupted: nothing is lost. {hint}" if started else "Interrupted before the run began.")
        raise typer.Exit(Exit.INTERRUPTED) from None
    _show(found, json=json)
    if result.num_failed:
        raise typer.Exit(Exit.FAILED)


def _reported(folder: Path) -> Run:
    """The run, read once, its page written."""
    run = read_run(folder)
    write_page(run)
    return run


def _show(run: Run, *, json: bool) -> None:
    if json:
        emit_json(run_data(run))
        return
    console = make_console()
    console.print(front_table(run, width=console.width))
    emit("")
    console.print(precision_table(run, width=console.width))
    emit("")
    print_lines(console, run_lines(run))
