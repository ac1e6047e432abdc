"""`hwmodel hw`: the accelerators that have a name, and files of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports import jobs
from reports.commands import completing
from reports.commands.options import JsonOption
from reports.terminal.once import OnceCommand

app = typer.Typer(no_args_is_help=True)

ChipArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE",
        help="A name or a YAML file.",
        show_default=False,
        autocompletion=completing.accelerators,
    ),
]


@app.command("list", cls=OnceCommand)
def list_all(json: JsonOption = False) -> None:
    """List the accelerators that have a name."""
    jobs.list_chips(json=json)


@app.command("show", cls=OnceCommand)
def show(
    name: ChipArgument,
    json: JsonOption = False,
) -> None:
    """Show one accelerator: its array, its memories, and the source of every number."""
    jobs.show_chip(name=name, json=json)


@app.command("check", cls=OnceCommand)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Check an accelerator file; the first problem is named with its line and its fix."""
    jobs.check_chip(file=file, json=json)


@app.command("diff", cls=OnceCommand)
def diff(
    first: ChipArgument,
    second: ChipArgument,
    json: JsonOption = False,
) -> None:
    """Show what tells two accelerators apart: every number that enters a cost."""
    jobs.diff_chips(first=first, second=second, json=json)


@app.command("new", cls=OnceCommand)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the chip.", show_default=False)],
    macs: Annotated[
        str | None, typer.Option("--macs", metavar="16x16", help="PEs, rows x columns.", show_default=False)
    ] = None,
    bits: Annotated[
        str | None, typer.Option("--bits", metavar="8x8", help="Native widths in bit, W x I.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="fixed|fusion|bit_serial", help="What narrow widths bring."),
    ] = None,
    dataflow: Annotated[
        str | None,
        typer.Option("--dataflow", metavar="ws|os|free", help="What stays in the PEs: weights, outputs, or any."),
    ] = None,
    registers: Annotated[
        str | None, typer.Option("--registers", metavar="SIZE|auto", help="Of a PE; auto: what it needs.")
    ] = None,
    buffer: Annotated[str | None, typer.Option("--buffer", metavar="SIZE", help="Shared buffer.")] = None,
    node: Annotated[str | None, typer.Option("--node", metavar="28nm", help="Technology.")] = None,
    clock: Annotated[str | None, typer.Option("--clock", metavar="500MHz", help="Frequency.")] = None,
    dram: Annotated[
        str | None, typer.Option("--dram", metavar="3.2GB/s", help="Bandwidth of the memory outside.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: NAME.yaml.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a commented accelerator file from a few answers; on a terminal it asks for those that lack."""
    jobs.new_chip(
        name=name,
        output=output,
        given={
            "macs": macs, "bits": bits, "precision": precision, "dataflow": dataflow, "registers": registers,
            "buffer": buffer, "node": node, "clock": clock, "dram": dram,
        },
        force=force,
        json=json,
    )  # fmt: skip


@app.command("calibrate", cls=OnceCommand)
def calibrate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The YAML file to write.", show_default=False)
    ],
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    layers: Annotated[int, typer.Option(min=4, help="Products, and convolutions, measured per format.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the shapes.")] = 0,
    json: JsonOption = False,
) -> None:
    """Measure this machine and write it as an accelerator file."""
    jobs.calibrate(output=output, device=device, layers=layers, seed=seed, json=json)
