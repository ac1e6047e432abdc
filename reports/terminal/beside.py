"""A network on several accelerators side by side: a value of each, its ratio to the first, and which is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import WARNING, safe_name, shortened
from hwmodel.show.beside import COLUMN_OF, amount, compare_costs, least_of, ratio
from hwmodel.show.coverage import coverage_lines
from hwmodel.show.outline import Line, cost_outline
from hwmodel.show.sums import NOTHING, layer_sums
from reports import units
from reports.run.frames import records
from reports.terminal.totals import cost_data
from reports.terminal.trees import FOLDED, MIN_NAME, Column, Summary, cells_of, layout, mean_width, name_width

if TYPE_CHECKING:
    import pandas as pd

    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.mapper.free import Objective
    from hwmodel.network.graph import LayerGraph
    from hwmodel.price.results import NetworkCost

#: Behind a value whose price has a note, and before one that is a lower bound.
NOTED, AT_LEAST = "*", "≥"
#: The name of an accelerator above its column is this long at most.
MAX_HEADER = 20


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A network on one accelerator, by the name that it is shown under."""

    name: str
    accelerator: Accelerator
    cost: NetworkCost

    @property
    def shown(self) -> str:
        """The name above a column and in it."""
        return shortened(safe_name(self.name), MAX_HEADER)


def named(hw: Sequence[str], chips: Sequence[Accelerator], costs: Sequence[NetworkCost]) -> list[Priced]:
    """Each by the name of its accelerator; by what `--hw` said where two have the same."""
    names = [chip.name for chip in chips]
    shown = [text if names.count(name) > 1 else name for text, name in zip(hw, names, strict=True)]
    return [Priced(name=n, accelerator=a, cost=c) for n, a, c in zip(shown, chips, costs, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Beside(Summary):
    """The tree with the columns of each accelerator; on a narrow screen in several parts, one below the other.

    Attributes:
        groups: columns that stay together.
    """

    groups: Sequence[Sequence[Column]]

    def tree(self, width: int) -> list[str]:
        return [row for part in self._parts(width) for row in layout(self.lines, part, width)]

    def _parts(self, width: int) -> list[list[Column]]:
        """The columns of each part: as many groups as leave room for the names."""
        from rich.cells import cell_len

        room = width - min(name_width(self.lines), MIN_NAME)
        parts: list[list[Column]] = []
        left = 0
        for group in self.groups:
            taken = sum(max(map(cell_len, cells_of(column, self.lines))) + 1 for column in group)
            if taken > left or not parts:
                parts.append([])
                left = room
            parts[-1] += group
            left -= taken
        return parts


def beside(
    items: Sequence[Priced],
    graph: LayerGraph,
    by: Objective,
    *,
    depth: int | None = None,
    fold: bool = True,
    verbose: bool = False,
) -> Summary:
    """The tree of a network with one quantity on each accelerator, its ratios to the first, and who takes least.

    Args:
        items: the first is what the others are compared with.
        graph: that they price.
        by: `energy`, `latency` (the time of each at its own clock) or `edp`.
        depth, fold: as of `summary`.
        verbose: name the ops priced as memory only, and the free ones.
    """
    outlines = [cost_outline(item.cost, name=graph.name, depth=depth, fold=fold) for item in items]
    lines = outlines[0]
    cells = {line.name: [row[n] for row in outlines] for n, line in enumerate(lines)}
    values = {
        name: [_value(line, item, by) for line, item in zip(row, items, strict=True)] for name, row in cells.items()
    }
    groups = [
        _group(item, at, values, {name: _marks(row[at], item) for name, row in cells.items()}, by)
        for at, item in enumerate(items)
    ]
    groups.append([Column("best", lambda line, _: _best(values[line.name], items), is_text=True)])
    is_noted = any(line.sums.noted for outline in outlines for line in outline)
    return Beside(
        lines=lines,
        columns=[column for group in groups for column in group],
        groups=groups,
        notes=_notes(items, graph, by, is_noted=is_noted, verbose=verbose, folded=any(x.times > 1 for x in lines)),
    )


def beside_data(items: Sequence[Priced], graph: LayerGraph, by: Objective) -> dict[str, Any]:
    """The costs as JSON, with ratios to the first, and a row per layer and accelerator that compares them."""
    first = items[0].cost
    columns = ["layer", "accelerator", COLUMN_OF[by], "ratio_to_first", "is_best", "notes"]
    return {
        "model": graph.name,
        "fingerprint": graph.fingerprint,
        "first": items[0].name,
        "by": by,
        "accelerators": [
            {
                "accelerator": item.name,
                **cost_data(item.cost, graph),
                "ratio_to_first": {
                    name: ratio(getattr(item.cost, name), getattr(first, name))
                    for name in ("energy_pj", "latency_s", "memory_bits")
                },
            }
            for item in items
        ],
        "layers": records(beside_frame(items, by)[columns]),
    }


def beside_frame(items: Sequence[Priced], by: Objective) -> pd.DataFrame:
    """One row per accelerator and layer."""
    return compare_costs({item.name: item.cost for item in items}, by)


def _group(
    item: Priced, at: int, values: dict[str, list[float]], marks: dict[str, tuple[str, str]], by: Objective
) -> list[Column]:
    """The columns of one accelerator: its values and, of all but the first, the ratios."""

    def value(line: Line, _: Line) -> str:
        before, behind = marks[line.name]
        return f"{before}{_text(values[line.name][at], by)}{behind}"

    columns = [Column(item.shown, value)]
    if at:
        columns.append(Column("ratio", _ratios(values, at)))
    return columns


def _ratios(values: dict[str, list[float]], at: int) -> Callable[[Line, Line], str]:
    return lambda line, _: _times(ratio(values[line.name][at], values[line.name][0]))


def _marks(line: Line, item: Priced) -> tuple[str, str]:
    """What stands before and behind a value: it is a lower bound; the price of a layer in it has a note."""
    is_bound = line.level == 0 and item.cost.is_lower_bound
    return AT_LEAST if is_bound else "", NOTED if line.sums.noted else ""


def _value(line: Line, item: Priced, by: Objective) -> float:
    return amount(line.sums.energy_pj, line.sums.cycles / item.cost.clock_hz, by)


def _text(value: float, by: Objective) -> str:
    if by == "edp":
        return _product(value)
    return units.energy(value) if by == "energy" else units.seconds(value)


def _product(edp: float) -> str:
    """Energy × time [pJ s] as `4.28 nJ s`."""
    return units.quantity(edp * 1e-12, "J s")


def _times(value: float) -> str:
    return units.MISSING if math.isnan(value) else f"{value:.3g}x"


def _best(values: Sequence[float], items: Sequence[Priced]) -> str:
    """The name of the least, and how many times less than the first it is; a tie is none's."""
    at = least_of(values)
    if at is None:
        return "tie"
    gain = "" if at == 0 or not values[at] else f" {values[0] / values[at]:.3g}x"
    return f"{items[at].shown}{gain}"


def _notes(
    items: Sequence[Priced], graph: LayerGraph, by: Objective, *, is_noted: bool, verbose: bool, folded: bool
) -> list[tuple[str, str]]:
    """What the columns say, the totals of each accelerator, and what limits the comparison."""
    said = {"energy": "energy", "latency": "time", "edp": "energy × time"}[by]
    first = safe_name(items[0].name)
    notes = [("", FOLDED)] if folded else []
    notes.append(("", f"{said} per layer; ratio: to {first}; best: takes least, {first} / best behind it"))
    notes += _totals(items)
    if is_noted:
        notes.append((WARNING, f"{NOTED} the price of a layer in it has a note, such as a width that is rounded:"))
    notes += [(WARNING, note) for note in dict.fromkeys(note for item in items for note in item.cost.price_notes)]
    unpriced = [item.name for item in items if not item.accelerator.levels]
    if unpriced and len(unpriced) < len(items) and graph.vector_ops:
        names = ", ".join(unpriced)
        notes.append(
            (WARNING, f"{names}: prices no ops without MACs, which the others do: a LOWER BOUND beside them")
        )
    return [*notes, *coverage_lines(graph, priced="priced by traffic and vector cycles", verbose=verbose)]


def _totals(items: Sequence[Priced]) -> list[tuple[str, str]]:
    first, lines = items[0].cost, []
    for item in items:
        cost = item.cost
        edp, first_edp = cost.energy_pj * cost.latency_s, first.energy_pj * first.latency_s
        clock = units.frequency(cost.clock_hz)
        parts = [
            (f"energy {units.energy(cost.energy_pj)}", ratio(cost.energy_pj, first.energy_pj)),
            (f"latency {units.seconds(cost.latency_s)} @ {clock}", ratio(cost.latency_s, first.latency_s)),
            (f"energy × time {_product(edp)}", ratio(edp, first_edp)),
            (f"memory {units.data_size(cost.memory_bits)}", ratio(cost.memory_bits, first.memory_bits)),
        ]
        shown = [f"{text} ({_times(times)})" if item is not items[0] else text for text, times in parts]
        bits = sum(layer_sums([layer.layer for layer in cost.layers]), NOTHING)
        shown.append(f"utilization {units.percent(cost.utilization, 0)}")
        shown.append(f"W/A {mean_width(bits.w_bits)}/{mean_width(bits.a_bits)} bit")
        lines.append(("", f"{safe_name(item.name)}: {' · '.join(shown)}"))
    return lines
