"""`hwmodel search`, `resume`, `report` and `pick`: the main job, and what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands.options import (
    PICK_RULES,
    DeviceOption,
    JsonOption,
    NoFuseOption,
    PickOption,
    RunArgument,
    StrictBitsOption,
)

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Candidates scored at once, each in a process of its own.", show_default=False
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", help="Of the workers: processes or ray.", show_default=False),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Of the cluster of ray, or auto.", show_default=False),
]


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
    no_fuse: NoFuseOption = False,
    extend: Annotated[bool, typer.Option("--extend", help="Accept a space that contains the old one.")] = False,
    workers: WorkersOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Search bits and density of every layer: front, report and best.yaml.

    Run it again, or hwmodel resume, after an interruption: nothing is lost.
    """
    jobs.search(
        spec=spec,
        run=run,
        trials=trials,
        qat=qat,
        device=device,
        strict_bits=strict_bits,
        fuse=not no_fuse,
        extend=extend,
        json=json,
        engine=engine,
        workers=workers,
        address=address,
    )


def resume(
    run: RunArgument,
    device: DeviceOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write a lost or damaged ledger.jsonl again from study.db first.")
    ] = False,
    workers: WorkersOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a search that was interrupted."""
    jobs.resume(
        run=run,
        device=device,
        rebuild=rebuild,
        json=json,
        engine=engine,
        workers=workers,
        address=address,
    )


def report(
    run: RunArgument,
    pick: PickOption = None,
    open: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    json: JsonOption = False,
) -> None:
    """Write report.html and the figures of a run again, and show its front."""
    jobs.report(run=run, pick=pick, open=open, json=json)


def pick(
    run: RunArgument,
    rule: Annotated[str, typer.Argument(metavar="RULE", help=f"{PICK_RULES}.", show_default=False)],
    design: Annotated[
        int | None,
        typer.Option("--design", min=0, help="On this design, where the chip has several.", show_default=False),
    ] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Choose another point of the front: best.yaml, its weights, the tables and the report follow."""
    jobs.pick(run=run, rule=rule, design=design, device=device, json=json)
