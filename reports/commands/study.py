"""`hwmodel search`, `resume` and `report`: the main job, and what it found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reports.commands.options import DeviceOption, JsonOption, StrictBitsOption

if TYPE_CHECKING:
    from search.job import JobResult
    from search.observer import Observer
    from search.spec import SearchSpec

FAILED, INTERRUPTED = 4, 130

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)]


def search(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="What to search, and how.", show_default=False)],
    run: Annotated[
        Path | None, typer.Option("--run", metavar="FOLDER", help="Default: runs/NAME.", show_default=False)
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Candidates quantized, in total.", show_default=False)
    ] = None,
    qat: Annotated[
        int | None, typer.Option("--qat", min=0, help="Candidates finetuned, in total.", show_default=False)
    ] = None,
    device: DeviceOption = None,
    strict_bits: StrictBitsOption = False,
    extend: Annotated[bool, typer.Option("--extend", help="Accept a space that contains the old one.")] = False,
    json: JsonOption = False,
) -> None:
    """Search bits and density of every layer: front, report and best.yaml.

    Run it again, or hwmodel resume, after an interruption: nothing is lost.
    """
    from search.job import run_job
    from search.spec import read_spec

    chosen = _with_budget(read_spec(spec), trials, qat)
    if strict_bits:
        chosen = chosen.model_copy(update={"strict_bits": True})
    folder = run if run is not None else Path("runs") / chosen.name
    command = f"hwmodel {' '.join(sys.argv[1:])}"

    def job(observer: Observer) -> JobResult:
        return run_job(chosen, folder, observer=observer, device=device, extend=extend, command=command)

    _run(job, folder, name=chosen.name, device=device, json=json)


def resume(run: RunArgument, device: DeviceOption = None, json: JsonOption = False) -> None:
    """Go on with a search that was interrupted."""
    from search.job import resume_job

    _run(lambda observer: resume_job(run, observer=observer, device=device), run, run.name, device, json)


def report(run: RunArgument, json: JsonOption = False) -> None:
    """Write report.html and the figures of a run again, and show its front."""
    from reports.page.html import write_report
    from reports.run.folder import read_run

    data = read_run(run)
    write_report(run)
    _show(data.place, json=json)


def _with_budget(spec: SearchSpec, trials: int | None, qat: int | None) -> SearchSpec:
    changes = {name: value for name, value in (("trials", trials), ("qat", qat)) if value is not None}
    return spec.model_copy(update={"search": spec.search.model_copy(update=changes)}) if changes else spec


def _run(job: Callable[[Observer], JobResult], folder: Path, name: str, device: str | None, json: bool) -> None:
    """Run a job under an observer, write the report, and end with 0, 4 or 130."""
    import shlex

    from reports.page.html import write_report
    from reports.terminal.console import say
    from reports.terminal.progress import observing
    from workloads.training import select_device

    hint = f"hwmodel resume {shlex.quote(str(folder))}"
    used = str(select_device(device))
    try:
        with observing(name, device=used, hint=hint) as observer:
            result = job(observer)
        write_report(folder)
    except KeyboardInterrupt:
        started = (folder / "config.yaml").exists()
        say(f"Interrupted: nothing is lost. {hint}" if started else "Interrupted before the run began.")
        raise typer.Exit(INTERRUPTED) from None
    _show(str(folder), json=json)
    if result.num_failed:
        raise typer.Exit(FAILED)


def _show(folder: str, *, json: bool) -> None:
    from reports.run.folder import read_run
    from reports.terminal.console import emit, emit_json, make_console
    from reports.terminal.searchtables import front_table, precision_table, run_json, run_lines
    from reports.terminal.tables import print_lines

    data = read_run(folder)
    if json:
        emit_json(run_json(data))
        return
    console = make_console()
    console.print(front_table(data, width=console.width))
    emit("")
    console.print(precision_table(data, width=console.width))
    emit("")
    print_lines(console, run_lines(data))
