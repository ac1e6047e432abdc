"""`hwmodel hw`: the accelerators that have a name, and files of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reports.commands.options import JsonOption

if TYPE_CHECKING:
    from hwmodel.chip.accelerator import Accelerator, Memory

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_all(json: JsonOption = False) -> None:
    """List the accelerators that have a name."""
    from hwmodel import list_accelerators, load_accelerator
    from reports import units
    from reports.terminal.console import emit_json, make_console
    from reports.terminal.tables import new_table, safe_text

    chips = [(name, load_accelerator(name)) for name in list_accelerators()]
    if json:
        emit_json([{"name": name, **_summary(chip)} for name, chip in chips])
        return
    console = make_console()
    table = new_table("<Name", "<W/A", "PEs", "Clock", "<Description", width=console.width)
    table.columns[-1].no_wrap = False
    for name, chip in chips:
        native = chip.native_bits
        table.add_row(
            safe_text(name, "bold"), f"{native.w}/{native.i}", str(chip.num_pes), units.frequency(chip.clock_hz),
            safe_text(chip.description),
        )  # fmt: skip
    console.print(table)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name or a YAML file.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Show one accelerator: its array, its memories, and the source of every number."""
    from hwmodel import load_accelerator
    from reports.terminal.console import emit_json, make_console
    from reports.terminal.tables import print_lines

    chip = load_accelerator(name)
    if json:
        memories = [_memory(memory) for memory in chip.memories().values()]
        emit_json({"name": chip.name, **_summary(chip), "memories": memories, "area": _area(chip)})
        return
    console = make_console()
    print_lines(console, _facts(chip))
    console.print(_memory_table(chip, console.width))
    print_lines(console, _area_lines(chip))
    print_lines(console, [("", f"{name}: {memory.source}") for name, memory in chip.memories().items()])


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Check an accelerator file; the first problem is named with its line and its fix."""
    from hwmodel import load_accelerator
    from hwmodel.errors import AcceleratorError
    from hwmodel.network.names import OK
    from reports.terminal.console import emit_json, make_console
    from reports.terminal.tables import print_lines

    if file.suffix not in (".yaml", ".yml"):
        raise AcceleratorError(
            f"{file}: must be a .yaml file. hwmodel hw show NAME shows the ones that have a name."
        )
    chip = load_accelerator(file)
    if json:
        emit_json({"file": str(file), "valid": True, "name": chip.name, **_summary(chip)})
        return
    print_lines(make_console(), [(OK, f"{file} is valid"), *_facts(chip)])


@app.command("calibrate")
def calibrate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The YAML file to write.", show_default=False)
    ],
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    layers: Annotated[int, typer.Option(min=4, help="Products, and convolutions, measured per format.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the shapes.")] = 0,
    json: JsonOption = False,
) -> None:
    """Measure this machine and write it as an accelerator file."""
    from hwmodel.errors import ConfigError
    from hwmodel.network.names import OK
    from reports.terminal.console import emit_json, make_console
    from reports.terminal.tables import print_lines

    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{output}: must be a .yaml file, for --hw to read it")
    from workloads.calibrate import calibrate

    found = calibrate(device, name=output.stem, count=layers, seed=seed)
    output.write_text(found.yaml, encoding="utf-8")
    formats = [fmt.name for fmt in found.fit.machine.formats]
    facts = {
        "file": str(output),
        "device": found.device,
        "formats": formats,
        "fit_error": found.fit.error,
        "held_out_layers": len(found.held_out),
        "held_out_error": found.held_out_error,
    }
    if json:
        emit_json(facts)
        return
    lines = [
        (OK, f"{output}: {found.device}, {' '.join(formats)}"),
        ("", f"mean error {found.fit.error:.1%} on the layers of the fit, {found.held_out_error:.1%} on "
             f"{len(found.held_out)} others"),
        ("", f"use it: hwmodel cost MODEL --hw {output}"),
    ]  # fmt: skip
    print_lines(make_console(), lines)


def _summary(chip: Accelerator) -> dict[str, Any]:
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
        "fingerprint": chip.fingerprint,
        "notes": list(chip.notes),
    }


def _memory(memory: Memory) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(memory)


def _area(chip: Accelerator) -> dict[str, Any]:
    """Area by component as JSON; null where it is unknown."""
    from hwmodel.chip.area import chip_area

    area = chip_area(chip)
    return {
        "total_mm2": area.mm2,
        "known_mm2": area.known_mm2,
        "components": [{"name": c.name, "copies": c.copies, "mm2": c.mm2} for c in area.components],
    }


def _area_lines(chip: Accelerator) -> list[tuple[str, str]]:
    """Area by component; what no source gives is said to be unknown. Nothing for a chip without parts."""
    from hwmodel.chip.area import chip_area

    area = chip_area(chip)
    if not chip.levels:
        return []
    if len(area.unknown) == len(area.components):
        return [("", "area: unknown, its description states none")]
    known = [f"{c.name} {c.mm2:.3g} mm²" for c in area.components if c.mm2 is not None]
    unknown = [f"unknown: {', '.join(area.unknown)}"] if area.unknown else []
    least = "at least " if area.unknown else ""
    return [("", f"area: {least}{area.known_mm2:.3g} mm² · {' · '.join([*known, *unknown])}")]


def _facts(chip: Accelerator) -> list[tuple[str, str]]:
    from hwmodel.network.names import WARNING
    from reports import units

    array = " × ".join(f"{axis.name} {axis.size} ({' '.join(axis.dims)})" for axis in chip.axes)
    array = f" · array {array}" if array else ""
    process = f" · {chip.technology_nm:g} nm" if chip.technology_nm else ""
    return [
        ("", f"{chip.name}: {chip.description}"),
        ("", f"{chip.kind} · {units.frequency(chip.clock_hz)}{process} · {chip.num_pes} PEs{array}"),
        *_arithmetic(chip),
        ("", f"source: {chip.source}"),
        *((WARNING, note) for note in chip.notes),
    ]


def _arithmetic(chip: Accelerator) -> list[tuple[str, str]]:
    """The multipliers; on GPUs and CPUs the formats with their peaks, and the overheads."""
    native, machine = chip.native_bits, chip.roofline
    if machine is None:
        timing = "" if chip.timing is None else f", {chip.timing.title}"
        return [("", f"multipliers {native.w} × {native.i} bit, {chip.precision.mode}{timing}")]
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


def _memory_table(chip: Accelerator, width: int) -> Any:
    from reports import units
    from reports.terminal.tables import new_table, safe_text

    table = new_table("<Memory", "<Per", "<Holds", "Size", "Read", "Write", "Port", "<Double", width=width)
    for level in chip.levels:
        for memory in level.memories:
            size = "unbounded" if memory.size_bits is None else units.data_size(memory.size_bits)
            port = memory.read_bits_per_cycle
            table.add_row(
                safe_text(memory.name), "PE" if level.per_pe else "array", " ".join(memory.holds), size,
                f"{memory.read_pj_per_bit:.3g} pJ/bit", f"{memory.write_pj_per_bit:.3g} pJ/bit",
                units.MISSING if port is None else f"{port:g} bit/cycle", "yes" if memory.double_buffered else "no",
            )  # fmt: skip
    return table
