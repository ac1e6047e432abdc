"""A study as it shows itself in a notebook: what is in it, and its front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.show.notebook import html_line, html_table
from search.front.costs import Cost, cost_named
from search.front.results import Result

if TYPE_CHECKING:
    from search.study import Study

#: Rows of the front that are shown.
MAX_ROWS = 30


def study_html(study: Study) -> str:
    """A line on the study, and its front, cheapest first."""
    front = study.front()
    keys = [objective.key for objective in study.objectives if objective.key]
    costs = [cost for cost in map(cost_named, keys) if cost is not None]
    believed = study.beliefs()
    notes = [f"{len(front) - MAX_ROWS} more of the front are not shown."] if len(front) > MAX_ROWS else []
    if believed:
        notes.append("The front is over believed accuracies (docs/proposing.md); the accuracies here are measured.")
    headers = ["#", "<Stage", "<From", "Accuracy", "95 %", *(cost.label for cost in costs)]
    rows = [_cells(result, costs) for result in front[:MAX_ROWS]]
    chips = ", ".join(chip.name for chip in study.accelerators) or "no accelerator"
    return html_line(f"{study!r} · {study.graph.name} on {chips}") + html_table(headers, rows, notes)


def _cells(result: Result, costs: list[Cost]) -> list[str]:
    interval = "" if result.interval is None else str(result.interval)
    values = [cost.written(result.costs.get(cost.key)) for cost in costs]
    return [str(result.number), result.stage, result.origin, f"{result.accuracy * 100:.2f} %", interval, *values]
