"""A script of a study as a command: its options, and what it prints at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from hwmodel.errors import HwModelError
from reports.exits import Exit
from reports.experiments.experiment import Experiment
from reports.experiments.listing import script_of
from reports.experiments.printing import print_record
from reports.terminal.console import last_words
from reports.terminal.once import OnceCommand
from search.ledger import RunLock


def run(body: Callable[[Experiment], None]) -> None:
    """Run the study of the calling script: `if __name__ == "__main__": run(main)`.

    Args:
        body: does the study with an `Experiment`.
    """
    script = script_of(Path(body.__code__.co_filename))
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command(cls=OnceCommand, help=f"{script.question}\n\nNeeds {script.needs_text}.")
    def command(
        quick: Annotated[
            bool, typer.Option("--quick", help="Seconds, on a part of the data: shows that it runs.")
        ] = False,
        data: Annotated[
            Path | None,
            typer.Option(
                "--data",
                metavar="FOLDER",
                help="Holds data sets and weights; else HWMODEL_DATA.",
                show_default=False,
            ),
        ] = None,
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", metavar="FOLDER", help="Where results go.", show_default=False),
        ] = None,
        device: Annotated[
            str | None, typer.Option("--device", help="cpu, cuda or cuda:N.", show_default=False)
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    ) -> None:
        folder = output or Path("runs") / "studies" / (f"{script.name}-quick" if quick else script.name)
        with RunLock(folder):
            experiment = Experiment(
                name=script.name, question=script.question, folder=folder, data_folder=data, quick=quick, seed=seed,
                device=device,
            )  # fmt: skip
            body(experiment)
            record = experiment.finish()
        print_record(record, folder)

    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        last_words("Interrupted. The same command goes on behind the last step.")
        sys.exit(Exit.INTERRUPTED)
    except HwModelError as error:
        last_words(f"Error: {error}")
        sys.exit(Exit.INVALID)
