"""Configurations on designs as text and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import WARNING
from reports import units
from reports.run.frames import records
from reports.terminal.tables import new_table, safe_text
from search.codesign.explore import Exploration
from search.front.costs import Cost, cost_named

if TYPE_CHECKING:
    from rich.table import Table


def front_table(found: Exploration, *, every: bool = False, width: int = 80) -> Table:
    """One row per pair: candidate, design, its values, the objectives."""
    costs = _costs(found)
    headers = [*(short_path(path) for path in found.designs.paths), *(cost.short or cost.label for cost in costs)]
    table = new_table("#", "Design", *headers, "Accuracy", *(["<"] if every else []), width=width)
    for row in records(found.to_dataframe(every=every)):
        cells = [
            str(row["number"]),
            str(row["design"]),
            *(str(row[path]) for path in found.designs.paths),
            *(cost.written(row[cost.key]) for cost in costs),
            units.percent(row["believed"]),
            *(["front" if row["front"] else ""] if every else []),
        ]
        table.add_row(*(safe_text(cell) for cell in cells))
    return table


def design_lines(found: Exploration) -> list[tuple[str, str]]:
    """How many pairs of what there are, and the notes."""
    on_front = len({pair.design.number for pair in found.front})
    names = ", ".join(objective.name for objective in found.objectives)
    text = (
        f"{found.num_configurations} configurations of {found.run} on {len(found.designs)} designs of "
        f"{found.designs.name}: a front of {len(found.front)} in {names}, on {on_front} of the designs. "
        "Accuracy is what is believed of the validation split."
    )
    return [("", text), *((WARNING, note) for note in found.notes)]


def exploration_data(found: Exploration, *, every: bool = False) -> dict[str, Any]:
    """All of it as JSON."""
    return {
        "run": str(found.run),
        "hw": str(found.designs.path),
        "accelerator": found.designs.name,
        "objectives": [asdict(objective) for objective in found.objectives],
        "num_configurations": found.num_configurations,
        "designs": [
            {
                "number": design.number, "values": dict(design.values), "area_mm2": design.area_mm2,
                "fingerprint": design.accelerator.fingerprint,
            }
            for design in found.designs
        ],
        "front": records(found.to_dataframe()),
        **({"all": records(found.to_dataframe(every=True))} if every else {}),
        "notes": list(found.notes),
    }  # fmt: skip


def _costs(found: Exploration) -> list[Cost]:
    costs = (cost_named(objective.key) for objective in found.objectives if objective.key)
    return [cost for cost in costs if cost is not None]


def short_path(path: str) -> str:
    """`sram.size` of `memories.sram.size`."""
    return path.split(".", 1)[1] if path.startswith(("memories.", "array.")) else path
