"""Files that a command writes: checked before anything is computed, a path that cannot be written is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hwmodel.csvfile import csv_text
from hwmodel.files import write_atomic
from reports.sheets.sheet import Sheet, write_sheet
from reports.terminal.console import emit, say

if TYPE_CHECKING:
    import pandas as pd


def check_output(path: Path | None, kinds: tuple[str, ...], option: str) -> None:
    """A file to write has one of the suffixes (`.png`, ...)."""
    if path is not None and path.suffix.lower() not in kinds:
        raise typer.BadParameter(f"must end in {', '.join(kinds)}, but got {str(path)!r}", param_hint=option)


def check_csv(csv: str | None, *, json: bool) -> None:
    """Two results cannot share stdout."""
    if csv == "-" and json:
        raise typer.BadParameter("give either --csv - or --json: both go to stdout", param_hint="--csv")


def write_csv(frame: pd.DataFrame, csv: str, what: str = "layers") -> None:
    """A frame, one row for each of `what`, as CSV into a file, or on stdout where that is `-`."""
    text = csv_text(frame)
    if csv == "-":
        emit(text.removesuffix("\n"))
    else:
        with writing(csv, "--csv"):
            write_atomic(csv, text)
        say(f"{csv}: {len(frame)} {what}")


def write_page(path: Path, sheet: Sheet) -> None:
    """A page, and where it is."""
    with writing(path, "--html"):
        write_sheet(path, sheet)
    say(f"{path}: the same as a page")


@contextmanager
def writing(path: str | Path, option: str) -> Iterator[None]:
    """A path that cannot be written is a usage error of the option that names it."""
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"cannot write {str(path)!r}: {error.strerror}", param_hint=option) from error
