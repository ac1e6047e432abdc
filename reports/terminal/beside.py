"""A network on several accelerators: one column each, and what the best of them gains over the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwmodel.network.names import WARNING, safe_name
from hwmodel.show.coverage import coverage_lines
from hwmodel.show.outline import Line, cost_outline
from hwmodel.show.sums import NOTHING, layer_sums
from reports import units
from reports.terminal.totals import cost_data
from reports.terminal.trees import FOLDED, Column, Summary, mean_width

if TYPE_CHECKING:
    import pandas as pd

    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.mapper.free import Objective
    from hwmodel.network.graph import LayerGraph
    from hwmodel.price.results import NetworkCost


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A network on one accelerator, by the name that it is shown under."""

    name: str
    accelerator: Accelerator
    cost: NetworkCost


def named(hw: Sequence[str], chips: Sequence[Accelerator], costs: Sequence[NetworkCost]) -> list[Priced]:
    """Each by the name of its accelerator; by what `--hw` said where two have the same."""
    names = [chip.name for chip in chips]
    shown = [text if names.count(name) > 1 else name for text, name in zip(hw, names, strict=True)]
    return [Priced(name=n, accelerator=a, cost=c) for n, a, c in zip(shown, chips, costs, strict=True)]


def beside(
    items: Sequence[Priced],
    graph: LayerGraph,
    optimize: Objective,
    *,
    depth: int | None = None,
    fold: bool = True,
    verbose: bool = False,
) -> Summary:
    """The tree of a network with what `optimize` minimises on each accelerator, and the ratios first / best.

    Args:
        items: the first is what the others are compared with.
        graph: that they price.
        optimize: `energy`, `latency` (the time of each at its own clock) or `edp`.
        depth, fold: as of `summary`.
        verbose: name the ops priced as memory only, and the free ones.
    """
    outlines = [cost_outline(item.cost, name=graph.name, depth=depth, fold=fold) for item in items]
    lines = outlines[0]
    values = {
        line.name: [_value(row[index], item, optimize) for row, item in zip(outlines, items, strict=True)]
        for index, line in enumerate(lines)
    }

    def cell(at: int) -> Callable[[Line, Line], str]:
        return lambda line, _: _text(values[line.name][at], optimize)

    columns = [Column(safe_name(item.name), cell(at)) for at, item in enumerate(items)]
    columns.append(Column("best", lambda line, _: _best(values[line.name], items), is_text=True, rank=1))
    folded = [("", FOLDED)] if any(line.times > 1 for line in lines) else []
    said = {"energy": "energy", "latency": "time", "edp": "energy × time [pJ s]"}[optimize]
    notes = [*folded, ("", f"{said} per layer; ratio: {safe_name(items[0].name)} / best"), *_totals(items)]
    notes += [(WARNING, note) for note in dict.fromkeys(note for item in items for note in item.cost.price_notes)]
    notes += coverage_lines(graph, priced="priced by traffic and vector cycles", verbose=verbose)
    return Summary(lines=lines, columns=columns, notes=notes)


def beside_data(items: Sequence[Priced], graph: LayerGraph) -> dict[str, Any]:
    """The costs as JSON, each with its ratios to the first."""
    first = items[0].cost
    return {
        "model": graph.name,
        "fingerprint": graph.fingerprint,
        "first": items[0].name,
        "accelerators": [
            {
                "accelerator": item.name,
                **cost_data(item.cost, graph),
                "ratio_to_first": {
                    name: _ratio(getattr(item.cost, name), getattr(first, name))
                    for name in ("energy_pj", "latency_s", "memory_bits")
                },
            }
            for item in items
        ],
    }


def beside_frame(items: Sequence[Priced]) -> pd.DataFrame:
    """One row per accelerator and layer."""
    import pandas as pd

    frames = [item.cost.to_dataframe() for item in items]
    for frame, item in zip(frames, items, strict=True):
        frame.insert(0, "accelerator", item.name)
    return pd.concat(frames, ignore_index=True)


def _value(line: Line, item: Priced, optimize: Objective) -> float:
    """What is minimised [pJ, s, or pJ s]."""
    seconds = line.sums.cycles / item.cost.clock_hz
    return {"energy": line.sums.energy_pj, "latency": seconds, "edp": line.sums.energy_pj * seconds}[optimize]


def _text(value: float, optimize: Objective) -> str:
    if optimize == "edp":
        return f"{value:.3g}"
    return units.energy(value) if optimize == "energy" else units.seconds(value)


def _best(values: Sequence[float], items: Sequence[Priced]) -> str:
    """The name of the least, and how many times less than the first it is; a tie is none's."""
    least = min(values)
    if values.count(least) > 1:
        return "tie"
    at = values.index(least)
    ratio = "" if at == 0 or not least else f" {values[0] / least:.3g}x"
    return f"{safe_name(items[at].name)}{ratio}"


def _ratio(value: float, first: float) -> float | None:
    return value / first if first else None


def _totals(items: Sequence[Priced]) -> list[tuple[str, str]]:
    first, lines = items[0].cost, []
    for item in items:
        cost = item.cost
        parts = [
            (f"energy {units.energy(cost.energy_pj)}", _ratio(cost.energy_pj, first.energy_pj)),
            (
                f"latency {units.seconds(cost.latency_s)} @ {units.frequency(cost.clock_hz)}",
                _ratio(cost.latency_s, first.latency_s),
            ),
            (f"memory {units.data_size(cost.memory_bits)}", _ratio(cost.memory_bits, first.memory_bits)),
            (f"utilization {units.percent(cost.utilization, 0)}", None),
        ]
        shown = [text + (f" ({r:.3g}x)" if r is not None and item is not items[0] else "") for text, r in parts]
        bits = sum(layer_sums([layer.layer for layer in cost.layers]), NOTHING)
        shown.append(f"W/A {mean_width(bits.w_bits)}/{mean_width(bits.a_bits)} bit")
        lines.append(("", f"{safe_name(item.name)}: {' · '.join(shown)}"))
    return lines
