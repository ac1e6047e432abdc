"""The command `hwmodel`: its commands, and how every one of them ends (`reports.terminal.endings`).

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hwmodel import __version__
from reports.commands import (
    comparing,
    compression,
    doctor,
    exploring,
    finetuning,
    hardware,
    laddering,
    model,
    studies,
    study,
)
from reports.exits import EXIT_CODES
from reports.terminal.endings import ended
from reports.terminal.once import OnceCommand
from reports.terminal.quick import QuickCommand


class Commands(TyperGroup):
    """The top-level group: turns the errors of users into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        with ended(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How few bits, and how few weights, can each layer of a network live with on an accelerator?",
    epilog=EXIT_CODES,
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"hwmodel {__version__}")
        raise typer.Exit()


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """How few bits, and how few weights, can each layer of a network live with on an accelerator?"""


app.command("trace", cls=QuickCommand)(model.trace)
app.command("cost", cls=QuickCommand)(model.cost)
app.command("map", cls=QuickCommand)(model.map_layer)
app.command("search", cls=OnceCommand)(study.search)
app.command("resume", cls=OnceCommand)(study.resume)
app.command("report", cls=OnceCommand)(study.report)
app.command("pick", cls=OnceCommand)(study.pick)
app.command("compare", cls=OnceCommand)(comparing.compare)
app.command("explore", cls=OnceCommand)(exploring.explore)
app.command("export", cls=OnceCommand)(compression.export)
app.command("diff", cls=OnceCommand)(compression.diff)
app.command("finetune", cls=OnceCommand)(finetuning.finetune)
app.command("ladder", cls=OnceCommand)(laddering.ladder)
app.command("studies", cls=OnceCommand)(studies.studies)
app.add_typer(hardware.app, name="hw", help="Accelerators: list, show, check, diff, new, calibrate.")
app.command("doctor", cls=OnceCommand)(doctor.doctor)

if __name__ == "__main__":
    app()
