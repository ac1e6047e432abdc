"""`hwmodel search` and `resume`: the main job."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from reports.exits import Exit
from reports.jobs.reporting import reported, show
from reports.live.progress import observing
from reports.terminal.console import last_words
from search.executors import Engine
from search.job import JobResult, resume_job, run_job
from search.ledger import RunStoppedError, stopping
from search.observer import Observer
from search.spec import SearchSpec, read_spec
from workloads import training


def search(
    *,
    spec: Path,
    run: Path | None,
    trials: int | None,
    qat: int | None,
    device: str | None,
    strict_bits: bool,
    fuse: bool,
    extend: bool,
    json: bool,
    engine: str | None,
    workers: int | None,
    address: str | None,
) -> None:
    """Run a specification to its end."""
    chosen = _with_budget(read_spec(spec), trials, qat)
    if strict_bits:
        chosen = chosen.model_copy(update={"strict_bits": True})
    if not fuse:
        chosen = chosen.model_copy(update={"fuse": False})
    folder = run if run is not None else Path("runs") / chosen.name
    hands = Engine.of(engine, workers, address)
    command = f"hwmodel {' '.join(sys.argv[1:])}"

    def job(observer: Observer) -> JobResult:
        return run_job(
            chosen, folder, progress=observer, device=device, extend=extend, command=command, engine=hands
        )

    _watched(job, folder, name=chosen.name, device=device, json=json)


def resume(
    *,
    run: Path,
    device: str | None,
    rebuild: bool,
    json: bool,
    engine: str | None,
    workers: int | None,
    address: str | None,
) -> None:
    """Go on with a run; with `rebuild` after writing its ledger again from study.db."""
    hands = Engine.of(engine, workers, address)

    def job(observer: Observer) -> JobResult:
        return resume_job(run, progress=observer, device=device, rebuild=rebuild, engine=hands)

    _watched(job, run, name=run.name, device=device, json=json)


def _with_budget(spec: SearchSpec, trials: int | None, qat: int | None) -> SearchSpec:
    changes = {name: value for name, value in (("trials", trials), ("qat", qat)) if value is not None}
    return spec.model_copy(update={"search": spec.search.model_copy(update=changes)}) if changes else spec


def _watched(
    job: Callable[[Observer], JobResult], folder: Path, *, name: str, device: str | None, json: bool
) -> None:
    """Run a job under an observer, write the page, and end with `Exit.DONE`, `FAILED` or `INTERRUPTED`."""
    hint = f"hwmodel resume {shlex.quote(str(folder))}"
    used = str(training.select_device(device))
    try:
        with observing(name, device=used, hint=hint) as observer:
            result = job(observer)
        with stopping(folder):
            found = reported(folder)
    except KeyboardInterrupt:
        started = (folder / "config.yaml").exists()
        last_words(f"Interrupted: nothing is lost. {hint}" if started else "Interrupted before the run began.")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except RunStoppedError as error:
        last_words(f"Error: {error}")
        raise typer.Exit(Exit.INTERRUPTED) from None
    show(found, json=json)
    if result.num_failed:
        raise typer.Exit(Exit.FAILED)
