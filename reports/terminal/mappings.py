"""A mapping as text: the loop nest, what it costs, and the traffic at every level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwmodel.nest.task import ALONE, Task
from hwmodel.network.names import WARNING, out_shape
from reports import units
from reports.terminal.placement import resident_line
from reports.terminal.tables import new_table, safe_text

if TYPE_CHECKING:
    from rich.table import Table

    from hwmodel import LayerCost
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.nest.mapping import Mapping
    from hwmodel.network.layer import Layer


def mapping_lines(
    layer: Layer, accelerator: Accelerator, mapping: Mapping, cost: LayerCost
) -> list[tuple[str, str]]:
    """The layer, its loop nest (outermost first) and its totals."""
    bits = Task.of(layer, accelerator).widths
    bounds = " ".join(f"{name}={bound}" for name, bound in layer.dims.items() if bound > 1) or "one MAC"
    lines = [
        ("", f"{layer.name} · {layer.kind} {out_shape(layer)} · {bounds}"),
        ("", f"W/A {bits.w}/{bits.i}, partial sums {bits.acc} bit"),
        *_in_network(accelerator, cost),
        ("", ""),
        *(("", line) for line in mapping.loop_nest().splitlines()),
    ]
    totals = [
        f"{units.count(cost.macs)} MACs",
        f"{units.count(cost.cycles)} cycles = {units.seconds(cost.cycles / accelerator.clock_hz)}",
        f"energy {units.energy(cost.energy_pj)}",
        f"utilization {cost.utilization * 100:.0f} %",
        f"bound by {cost.bound}",
    ]
    notes = [(WARNING, note) for note in cost.notes]
    return [*lines, ("", ""), ("", " · ".join(totals)), *notes, ("", "")]


def _in_network(accelerator: Accelerator, cost: LayerCost) -> list[tuple[str, str]]:
    """Where the operands of a layer lie in its network, and its stripes; of a layer alone nothing."""
    if cost.stay == ALONE:
        return []
    keeper, room = accelerator.keeper, cost.stay.room_bits
    if keeper is None:
        ahead = f"{cost.stay.ahead_cycles:,} cycles go before it, in which its weights may come"
        return [("", f"in its network: {ahead}")] if cost.stay.ahead_cycles else []
    left = f"; {units.data_size(room)} of it left to tiles" if room is not None else ""
    lines = [("", f"in its network: {resident_line(cost, accelerator)}{left}")]
    if cost.stripe_rows:
        rows, total = cost.stripe_rows, cost.layer.dims.OY
        lines.append(
            ("", f"in stripes of {rows} of {total} rows; the mapping is of one, totals and traffic of all of them")
        )
    return lines


def mapping_table(cost: LayerCost, width: int = 80) -> Table:
    """Traffic and energy per level and operand."""
    table = new_table("<Level", "<Operand", "Traffic", "Energy", "Share", width=width)
    total = cost.energy_pj
    for (level, operand), energy in cost.energy_breakdown.items():
        traffic = cost.traffic_bits.get((level, operand))
        table.add_row(
            safe_text(units.level_name(level)), safe_text(operand),
            units.MISSING if traffic is None else units.data_size(traffic),
            units.energy(energy), f"{energy / total * 100:.1f} %" if total else units.MISSING,
        )  # fmt: skip
    return table


def mapping_data(mapping: Mapping, cost: LayerCost) -> dict[str, Any]:
    """Mapping and cost as JSON."""
    levels = [
        {
            "level": level.name,
            "keeps": list(level.keeps),
            **({"inward": dict(level.inward)} if level.inward else {}),
            "temporal": [[loop.dim, loop.bound] for loop in level.temporal],
            "spatial": [[loop.dim, loop.bound, loop.axis] for loop in level.spatial],
        }
        for level in mapping.levels
    ]
    return {
        "mapping": levels,
        "resident": list(cost.resident),
        "room_bits": cost.stay.room_bits,
        "stripe_rows": cost.stripe_rows,
        "notes": list(cost.notes),
        "cost": {
            "macs": cost.macs, "effectual_macs": cost.effectual_macs, "cycles": cost.cycles, "bound": cost.bound,
            "energy_pj": cost.energy_pj, "utilization": cost.utilization,
            "energy_breakdown": [
                {"level": level, "operand": operand, "energy_pj": value}
                for (level, operand), value in cost.energy_breakdown.items()
            ],
            "traffic": [
                {"level": level, "operand": operand, "bits": value}
                for (level, operand), value in cost.traffic_bits.items()
            ],
        },
    }  # fmt: skip
