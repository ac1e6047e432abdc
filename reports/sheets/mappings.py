"""The mapping of a layer, as a page: loop nest, tiles, how busy array and ports are, accesses, traffic, energy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from hwmodel import NetworkCost
from hwmodel.nest.access import task_accesses
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.names import WARNING
from hwmodel.network.stripes import stripes
from reports import units
from reports.figures.traffic import plot_traffic
from reports.page.htmltables import HtmlTable, Row, columns
from reports.sheets.sheet import Picture, Section, Sheet
from reports.sheets.terminal import html_of
from reports.terminal.explanations import Mapped, bound_lines, comparison_table, cycle_table, tile_table
from reports.terminal.mappings import mapping_lines, mapping_table


def mapping_sheet(layer: str, mapped: Sequence[Mapped]) -> Sheet:
    """The page of `hwmodel map`.

    Args:
        layer: its name.
        mapped: the layer on one accelerator, or on two to compare.
    """
    names = [item.accelerator.name for item in mapped]
    alerts = [f"{item.accelerator.name}: {note}" for item in mapped for note in item.cost.notes]
    compared = []
    if len(mapped) == 2:
        table = html_of(comparison_table(mapped[0], mapped[1]))
        compared = [Section(id="compared", title="Side by side", tables=[table])]
    return Sheet(
        title=f"{layer} on {' and '.join(names)}",
        lead="The best mapping of a layer, and why it costs what it costs.",
        alerts=alerts,
        sections=[*compared, *(section for item in mapped for section in _sections(item, len(mapped) > 1))],
        source=f"hwmodel map {layer}",
    )


def _sections(item: Mapped, prefix: bool) -> list[Section]:
    name = item.accelerator.name
    before, anchor = (f"{name}: ", f"-{name}") if prefix else ("", "")
    lines = [
        text
        for mark, text in mapping_lines(item.cost.layer, item.accelerator, item.mapping, item.cost)
        if text and mark != WARNING and text not in item.mapping.loop_nest().splitlines()
    ]
    nest, bound = item.mapping.loop_nest(), [text for _, text in bound_lines(item.told)]

    def section(id: str, title: str, **parts: Any) -> Section:
        return Section(id=f"{id}{anchor}", title=f"{before}{title}", **parts)

    return [
        section("nest", "Loop nest", text=lines, block=nest, notes=["Outermost loops first."]),
        section("tiles", "Tiles", tables=[html_of(tile_table(item.told))]),
        section("cycles", "Utilization", text=bound, tables=[html_of(cycle_table(item.told))]),
        section(
            "accesses",
            "Accesses",
            tables=[_accesses(item)],
            notes=["Words per instance of the memory, and how many instances work."],
        ),
        _traffic(item, before, anchor),
    ]


def _traffic(item: Mapped, before: str, anchor: str) -> Section:
    alone = NetworkCost(layers=(item.cost,), clock_hz=item.accelerator.clock_hz, accelerator=item.accelerator.name)
    caption = "Bytes that every memory moves for this layer, by operand, innermost memory first."
    return Section(
        id=f"traffic{anchor}",
        title=f"{before}Traffic and energy",
        pictures=[Picture.of(partial(plot_traffic, alone), caption)],
        tables=[html_of(mapping_table(item.cost))],
    )


def _accesses(item: Mapped) -> HtmlTable:
    """Reads, fills and updates of every level and operand, of the first stripe where the layer runs in stripes."""
    cost = item.cost
    layer = stripes(cost.layer, cost.stripe_rows)[0][0] if cost.stripe_rows else cost.layer
    counts = task_accesses(array_view(Task.of(layer, item.accelerator, cost.stay)), item.mapping)
    rows = [
        Row(
            cells=[
                level, operand, *(units.count(value) for value in (one.reads, one.fills, one.updates, one.tile)),
                str(one.instances),
            ]
        )
        for (level, operand), one in counts.items()
    ]  # fmt: skip
    return HtmlTable(
        columns=columns("<Level", "<Operand", "Reads", "Fills", "Updates", "Tile", "Instances"), rows=rows
    )
