"""`hwmodel export` and `diff`: configurations leave for other tools, and are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import JsonOption, PickOption
from reports.jobs.formats import FORMATS

CheckpointOption = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="FILE.safetensors", help="Its weights; default: those of the file."),
]


def export(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|best.yaml",
            help="Folder of a run, or a configuration.",
            show_default=False,
            autocompletion=completing.configurations,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="best.yaml", help="The same, as an option.", show_default=False),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    ] = "yaml",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write here; text goes to stdout without it.", show_default=False),
    ] = None,
    checkpoint: CheckpointOption = None,
    fold: Annotated[
        bool, typer.Option("--fold-norms", help="ONNX: batch norms go into scales and biases.")
    ] = False,
    pick: PickOption = None,
    images: Annotated[int, typer.Option("--check", min=0, help="ONNX: validation images to compare on.")] = 64,
    json: JsonOption = False,
) -> None:
    """Write the picked configuration, or its compressed model, for another tool."""
    jobs.export(
        source=source,
        config=config,
        format=format,
        output=output,
        checkpoint=checkpoint,
        pick=pick,
        fold=fold,
        images=images,
        json=json,
    )


def diff(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A run or a configuration.",
            show_default=False,
            autocompletion=completing.configurations,
        ),
    ],
    second: Annotated[
        Path,
        typer.Argument(metavar="B", help="Another.", show_default=False, autocompletion=completing.configurations),
    ],
    json: JsonOption = False,
) -> None:
    """Show in which layers two configurations differ."""
    jobs.diff(first=first, second=second, json=json)
