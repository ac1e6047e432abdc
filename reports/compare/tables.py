"""Compared runs as text and JSON: a table where it fits the screen, else the same run by run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import WARNING, safe_name, shortened
from reports import units
from reports.compare.runs import Compared, Comparison
from reports.run.frames import records
from reports.run.metrics import interval_text
from reports.run.volume import MARGIN
from reports.terminal.tables import new_table, print_lines, safe_text

if TYPE_CHECKING:
    from rich.console import Console

#: Characters of a value of a difference; it is cut in the middle.
MAX_VALUE = 40


def print_comparison(console: Console, found: Comparison) -> None:
    """The table, the differences, and what limits the comparison."""
    print_rows(console, summary_rows(found))
    print_lines(console, [("", ""), *((WARNING, text) for text in found.limits), *(("", t) for t in notes(found))])
    if found.differences:
        print_lines(console, [("", ""), ("", "What differs in their specifications:")])
        print_rows(console, difference_rows(found))
        if any(cut(value) != value for item in found.differences for value in item.values):
            print_lines(
                console, [("", f"Values of more than {MAX_VALUE} characters are cut; --json has them whole.")]
            )
    else:
        print_lines(console, [("", "Their specifications do not differ.")])


def summary_rows(found: Comparison) -> list[dict[str, str]]:
    """Header -> cell, one row per run."""
    return [_summary_row(found, item) for item in found.runs]


def _summary_row(found: Comparison, item: Compared) -> dict[str, str]:
    picked, score = item.run.picked_row, item.run.float_accuracy
    row = {
        "Run": item.name,
        "Scores": item.scored + ("" if item.is_finished else " (unfinished)"),
        "Float": units.percent(None if score is None else score.value),
        "Pick": "none" if picked is None else f"#{int(picked['number'])}",
    }
    for cost in found.costs:
        row[cost.short or cost.label] = cost.written(None if picked is None else picked.get(cost.key))
    row["Validation"] = _scored(picked, "accuracy")
    row["Test"] = _scored(picked, "test")
    row[f"Beside {found.runs[0].name}"] = found.against_first(item) or units.MISSING
    row["Hypervolume"] = units.percent(found.volume(item), 1)
    return row


def _scored(picked: Mapping[str, Any] | None, name: str) -> str:
    """`96.11 % (95.1 to 97.4)`."""
    if picked is None:
        return units.MISSING
    value, interval = (
        units.percent(picked["test_accuracy" if name == "test" else name]),
        interval_text(picked, name),
    )
    return f"{value} ({interval})" if interval else value


def notes(found: Comparison) -> list[str]:
    """What the columns mean."""
    lines = [
        "In brackets: 95 % intervals. Beside the first: test accuracies of the picks where both were tested, else "
        "those on validation; a tie: the intervals overlap."
    ]
    if found.box is not None:
        names = ", ".join(objective.name for objective in found.objectives)
        lines.append(
            f"Hypervolume of {names}, {found.stage.upper()} results, accuracies as measured: the share of the box "
            f"from the best values of all runs to {MARGIN:.0%} of their range beyond the worst, the reference "
            f"point: {found.box.reference()}."
        )
    return lines


def difference_rows(found: Comparison, *, whole: bool = False) -> list[dict[str, str]]:
    """Header -> cell, one row per key; long values cut in the middle unless they are to be `whole`."""
    names = [item.name for item in found.runs]
    return [
        {"Key": item.key, **dict(zip(names, (v if whole else cut(v) for v in item.values), strict=True))}
        for item in found.differences
    ]


def cut(value: str) -> str:
    """A value of a difference as a terminal shows it."""
    return shortened(safe_name(value), MAX_VALUE)


def print_rows(console: Console, rows: Sequence[Mapping[str, str]]) -> None:
    """A row per line where that fits the screen, else a column per row, else row by row with a line per cell."""
    for shown in (rows, turned(rows)):
        headers = list(shown[0])
        widths = [max(_width(text) for text in (header, *(row[header] for row in shown))) for header in headers]
        if sum(widths) + 2 * len(widths) <= console.width:
            table = new_table(*(f"<{safe_name(header)}" for header in headers), width=console.width)
            for row in shown:
                table.add_row(*(safe_text(row[header]) for header in headers))
            console.print(table)
            return
    for number, row in enumerate(rows):
        lines = [("", f"{header}: {text}") for header, text in row.items()]
        print_lines(console, [*([("", "")] if number else []), *lines])


def turned(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Rows as columns, named by their first cells."""
    first, *headers = rows[0]
    return [{first: header, **{row[first]: row[header] for row in rows}} for header in headers]


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(safe_name(text))


def comparison_data(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON; units are in the names."""
    return {
        "runs": records(found.to_dataframe()),
        "first": found.runs[0].name,
        "limits": list(found.limits),
        "differences": [{"key": item.key, "values": list(item.values)} for item in found.differences],
        "objectives": [objective.name for objective in found.objectives],
        "stage": found.stage,
        "reference": None if found.box is None else found.box.reference(),
        "histories": {name: [_plain(share) for share in shares] for name, shares in found.histories.items()},
    }


def _plain(share: float) -> float | None:
    return None if math.isnan(share) else round(share, 6)
