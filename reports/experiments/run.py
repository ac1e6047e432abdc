"""A script of a study as a command: its options, and what it prints at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from reports.experiments.experiment import Experiment
from reports.experiments.listing import script_of
from reports.experiments.printing import print_record
from reports.terminal.endings import ended
from reports.terminal.once import OnceCommand
from search.ledger import RunLock


class _Script(OnceCommand):
    """Ends as the commands of `hwmodel` do."""

    def invoke(self, ctx: Any) -> Any:
        with ended(interrupted="Interrupted. The same command goes on behind the last step."):
            return super().invoke(ctx)


def run(body: Callable[[Experiment], None]) -> None:
    """Run the study of the calling script: `if __name__ == "__main__": run(main)`.

    Args:
        body: does the study with an `Experiment`.
    """
    script = script_of(Path(body.__code__.co_filename))
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

    @app.command(cls=_Script, help=f"{script.question}\n\nNeeds {script.needs_text}.")
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
                device=device, needs=script.needs,
            )  # fmt: skip
            body(experiment)
            record = experiment.finish()
        print_record(record, folder)

    app()
