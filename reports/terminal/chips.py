"""An accelerator as text and JSON: its array, its memories, its area, and where the numbers come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hwmodel.chip.area import chip_area
from hwmodel.network.names import WARNING
from hwmodel.show.origins import Origin, origins
from reports import units
from reports.terminal.tables import new_table, safe_text

if TYPE_CHECKING:
    from rich.table import Table

    from hwmodel.chip.accelerator import Accelerator, Memory
    from hwmodel.chip.sweep.designs import Designs


def list_table(chips: Mapping[str, Accelerator], width: int) -> Table:
    """One row per accelerator; descriptions wrap."""
    table = new_table("<Name", "<W/A", "PEs", "Clock", "<Description", width=width)
    table.columns[-1].no_wrap = False
    for name, chip in chips.items():
        native = chip.native_bits
        table.add_row(
            safe_text(name, "bold"), f"{native.w}/{native.i}", str(chip.num_pes), units.frequency(chip.clock_hz),
            safe_text(chip.description),
        )  # fmt: skip
    return table


def designs_table(designs: Designs, width: int) -> Table:
    """One row per design: what is swept, its PEs and its area where that is known."""
    table = new_table("Design", *designs.paths, "PEs", "Area [mm²]", width=width)
    for design in designs:
        values = (str(design.values[path]) for path in designs.paths)
        cells = (str(design.number), *values, str(design.accelerator.num_pes), units.number(design.area_mm2))
        table.add_row(*(safe_text(cell) for cell in cells))
    return table


def chip_data(chip: Accelerator) -> dict[str, Any]:
    """What it is, as JSON."""
    return {
        "kind": chip.kind,
        "description": chip.description,
        "source": chip.source,
        "clock_hz": chip.clock_hz,
        "technology_nm": chip.technology_nm,
        "num_pes": chip.num_pes,
        "w_bits": chip.native_bits.w,
        "a_bits": chip.native_bits.i,
        "precision": chip.precision.mode,
        "tiles": chip.tiles,
        "energies": energy_data(chip),
        "fingerprint": chip.fingerprint,
        "leakage_w": dict(chip.leakage_w),
        "notes": list(chip.notes),
    }


def energy_data(chip: Accelerator) -> dict[str, Any]:
    """Energies of the arithmetic, and the sources of its numbers, as JSON."""
    nest, machine = chip.loop_nest, chip.roofline
    data: dict[str, Any] = {"mac_source": chip.mac_source, "vector_source": chip.vector_source}
    if nest is not None:
        return {**data, "multiply_pj_per_bit2": nest.pj_per_bit2, "add_pj_per_bit": nest.pj_per_bit}
    data |= {"vector_pj": chip.vector.pj_per_op, "vector_lanes": chip.vector.lanes, "clock_pj": chip.clock_pj}
    if machine is not None:
        return {**data, "mac_pj": {fmt.name: fmt.mac_pj for fmt in machine.formats}}
    table = [{"w_bits": w, "i_bits": i, "mac_pj": pj} for w, i, pj in chip.precision.table_pj]
    return {
        **data,
        "mac_pj": chip.precision.mac_pj,
        "mac_table": table,
        "mac_rates": [{"w_bits": w, "i_bits": i, "rate": rate} for w, i, rate in chip.precision.table_rates],
        "analog": None if chip.precision.analog is None else asdict(chip.precision.analog),
        "accumulator_bits": chip.precision.acc_bits,
    }


def energy_lines(chip: Accelerator) -> list[tuple[str, str]]:
    """What a MAC and a vector operation cost, each with its source."""
    nest, machine, unit = chip.loop_nest, chip.roofline, chip.vector
    if nest is not None:
        macs = f"multiplication {nest.pj_per_bit2:g} pJ/bit², addition {nest.pj_per_bit:g} pJ/bit"
        return [("", f"{macs}: {chip.mac_source}")]
    if machine is not None:
        energies = ", ".join(f"{fmt.name} {_pj(fmt.mac_pj)}" for fmt in reversed(machine.formats))
    else:
        native, table = chip.native_bits, chip.precision.table_pj
        energies = f"{_pj(chip.precision.mac_pj)} at {native.w} × {native.i} bit"
        energies += "".join(f", {_pj(pj)} at {w} × {i}" for w, i, pj in table)
        if (own := chip.precision.analog) is not None:
            energies += f", a DAC {_pj(own.dac_pj)}, an ADC {_pj(own.adc_pj)}"
    lanes = f"{unit.lanes} lane{'s' if unit.lanes != 1 else ''}"
    source = f": {chip.vector_source}" if chip.vector_source else ", no source: the file states none"
    clock = [("", f"clock network {_pj(chip.clock_pj)} per cycle")] if chip.clock_pj else []
    return [
        ("", f"MAC {energies}: {chip.mac_source}"),
        ("", f"vector unit {lanes}, {_pj(unit.pj_per_op)} per operation{source}"),
        *clock,
        *leakage_lines(chip),
    ]


def leakage_lines(chip: Accelerator) -> list[tuple[str, str]]:
    """The power that it draws whatever it does, part by part; nothing where the file states none."""
    drawn = [f"{place} {watts * 1e3:.4g} mW" for place, watts in chip.leakage_w.items()]
    return [("", f"leakage {', '.join(drawn)}")] if drawn else []


def _pj(value: float) -> str:
    return f"{value:.4g} pJ"


#: Number of an `Origin` -> its unit, and how many of the base unit are one.
_SHOWN = {
    "energy": ("pJ", 1.0), "read_energy": ("pJ/bit", 1.0), "write_energy": ("pJ/bit", 1.0), "area": ("mm²", 1.0),
    "leakage": ("uW", 1e-6),
}  # fmt: skip


def origin_lines(chip: Accelerator) -> list[tuple[str, str]]:
    """The numbers that follow from components, part by part: value, model, node, and what was scaled from where."""
    return [("", _origin_line(origin)) for origin in origins(chip)]


def _origin_line(origin: Origin) -> str:
    numbers = (
        f"{name.replace('_', ' ')} {value / _SHOWN[name][1]:.3g} {_SHOWN[name][0]}"
        for name, value in origin.derived.items()
    )
    stated = f"; stated: {', '.join(origin.stated)}" if origin.stated else ""
    return f"{origin.place}: {', '.join(numbers) or 'nothing'} from its component: {origin.said}{stated}"


def origin_data(chip: Accelerator) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [asdict(origin) for origin in origins(chip)]


def memory_data(chip: Accelerator) -> list[dict[str, Any]]:
    """Its memories as JSON, innermost first."""
    return [asdict(memory) for memory in chip.memories().values()]


def area_data(chip: Accelerator) -> dict[str, Any]:
    """Area by component as JSON; null where it is unknown."""
    area = chip_area(chip)
    return {
        "total_mm2": area.mm2,
        "known_mm2": area.known_mm2,
        "components": [{"name": c.name, "copies": c.copies, "mm2": c.mm2} for c in area.components],
    }


def area_lines(chip: Accelerator) -> list[tuple[str, str]]:
    """Area by component; what no source gives is said to be unknown. Nothing for a chip without parts."""
    area = chip_area(chip)
    if not chip.levels:
        return []
    if len(area.unknown) == len(area.components):
        return [("", "area: unknown, its description states none")]
    known = [f"{c.name} {c.mm2:.3g} mm²" for c in area.components if c.mm2 is not None]
    unknown = [f"unknown: {', '.join(area.unknown)}"] if area.unknown else []
    least = "at least " if area.unknown else ""
    return [("", f"area: {least}{area.known_mm2:.3g} mm² · {' · '.join([*known, *unknown])}")]


def chip_lines(chip: Accelerator) -> list[tuple[str, str]]:
    """Its array and its arithmetic, the source, and the notes of its file."""
    array = " × ".join(f"{axis.name} {axis.size} ({' '.join(axis.dims)})" for axis in chip.axes)
    array = f" · array {array}" if array else ""
    if chip.tiles == "uneven":
        array += " · a tile per operand and memory"
    process = f" · {chip.technology_nm:g} nm" if chip.technology_nm else ""
    return [
        ("", f"{chip.name}: {chip.description}"),
        ("", f"{chip.kind} · {units.frequency(chip.clock_hz)}{process} · {chip.num_pes} PEs{array}"),
        *_arithmetic(chip),
        *_staying(chip),
        ("", f"source: {chip.source}"),
        *((WARNING, note) for note in chip.notes),
    ]


def _staying(chip: Accelerator) -> list[tuple[str, str]]:
    """Which memory keeps what of a network, where one does."""
    keeper = chip.keeper
    if keeper is None:
        return []
    kept = [
        *(["tensors between layers"] if "I" in keeper.resident else []),
        *(["weights between inferences"] if "W" in keeper.resident else []),
    ]
    return [("", f"{keeper.name} keeps {' and '.join(kept)} where they fit")]


def _arithmetic(chip: Accelerator) -> list[tuple[str, str]]:
    """The multipliers; on GPUs and CPUs the formats with their peaks, and the overheads."""
    native, machine = chip.native_bits, chip.roofline
    if machine is None:
        timing = f", {chip.timing.title}" if chip.timing.title else ""
        rates = chip.precision.table_rates
        table = f" of MACs per cycle: {', '.join(f'{r:g} at {w} × {i}' for w, i, r in rates)}" if rates else ""
        own = chip.precision.analog
        if own is not None:
            table = (
                f": cells of {own.cell_bits} bit, DACs of {own.dac_bits} and ADCs of {own.adc_bits} bit, "
                f"{own.cycles} cycles a step"
            )
        return [("", f"multipliers {native.w} × {native.i} bit, {chip.precision.mode}{timing}{table}")]
    formats = [
        f"{fmt.name} {2 * fmt.macs_per_s / 1e12:.4g} TOP/s × {fmt.efficiency:.3g}"
        for fmt in reversed(machine.formats)
    ]
    tiles = " ".join(f"{m}×{n}" for m, n in machine.tiles)
    return [
        ("", f"peak × sustained: {', '.join(formats)}"),
        ("", f"tiles {tiles}"),
        ("", f"launch {machine.launch_s * 1e6:.3g} us per kernel, wait {machine.wait_s * 1e6:.3g} us per network"),
    ]


def placed(chip: Accelerator, memory: Memory) -> str:
    """Where the copies of a memory stand: in every PE, along axes, or one for the array."""
    if memory.per is not None:
        return ", ".join(memory.per)
    return "PE" if any(level.per_pe and memory in level.memories for level in chip.levels) else "array"


def memory_table(chip: Accelerator, width: int) -> Table:
    """One row per memory: what it holds and what stays there, its size, its energies and its port."""
    stays = ["<Stays"] if chip.keeper is not None else []
    table = new_table("<Memory", "<Per", "<Holds", *stays, "Size", "Read", "Write", "Port", "<Double", width=width)
    for level in chip.levels:
        for memory in level.memories:
            size = "unbounded" if memory.size_bits is None else units.data_size(memory.size_bits)
            port = memory.read_bits_per_cycle
            table.add_row(
                safe_text(memory.name), safe_text(placed(chip, memory)), " ".join(memory.holds),
                *([" ".join(memory.resident)] if stays else []), size,
                f"{memory.read_pj_per_bit:.3g} pJ/bit", f"{memory.write_pj_per_bit:.3g} pJ/bit",
                units.MISSING if port is None else f"{port:g} bit/cycle", "yes" if memory.double_buffered else "no",
            )  # fmt: skip
    return table
