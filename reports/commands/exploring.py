"""`hwmodel explore`: chips that a file describes by ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import HardwareOption, JsonOption


def explore(
    run: Annotated[
        Path,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Folder of a finished search.",
            show_default=False,
            autocompletion=completing.runs,
        ),
    ],
    hw: HardwareOption,
    objectives: Annotated[
        str | None,
        typer.Option(
            "--objectives",
            metavar="accuracy,energy,...",
            help="Of the front; default: accuracy, energy, latency, and area where it is known.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every configuration on every design.")] = False,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE|-", help="Write the rows as CSV; - is stdout.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Price what a search finetuned on every design of a chip file with ranges: nothing is trained."""
    jobs.explore(run=run, hw=hw, objectives=objectives, every=every, csv=csv, json=json)
