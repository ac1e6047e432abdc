"""Why a mapping costs what it costs, as text: tiles, ports, array; two accelerators side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwmodel.network.layer import OPERANDS
from hwmodel.price.results import LEAKAGE
from reports import units
from reports.terminal.tables import new_table, safe_text

if TYPE_CHECKING:
    from rich.table import Table

    from hwmodel import LayerCost
    from hwmodel.chip.accelerator import Accelerator
    from hwmodel.explain import MappingExplanation
    from hwmodel.nest.mapping import Mapping


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """One layer on one accelerator: its mapping, what that costs, and why."""

    accelerator: Accelerator
    mapping: Mapping
    cost: LayerCost
    told: MappingExplanation


def tile_table(told: MappingExplanation, width: int = 80) -> Table:
    """What every memory holds of each operand, and how full that makes it; of one instance."""
    table = new_table("<Memory", "W", "I", "O", "Used", "Size", "Fill", width=width)
    for memory in told.memories:
        tiles = [
            "stays" if o in memory.resident else _tile(memory.tiles.get(o), memory.tile_bits.get(o))
            for o in OPERANDS
        ]
        used = units.data_size(memory.used_bits) + (" (twice)" if memory.copies == 2 else "")
        size = "unbounded" if memory.size_bits is None else units.data_size(memory.size_bits)
        table.add_row(safe_text(memory.name), *tiles, used, size, units.percent(memory.fill, 1))
    return table


def _tile(words: int | None, bits: int | None) -> str:
    return units.MISSING if words is None or bits is None else f"{units.count(words)} × {bits // words} bit"


def bound_lines(told: MappingExplanation) -> list[tuple[str, str]]:
    """The bound in a sentence, and how much of the array works."""
    others = {f"the port of {port.name}": port.cycles for port in told.ports} | {"the array": told.array_cycles}
    name = "the array" if told.bound == "compute" else f"the port of {told.bound}"
    del others[name]
    second = max(others, key=lambda other: others[other], default="")
    why = (
        f"bound by {told.bound}: {name} is busy {told.busy_cycles / told.cycles * 100:.0f} % "
        f"of {told.cycles:,} cycles, next {second} {others[second] / told.cycles * 100:.0f} %"
        if second
        else f"bound by {told.bound}"
    )
    axes = [
        f"{axis.name} {axis.used}/{axis.size}"
        + (f" ({' '.join(f'{loop.dim} {loop.bound}' for loop in axis.loops)})" if axis.loops else "")
        for axis in told.axes
    ]
    array = [" · ".join(axes) or "one PE", f"{told.array_share * 100:.1f} % of the PEs work"]
    if told.macs_per_cycle != 1:
        array.append(f"{told.macs_per_cycle:g} MACs per PE and cycle")
    if told.padding != 1:
        array.append(f"{(told.padding - 1) * 100:.1f} % more iterations than MACs, as dims are padded")
    return [("", why), ("", f"array {' · '.join(array)}")]


def cycle_table(told: MappingExplanation, width: int = 80) -> Table:
    """What the cycles are made of: array and ports work beside each other; to the bound the rest adds."""
    table = new_table("<Cycles", "Reads", "Writes", "Busy", "Of all", "<", width=width)

    def row(name: str, cycles: float, reads: str = "", writes: str = "", note: str = "") -> None:
        table.add_row(
            safe_text(name), reads, writes, units.count(round(cycles)), units.percent(cycles / told.cycles, 1), note
        )

    row("array", told.array_cycles, note=_mark(told, "compute"))
    for port in told.ports:
        if port.limited:
            reads, writes = units.count(round(port.read_cycles)), units.count(round(port.write_cycles))
            shared = "one port" if port.shared else ""
            row(f"{port.name} port", port.cycles, reads, writes, _mark(told, port.name, shared))
    for name, cycles in (
        ("waiting", told.waiting_cycles),
        ("first fill", told.first_fill_cycles),
        ("last drain", told.last_drain_cycles),
    ):
        row(name, cycles, note="adds" if cycles else "")
    return table


def _mark(told: MappingExplanation, place: str, note: str = "") -> str:
    return ", ".join(filter(None, ["← bound" if told.bound == place else "", note]))


def explanation_data(told: MappingExplanation) -> dict[str, Any]:
    """The explanation as JSON; units are in the names."""
    return {
        "memories": [
            {
                "memory": m.name, "level": m.level, "tile_words": dict(m.tiles), "tile_bits": dict(m.tile_bits),
                "resident": list(m.resident), "room_bits": m.room_bits,
                "copies": m.copies, "used_bits": m.used_bits, "size_bits": m.size_bits, "fill": m.fill,
                "instances": m.instances,
            }
            for m in told.memories
        ],
        "ports": [
            {
                "memory": p.name, "read_cycles": p.read_cycles, "write_cycles": p.write_cycles, "shared": p.shared,
                "cycles": p.cycles,
            }
            for p in told.ports
        ],
        "axes": [
            {
                "axis": a.name, "size": a.size, "used": a.used, "utilization": a.utilization,
                "loops": [[loop.dim, loop.bound] for loop in a.loops],
            }
            for a in told.axes
        ],
        "array_cycles": told.array_cycles,
        "macs_per_cycle": told.macs_per_cycle,
        "padding": told.padding,
        "waiting_cycles": told.waiting_cycles,
        "first_fill_cycles": told.first_fill_cycles,
        "last_drain_cycles": told.last_drain_cycles,
        "cycles": told.cycles,
        "bound": told.bound,
    }  # fmt: skip


# ---- two accelerators ----------------------------------------------------------------------------


def comparison_table(first: Mapped, second: Mapped, width: int = 80) -> Table:
    """Totals, energies and traffic of two accelerators, and the ratio second / first."""
    names = [item.accelerator.name for item in (first, second)]
    table = new_table("<", *names, "ratio", width=width)
    for label, values, texts in _compared(first, second):
        a, b = values
        ratio = f"{b / a:.3g}" if a and b is not None else ""
        table.add_row(safe_text(label), *texts, ratio)
    return table


def _compared(
    first: Mapped, second: Mapped
) -> list[tuple[str, tuple[float | None, float | None], tuple[str, str]]]:
    """(label, values, texts); a value is None where one of the two has no such memory."""
    pair = (first, second)
    rows: list[tuple[str, tuple[float | None, float | None], tuple[str, str]]] = []

    def add(label: str, values: Sequence[float | None], form: Any) -> None:
        a, b = values
        rows.append((label, (a, b), (form(a), form(b))))

    seconds = [item.cost.cycles / item.accelerator.clock_hz for item in pair]
    add("PEs", [item.accelerator.num_pes for item in pair], units.count)
    add("clock", [item.accelerator.clock_hz for item in pair], units.frequency)
    add("cycles", [item.cost.cycles for item in pair], units.count)
    add("time", seconds, units.seconds)
    add("energy", [item.cost.energy_pj for item in pair], units.energy)
    add("energy per MAC", [item.cost.energy_pj / item.cost.macs for item in pair], units.energy)
    add("utilization", [item.cost.utilization for item in pair], lambda value: units.percent(value, 1))
    switched = (key for item in pair for key in item.cost.energy_breakdown if key[1] != LEAKAGE)
    for place in dict.fromkeys(place for place, _ in switched):
        add(
            f"energy, {units.level_name(place)}",
            [_sum(item.cost.energy_breakdown, place) for item in pair],
            units.energy,
        )
    if any(item.accelerator.leakage_w for item in pair):
        add("energy, leakage", [item.cost.leakage_energy_pj for item in pair], units.energy)
    outer = [item.accelerator.levels[-1].memories for item in pair]
    traffic = [sum(_sum(i.cost.traffic_bits, m.name) or 0.0 for m in ms) for i, ms in zip(pair, outer, strict=True)]
    add("traffic, outermost", traffic, units.data_size)
    bounds = tuple(item.cost.bound for item in pair)
    rows.append(("bound", (None, None), (bounds[0], bounds[1])))
    return rows


def _sum(breakdown: Any, place: str) -> float | None:
    found = [value for (name, kind), value in breakdown.items() if name == place and kind != LEAKAGE]
    return sum(found) if found else None


def nest_table(first: Mapped, second: Mapped, width: int = 80) -> Table:
    """Two loop nests side by side."""
    table = new_table(*(f"<{item.accelerator.name}" for item in (first, second)), width=width)
    for column in table.columns:
        column.no_wrap = False
        column.overflow = "fold"
    table.add_row(*(safe_block(item.mapping.loop_nest()) for item in (first, second)))
    return table


def safe_block(text: str) -> Any:
    """Several lines as rich text that is never read as markup."""
    from rich.text import Text

    return Text("\n").join(safe_text(line) for line in text.splitlines())
