"""`hwmodel compare`: runs beside each other, on the terminal and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from reports.compare.runs import compare_runs
from reports.compare.sheet import write_comparison
from reports.compare.tables import comparison_data, print_comparison
from reports.jobs.outputs import check_csv, check_output, write_csv, writing
from reports.terminal.console import emit_json, make_console, say


def compare(*, runs: Sequence[Path], output: Path | None, csv: str | None, json: bool) -> None:
    """Compare runs; show what they found and what they differ in, write the page."""
    check_csv(csv, json=json)
    check_output(output, (".html",), "--output")
    if len(runs) < 2:
        raise typer.BadParameter("takes two runs at least", param_hint="RUN")
    found = compare_runs(*runs)
    if csv is not None:
        write_csv(found.to_dataframe(), csv, "runs")
    if output is not None:
        with writing(output, "--output"):
            write_comparison(output, found)
        say(f"{output}: the same as a page")
    if json:
        emit_json(comparison_data(found))
    elif csv != "-":
        print_comparison(make_console(), found)
