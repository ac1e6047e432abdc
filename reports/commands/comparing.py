"""`hwmodel compare`: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import JsonOption


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...",
            help="Folders of runs; the others are compared with the first.",
            show_default=False,
            autocompletion=completing.runs,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.html", help="Write a page with the fronts.", show_default=False
        ),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(
            "--csv", metavar="FILE|-", help="Write one row per run as CSV; - is stdout.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare searches: other seeds, chips or settings. What they picked, what differs, and what is a tie."""
    jobs.compare(runs=runs, output=output, csv=csv, json=json)
