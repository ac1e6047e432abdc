"""Compared runs as a page: the table, the fronts in one figure per cost, hypervolume over results, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from reports.compare.runs import Comparison
from reports.compare.tables import difference_rows, notes, summary_rows, turned
from reports.figures.fronts import plot_fronts
from reports.figures.progress import plot_history
from reports.page.htmltables import HtmlTable, Row, columns
from reports.run.frames import records
from reports.run.metrics import bits_text
from reports.sheets.sheet import Picture, Section, Sheet, write_sheet
from search.front.costs import Cost

#: So many runs stand as columns of the first table; more are its rows.
MAX_COLUMNS = 4


def write_comparison(path: str | Path, found: Comparison) -> Path:
    """Write the page of a comparison.

    Args:
        path: of the page, `.html`.
        found: of `compare_runs`.
    """
    return write_sheet(Path(path), comparison_sheet(found))


def comparison_sheet(found: Comparison) -> Sheet:
    """The page as values."""
    names, rows = [item.name for item in found.runs], summary_rows(found)
    table = _table(turned(rows) if len(rows) <= MAX_COLUMNS else rows)
    sections = [
        Section(id="runs", title="Runs", tables=[table], notes=notes(found)),
        _fronts(found),
        _volume(found),
        _differences(found),
        _layers(found),
    ]
    return Sheet(
        title=f"{len(names)} runs compared",
        lead=" · ".join(names),
        alerts=found.limits,
        sections=[section for section in sections if section.tables or section.pictures or section.text],
        source=", ".join(str(item.run.folder) for item in found.runs),
    )


def _table(rows: Sequence[Mapping[str, str]], align: str = "<") -> HtmlTable:
    """Rows of one header, text left."""
    headers = list(rows[0])
    return HtmlTable(
        columns=columns(*(f"{align}{header}" for header in headers)),
        rows=[Row(cells=[row[header] for header in headers]) for row in rows],
    )


def _fronts(found: Comparison) -> Section:
    """One figure per cost."""
    frames = {item.name: item.run.candidates for item in found.runs}
    compared = {objective.key for objective in found.objectives}
    pictures = []
    for cost in found.costs:
        if any(cost.key in frame.columns and frame["front"].any() for frame in frames.values()):
            draw = partial(plot_fronts, frames, cost)
            pictures.append(Picture.of(draw, _caption(cost, is_compared=cost.key in compared)))
    return Section(id="fronts", title="Fronts", pictures=pictures)


def _caption(cost: Cost, *, is_compared: bool) -> str:
    said = (
        f"Validation accuracy over {cost.axis.lower()}: the front of every run with 95 % intervals, picks ringed."
    )
    return said if is_compared else f"{said} This cost is no part of the hypervolume."


def _volume(found: Comparison) -> Section:
    if not any(found.histories.values()):
        return Section(id="hypervolume", title="Hypervolume")
    caption = "The share of the box that each run dominates after every result, in the order of its ledger."
    return Section(
        id="hypervolume",
        title="Hypervolume",
        pictures=[Picture.of(partial(plot_history, found.histories), caption)],
    )


def _differences(found: Comparison) -> Section:
    if not found.differences:
        return Section(
            id="differences", title="What differs", text=["The specifications of these runs do not differ."]
        )
    return Section(
        id="differences",
        title="What differs",
        tables=[_table(difference_rows(found, whole=True), align="~")],
        notes=["Only the keys in which the search files differ, and what the runs were made with."],
    )


def _layers(found: Comparison) -> Section:
    """The widths of every layer in the pick of each run; of one network only."""
    layers = [item.run.layers for item in found.runs]
    frames = [frame for frame in layers if frame is not None]
    same = len({item.run.graph.fingerprint for item in found.runs}) == 1
    if len(frames) < len(layers) or not same:
        return Section(id="layers", title="Layers of the picks")
    cells = [
        [f"{bits_text(row['w_bits'])}/{bits_text(row['a_bits'])}" for row in records(frame)] for frame in frames
    ]
    rows = [
        Row(cells=[str(name), *widths], mark="picked" if len(set(widths)) > 1 else "")
        for name, *widths in zip(frames[0]["layer"], *cells, strict=True)
    ]
    table = HtmlTable(columns=columns("<Layer", *(item.name for item in found.runs)), rows=rows)
    return Section(
        id="layers",
        title="Layers of the picks",
        tables=[table],
        notes=["Bits of weights / activations; marked where the picks differ."],
    )
