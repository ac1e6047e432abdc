"""An accelerator, a mapping and the cost of a layer as they show themselves in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodel.network.names import WARNING, out_shape
from hwmodel.show.notebook import html_block, html_line, html_table
from hwmodel.show.quantities import MISSING, count, number, quantity

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator, Memory
    from hwmodel.nest.mapping import Mapping
    from hwmodel.price.results import LayerCost


def accelerator_html(chip: Accelerator) -> str:
    """What a chip is in a line, and its memories as a table, innermost first."""
    array = " × ".join(f"{axis.size} ({axis.name})" for axis in chip.axes)
    native = chip.native_bits
    facts = [
        chip.kind,
        f"{count(chip.num_pes)} PEs" + (f", {array}" if array else ""),
        quantity(chip.clock_hz, "Hz"),
        f"W/A {native.w}/{native.i} bit, {chip.precision.mode}",
        f"{chip.technology_nm:g} nm" if chip.technology_nm else "",
    ]
    lines = [f"{chip.name}: {chip.description}", " · ".join(fact for fact in facts if fact)]
    table = html_table(
        ["<Memory", "<Holds", "Size", "Read [pJ/bit]", "Write [pJ/bit]", "Read [bit/cycle]"],
        [_memory_cells(memory) for memory in chip.memories().values()],
        [*(f"{WARNING} {note}" for note in chip.notes), f"source: {chip.source}"],
    )
    return "".join(map(html_line, lines)) + table


def _memory_cells(memory: Memory) -> list[str]:
    size = "unbounded" if memory.size_bits is None else quantity(memory.size_bits / 8, "B")
    port = "no limit" if memory.read_bits_per_cycle is None else count(memory.read_bits_per_cycle)
    energies = (f"{memory.read_pj_per_bit:.3g}", f"{memory.write_pj_per_bit:.3g}")
    return [memory.name, " ".join(memory.holds), size, *energies, port]


def mapping_html(mapping: Mapping) -> str:
    """Its loop nest."""
    return html_block(mapping.loop_nest())


def layer_cost_html(cost: LayerCost) -> str:
    """The layer in a line, where its energy and traffic go as a table, and its loop nest."""
    layer, bits = cost.layer, cost.layer.bits
    facts = [
        f"{cost.name} · {layer.kind} {out_shape(layer)}",
        "" if bits is None else f"W/A {bits.w}/{bits.i} bit",
        f"{count(cost.macs)} MACs",
        f"{count(cost.cycles)} cycles",
        quantity(cost.energy_pj * 1e-12, "J"),
        f"utilization {cost.utilization:.0%}",
        f"bound by {cost.bound}",
    ]
    rows = [
        [
            place,
            operand,
            _size(cost.traffic_bits.get((place, operand))),
            quantity(pj * 1e-12, "J"),
            _share(pj, cost),
        ]
        for (place, operand), pj in cost.energy_breakdown.items()
    ]
    table = html_table(
        ["<Where", "<Operand", "Traffic", "Energy", "Share"], rows, [f"{WARNING} {note}" for note in cost.notes]
    )
    nest = "" if cost.mapping is None else mapping_html(cost.mapping)
    return html_line(" · ".join(fact for fact in facts if fact)) + table + nest


def _size(bits: float | None) -> str:
    return MISSING if bits is None else quantity(bits / 8, "B")


def _share(pj: float, cost: LayerCost) -> str:
    return f"{number(pj / cost.energy_pj * 100, 1)} %" if cost.energy_pj else MISSING
