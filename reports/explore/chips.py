"""Explored chips as text, JSON and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import OK, WARNING
from reports.explore.figure import plot_chips
from reports.explore.tables import short_path
from reports.run.frames import records
from reports.sheets.sheet import Picture, Section, Sheet
from reports.sheets.terminal import html_of
from reports.terminal.tables import new_table, safe_text
from search.explore.axes import cost_of
from search.explore.found import ChipExploration, ChipRow

if TYPE_CHECKING:
    from rich.table import Table

#: Rows of a front that a terminal shows; files and pages hold all.
MAX_ROWS = 40


def chips_table(
    found: ChipExploration, model: str, *, width: int = 80, most: int | None = None, every: bool = False
) -> Table:
    """The front of a network, or of the means, a row per design, the knee marked.

    Args:
        found: designs and what they cost.
        model: whose front; "" of the means.
        width: of the table [characters].
        most: rows of the front that are shown; None shows all.
        every: all priced designs, those of the front marked.
    """
    paths, names = _shown_paths(found), list(found.axes.names)
    headers = [*(short_path(path) for path in paths), *(name.capitalize() for name in names)]
    table = new_table("Design", *headers, "<", width=width)
    for row in found.rows if every else _thinned(found.fronts[model], model, most):
        mark = "knee" if model in row.knees else "front" if every and model in row.fronts else ""
        cells = [
            str(row.number),
            *(str(row.values[path]) for path in paths),
            *(cost_of(name).written(value) for name, value in zip(names, found.values(row, model), strict=True)),
            mark,
        ]
        table.add_row(*(safe_text(cell) for cell in cells))
    return table


def chips_lines(found: ChipExploration, *, most: int | None = None) -> list[tuple[str, str]]:
    """How the designs ended, and what to know."""
    lines = [("", told(found))]
    for model, front in found.fronts.items():
        if most is not None and len(front) > most:
            whose = f" of {model}" if model and len(found.fronts) > 1 else ""
            lines.append(("", f"{most} of the {len(front)} designs on the front{whose} are shown: --csv has all."))
    if not any(found.fronts.values()):
        lines.append((WARNING, "No design is within the budget that runs every network."))
    elif found.counts.is_whole:
        lines.append((OK, "the front is that of evaluating every design by itself"))
    return [*lines, *((WARNING, note) for note in found.notes)]


def told(found: ChipExploration) -> str:
    """`60 designs: 21 priced, 39 ruled out by lower bounds; front 9 in energy, latency, area`."""
    counts = found.counts
    parts = [f"{counts.priced:,} priced"]
    parts += [
        f"{number:,} {text}"
        for number, text in (
            (counts.ruled_out, "ruled out by lower bounds"), (counts.outside, "outside of the budget"),
            (counts.no_chip, "no chip"), (counts.no_area, "of unknown area"),
            (counts.failed, "that cannot run a network"), (counts.undecided, "not decided"),
        )
        if number
    ]  # fmt: skip
    seen = (
        f"{counts.space:,} designs"
        if counts.seen == counts.space
        else f"{counts.seen:,} of {counts.space:,} designs"
    )
    fronts = ", ".join(
        f"{len(front)}{f' for {model}' if model and len(found.fronts) > 1 else ''}"
        for model, front in found.fronts.items()
    )
    of = f" of the geometric means of {', '.join(found.axes.models)}" if "" in found.fronts else ""
    limits = f" within {found.axes.limits}" if found.axes.limits.costs else ""
    return f"{seen}: {', '.join(parts)}; front {fronts} in {', '.join(found.axes.names)}{of}{limits}"


def chips_data(found: ChipExploration, *, every: bool = False) -> dict[str, Any]:
    """All of it as JSON."""
    return {
        "hw": str(found.space.path),
        "models": list(found.axes.models),
        "objectives": list(found.axes.names),
        "budget": found.axes.limits.to_dict(),
        "ranges": [{path: list(values) for path, values in group.items()} for group in found.space.groups],
        "counts": asdict(found.counts),
        "fronts": {
            model or "mean": records(found.to_dataframe(model=model)) if front else []
            for model, front in found.fronts.items()
        },
        **({"all": records(found.to_dataframe(every=True)) if found.rows else []} if every else {}),
        "notes": list(found.notes),
    }


def chips_sheet(found: ChipExploration) -> Sheet:
    """The page: each front as a figure and a table, the knees as chip files, what was ruled out."""
    names = ", ".join(found.axes.models)
    sections = []
    for model, front in found.fronts.items():
        if not front:
            continue
        title = f"Front of {model}" if model else "Front of the geometric means"
        ringed = ", its knee is ringed" if any(model in row.knees for row in front) else ""
        caption = f"{title}: every priced design; the large points are the front{ringed}."
        pictures = [Picture.of(partial(plot_chips, found, model), caption)] if len(found.axes.names) > 1 else []
        table = html_of(chips_table(found, model, width=200))
        sections.append(Section(id=f"front-{model or 'mean'}", title=title, pictures=pictures, tables=[table]))
    sections += [
        Section(
            id=f"knee-{model or 'mean'}",
            title=f"The knee{f' of {model}' if model else ''} as a chip file",
            block=found.design(row.number).to_yaml(),
            notes=[f"Design {row.number}: where the front bends."],
        )
        for model, front in found.fronts.items()
        for row in front
        if model in row.knees
    ]
    ranges = [
        "; ".join(f"{path}: {', '.join(map(str, values))}" for path, values in group.items())
        for group in found.space.groups
    ]
    sections.append(Section(id="ranges", title="Ranges", text=ranges))
    return Sheet(
        title=f"Chips for {names}",
        lead=told(found) + ".",
        alerts=found.notes,
        sections=sections,
        source=f"hwmodel explore {' '.join(found.axes.models)} --hw {found.space.path}",
    )


def _shown_paths(found: ChipExploration) -> list[str]:
    """Ranges of more than one value."""
    return [path for group in found.space.groups for path, values in group.items() if len(values) > 1]


def _thinned(rows: Sequence[ChipRow], model: str, most: int | None) -> Sequence[ChipRow]:
    """All, or where there are more so many, spread evenly over the front, both ends and the knee among them."""
    if most is None or len(rows) <= most:
        return rows
    places = {round(n * (len(rows) - 1) / (most - 1)) for n in range(most)}
    return [row for n, row in enumerate(rows) if n in places or model in row.knees]
