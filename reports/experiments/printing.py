"""Records in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.experiments.record import Record
from reports.terminal.console import make_console
from reports.terminal.tables import new_table, safe_text

#: Columns of accuracies without a count: those of others, and wishes.
_SHARES = ("published", "aim")
#: Rows of a table that a reader still reads.
LONGEST = 16


def print_record(record: Record, folder: Path) -> None:
    """The tables, the finding, and where everything is."""
    console = make_console()
    for name, rows in record.tables.items():
        if len(rows) > LONGEST:
            console.print(safe_text(f"{name}: {len(rows):,} rows, in {record.name}-{name}.csv"))
            continue
        console.print(safe_text(name, "bold"))
        _print_rows(console, shown_rows(rows))
    for cut in record.cuts:
        console.print(safe_text(f"cut: {cut}"))
    if record.quick:
        console.print(safe_text("! quick version: its numbers mean nothing", "yellow"))
    console.print(safe_text(record.finding))
    files = ", ".join((f"{record.name}.json", *record.figures))
    console.print(safe_text(f"{record.seconds:.0f} s on {record.device}; {files} in {folder}"), overflow="fold")


def shown_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows for people: an accuracy and its interval in one cell, numbers with as many digits as matter."""
    return [_shown_row(row) for row in rows]


def _shown_row(row: Mapping[str, Any]) -> dict[str, str]:
    cells: dict[str, str] = {}
    has_accuracies = any(key.endswith("_images") for key in row)
    for key, value in row.items():
        if f"{key}_images" in row:
            low, high = row[f"{key}_low"] * 100, row[f"{key}_high"] * 100
            cells[key.replace("_", " ")] = f"{value * 100:.2f} % ({low:.1f} to {high:.1f})"
        elif not any(key == f"{other}{end}" for other in row for end in ("_low", "_high", "_images")):
            is_share = has_accuracies and key in _SHARES and value is not None and value <= 1
            cells[key.replace("_", " ")] = f"{value * 100:.2f} %" if is_share else _shown(value)
    return cells


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value + 0.0:.5g}" if isinstance(value, float) else str(value)


def _print_rows(console: Any, rows: Sequence[Mapping[str, str]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = new_table(*(f"<{columns[0]}", *columns[1:]) if columns else ("",), width=console.width)
    for row in rows:
        table.add_row(*(safe_text(row.get(column, "-")) for column in columns))
    console.print(table)
