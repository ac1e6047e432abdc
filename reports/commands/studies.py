"""`hwmodel studies`: the experiments that come with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands.options import JsonOption


def studies(
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="Of scripts; else examples/studies.", show_default=False),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            "--gallery", metavar="FOLDER", help="Write README.md there from the records in it.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the studies on real data: what each asks and needs, and how long it took."""
    jobs.studies(folder=folder, gallery=gallery, json=json)
