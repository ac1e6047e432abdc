"""What a network costs, as a page: roofline, energy and traffic by memory, memory over time, every layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hwmodel.network.names import WARNING
from reports.figures.bars import breakdown_frame, plot_breakdown
from reports.figures.occupancy import plot_memory
from reports.figures.roofline import counts_traffic, plot_roofline
from reports.figures.traffic import plot_traffic
from reports.page.htmltables import breakdown_table
from reports.sheets.sheet import Picture, Section, Sheet
from reports.sheets.terminal import html_of_tree
from reports.terminal.beside import Priced
from reports.terminal.placement import placement_lines
from reports.terminal.trees import Summary

if TYPE_CHECKING:
    from hwmodel import NetworkCost
    from hwmodel.chip.accelerator import Accelerator


def cost_sheet(model: str, chapters: Sequence[Priced], tree: Summary) -> Sheet:
    """The page of `hwmodel cost`.

    Args:
        model: that is priced.
        chapters: one per accelerator.
        tree: as the terminal shows it, of one accelerator or of several side by side.
    """
    names = [chapter.name for chapter in chapters]
    is_one = len(chapters) == 1
    figures = [section for chapter in chapters for section in _figures(chapter, prefix=not is_one)]
    return Sheet(
        title=f"{model} on {' and '.join(names)}",
        lead="Energy, cycles and traffic of one inference, by the cost model, each layer under its best mapping.",
        alerts=[text for mark, text in tree.notes if mark == WARNING],
        sections=[_totals(tree), *figures],
        source=f"hwmodel cost {model}",
    )


def _totals(tree: Summary) -> Section:
    return Section(
        id="layers",
        title="Layers",
        tables=[html_of_tree(tree)],
        notes=[text for mark, text in tree.notes if mark != WARNING],
    )


def _figures(chapter: Priced, *, prefix: bool) -> list[Section]:
    """The figures of one accelerator; its name is in the titles where there are several."""
    cost, chip = chapter.cost, chapter.accelerator
    sections = [_roofline(cost, chip), _energy(cost), _traffic(cost, chip), _memory(cost, chip)]
    if not prefix:
        return sections
    return [
        Section(
            id=f"{section.id}-{chapter.name}", title=f"{chapter.name}: {section.title.lower()}", text=section.text,
            pictures=section.pictures, tables=section.tables, notes=section.notes,
        )
        for section in sections
    ]  # fmt: skip


def _roofline(cost: NetworkCost, chip: Accelerator) -> Section:
    if not counts_traffic(cost, chip):
        return Section(
            id="roofline", title="Roofline", text=[f"{chip.name} counts no traffic: it has no roofline."]
        )
    caption = (
        "MACs per second of every layer over its MACs per byte of traffic to the outermost memory; a larger dot "
        "takes more of the time. Time and traffic include the operations on the output of a layer."
    )
    picture = Picture.of(partial(plot_roofline, cost, chip), caption)
    return Section(id="roofline", title="Roofline", pictures=[picture])


def _energy(cost: NetworkCost) -> Section:
    frame = breakdown_frame(cost)
    picture = Picture.of(partial(plot_breakdown, frame), "Energy of every layer by memory level.")
    return Section(id="energy", title="Energy", pictures=[picture], tables=[breakdown_table(frame)])


def _traffic(cost: NetworkCost, chip: Accelerator) -> Section:
    if not counts_traffic(cost, chip):
        return Section(id="traffic", title="Traffic", text=[f"{chip.name} counts no traffic."])
    caption = "Bytes that every memory moves in one inference, by operand, innermost memory first."
    return Section(id="traffic", title="Traffic", pictures=[Picture.of(partial(plot_traffic, cost), caption)])


def _memory(cost: NetworkCost, chip: Accelerator) -> Section:
    lines = placement_lines(cost, chip)
    if not lines:
        return Section(
            id="memory", title="Memory over time", text=[f"No tensor stays on {chip.name} between layers."]
        )
    caption = "What lies in memory while each layer runs, in the order of execution."
    picture = Picture.of(partial(plot_memory, cost, chip), caption)
    return Section(id="memory", title="Memory over time", pictures=[picture], notes=[text for _, text in lines])
