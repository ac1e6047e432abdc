"""An accelerator as a chip file: every number in its base unit, so that it is read back to the last bit.

The energy of a cycle of the clock network is the exception: a file states a power, and it comes back to a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

from hwmodel.chip.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.chip.arithmetic.analog import Analog
from hwmodel.chip.building import build_chip
from hwmodel.chip.chipfile import ChipFile
from hwmodel.chip.components.arithmetic import Arithmetic
from hwmodel.chip.components.filling import mac_numbers, memory_numbers
from hwmodel.chip.components.parts import Part
from hwmodel.chip.formats import written_exactly
from hwmodel.chip.roofline import Roofline
from hwmodel.chip.timing.base import Timing
from hwmodel.chip.timing.blocks import Blocks
from hwmodel.chip.timing.commands import Commands
from hwmodel.chip.timing.commands_section import commands_data
from hwmodel.chip.timing.streamed import Streamed
from hwmodel.chip.timing.systolic import Systolic
from hwmodel.chip.vector import LoopNest
from hwmodel.chip.yamlfile import dump_yaml, parse_document
from hwmodel.errors import AcceleratorError
from hwmodel.files import write_atomic
from hwmodel.network.layer import DIM_NAMES

Data = dict[str, Any]
NOT_STATED = "not stated"


def write_accelerator(path: str | Path, accelerator: Accelerator) -> Path:
    """Write an accelerator as a file that `load_accelerator` reads.

    Args:
        path: ends in .yaml or .yml.
        accelerator: loaded, or changed with `dataclasses.replace`.

    Raises:
        AcceleratorError: another suffix, or a machine that no file can describe.

    Example:
        >>> wide = replace(load_accelerator("edge_npu"), clock_hz=1e9)  # doctest: +SKIP
        >>> write_accelerator("wide.yaml", wide)  # doctest: +SKIP
    """
    if Path(path).suffix not in (".yaml", ".yml"):
        raise AcceleratorError(f"{path}: must end in .yaml or .yml, for --hw to read it.")
    return write_atomic(path, accelerator_yaml(accelerator))


def accelerator_yaml(accelerator: Accelerator) -> str:
    """The text of `write_accelerator`; comments of a file that the accelerator came from are lost.

    Raises:
        AcceleratorError: a machine that no file can describe; the message says what breaks which rule.
    """
    text = dump_yaml(accelerator_data(accelerator))
    document = parse_document(text, f"accelerator {accelerator.name}", AcceleratorError)
    again = build_chip(document, document.validated(ChipFile))
    if math.isclose(again.clock_pj, accelerator.clock_pj, rel_tol=1e-15):  # what the nearest power comes to
        again = replace(again, clock_pj=accelerator.clock_pj)
    if again.fingerprint != accelerator.fingerprint:
        raise AcceleratorError(
            f"accelerator {accelerator.name}: a file must say all of it, but "
            f"{_first_difference(accelerator, again)} would be read otherwise. Change it to what a file can say."
        )
    return text


def _first_difference(one: Accelerator, two: Accelerator) -> str:
    names = (name for name in vars(one) if name in Accelerator.__dataclass_fields__)
    return next((f"`{name}`" for name in names if getattr(one, name) != getattr(two, name)), "a field")


def accelerator_data(chip: Accelerator, *, components: bool = True) -> Data:
    """The sections of its file as plain values, numbers in base units.

    Args:
        chip: what is written.
        components: say what its parts are, and no number that follows from it; else say all numbers.
    """
    roofline = chip.roofline
    mac, nest = _sources(chip)
    return _said(
        name=chip.name, kind=chip.kind, description=chip.description, source=chip.source or NOT_STATED,
        clock=f"{chip.clock_hz!r} Hz", technology=_quantity(chip.technology_nm, "nm"),
        mac=None if roofline else _mac(chip, mac, chip.mac_component if components else None),
        array=None if roofline else [_axis(axis) for axis in chip.axes] or None,
        host_unfolds=chip.unfolded_channels or None,
        memories=[
            _memory(memory, level, memory.component if components else None)
            for level in chip.levels
            for memory in level.memories
        ]
        or None,
        diagonal=None if chip.diagonal else False,
        temporal={own.name: list(own.temporal_dims) for own in chip.levels if own.temporal_dims != DIM_NAMES},
        order={level.name: list(level.order) for level in chip.levels if level.order},
        gating=list(chip.gating), skipping=list(chip.skipping), nm=[f"{n}:{m}" for n, m in chip.nm],
        dataflow=None if chip.dataflow == "free" else chip.dataflow,
        tiles=None if chip.tiles == "even" else chip.tiles,
        clock_power=_clock_power(chip) if chip.clock_pj else None,
        vector=_vector(chip),
        loop_nest=None if chip.loop_nest is None else _loop_nest(chip.loop_nest, nest),
        timing=_timing(chip.timing), roofline=None if roofline is None else _roofline(chip, roofline),
        notes=list(chip.notes),
    )  # fmt: skip


def _said(**values: Any) -> Data:
    """Without what a file need not say: None, empty lists and mappings."""
    return {key: value for key, value in values.items() if value is not None and value not in ([], {})}


def _quantity(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{float(value)!r} {unit}"


def _power(read: Callable[[float], float], wanted: float, close: float) -> str:
    """The power [W] near `close` that is read as `wanted`, to the last bit where there is one."""
    near = (close, *(math.nextafter(close, side) for side in (0.0, math.inf)))
    return f"{next((watts for watts in near if read(watts) == wanted), close)!r} W"


def _clock_power(chip: Accelerator) -> str:
    clock = chip.clock_hz
    return _power(lambda watts: watts * 1e12 / clock, chip.clock_pj, chip.clock_pj * clock / 1e12)


def _sources(chip: Accelerator) -> tuple[str, str]:
    """Of the MAC, and of the operations of a loop nest, which are joined in an accelerator."""
    if chip.loop_nest is None:
        return chip.mac_source, ""
    mac, _, nest = chip.mac_source.partition("; ")
    return mac, nest


def _part(part: Part | None) -> Data:
    """The keys of a component; those that are at their defaults are left out."""
    if part is None:
        return {}
    return _said(
        component=part.kind, kind=part.dram, technology=_quantity(part.nm, "nm"),
        width=part.width_bits and f"{part.width_bits} bit", banks=None if part.banks == 1 else part.banks,
        ports=None if part.ports == 1 else part.ports,
        devices=None if part.devices == Part.devices else part.devices,
    )  # fmt: skip


def _arithmetic(arithmetic: Arithmetic | None) -> Data:
    if arithmetic is None:
        return {}
    return _said(
        component=arithmetic.kind, technology=_quantity(arithmetic.nm, "nm"),
        registered=None if arithmetic.registered else False,
    )  # fmt: skip


def _unless(value: float | None, derived: float | None) -> float | None:
    """A number that must be stated: None where it follows from the component."""
    return None if value == derived else value


def _mac(chip: Accelerator, source: str, arithmetic: Arithmetic | None) -> Data:
    own, energy = chip.precision, chip.precision.mac_pj
    area, leakage = chip.mac_area_mm2, chip.array_leakage_w or None
    if arithmetic is not None:
        derived = mac_numbers(arithmetic, own)
        power = _unless(chip.array_leakage_w, derived.leakage_w * chip.num_pes)
        return _said(
            **_arithmetic(arithmetic), **_widths(chip), energy=_quantity(_unless(energy, derived.energy_pj), "pJ"),
            area=_quantity(_unless(area, derived.area_mm2), "mm^2"), leakage=_quantity(power, "W"), source=source,
        )  # fmt: skip
    return _said(
        **_widths(chip), energy=f"{energy!r} pJ", area=_quantity(area, "mm^2"), leakage=_quantity(leakage, "W"),
        source=source,
    )  # fmt: skip


def _widths(chip: Accelerator) -> Data:
    own = chip.precision
    return _said(
        w=f"{own.w_bits} bit", i=f"{own.i_bits} bit", accumulator=own.acc_bits and f"{own.acc_bits} bit",
        precision=None if own.mode == "fixed" else own.mode,
        brick=f"{own.brick_bits} bit" if own.mode == "fusion" else None, serial=list(own.serial),
        energies=[{"w": f"{w} bit", "i": f"{i} bit", "energy": f"{pj!r} pJ"} for w, i, pj in own.table_pj],
        rates=[{"w": f"{w} bit", "i": f"{i} bit", "rate": rate} for w, i, rate in own.table_rates],
        analog=None if own.analog is None else _analog(own.analog),
    )  # fmt: skip


def _analog(own: Analog) -> Data:
    return {
        "cell": f"{own.cell_bits} bit",
        "dac": {"bits": f"{own.dac_bits} bit", "energy": f"{own.dac_pj!r} pJ"},
        "adc": {"bits": f"{own.adc_bits} bit", "energy": f"{own.adc_pj!r} pJ"},
        "cycles": own.cycles,
    }


def _axis(axis: Axis) -> Data:
    return _said(
        axis=axis.name, size=axis.size, dims=list(axis.dims), fused=axis.fused or None,
        weight_cells=axis.weight_cells, full=list(axis.full), multicast=None if axis.multicast else False,
    )  # fmt: skip


def _numbers(memory: Memory, part: Part | None) -> Data:
    """Its energies, area and leakage, without those that follow from what it is."""
    if part is None:
        leakage: float | None = memory.leakage_w or None
        read, write, area = memory.read_pj_per_bit, memory.write_pj_per_bit, memory.area_mm2_per_bit
        return _energies(read, write, area, leakage)
    derived = memory_numbers(part, memory.size_bits)
    return _energies(
        _unless(memory.read_pj_per_bit, derived.read_pj_per_bit),
        _unless(memory.write_pj_per_bit, derived.write_pj_per_bit),
        _unless(memory.area_mm2_per_bit, derived.area_mm2_per_bit),
        _unless(memory.leakage_w, derived.leakage_w),
    )


def _energies(read: float | None, write: float | None, area: float | None, leakage: float | None) -> Data:
    return _said(
        read_energy=_quantity(read, "pJ/bit"), write_energy=_quantity(write, "pJ/bit"),
        area=_quantity(area, "mm^2/bit"), leakage=_quantity(leakage, "W"),
    )  # fmt: skip


def _memory(memory: Memory, level: Level, part: Part | None) -> Data:
    read, write = (
        _quantity(rate, "bit/cycle") for rate in (memory.read_bits_per_cycle, memory.write_bits_per_cycle)
    )
    return _said(
        name=memory.name, level=None if level.name == memory.name else level.name,
        per=list(memory.per) if memory.per else "pe" if level.per_pe else None,
        holds=list(memory.holds), bypass=list(memory.bypass), resident=list(memory.resident),
        size="unbounded" if memory.size_bits is None else _quantity(memory.size_bits, "bit"),
        **_part(part), **_numbers(memory, part),
        bandwidth=read if memory.shared_port else None,
        read_bandwidth=None if memory.shared_port else read, write_bandwidth=None if memory.shared_port else write,
        double_buffered=memory.double_buffered or None, compressed=list(memory.compressed),
        formats=list(memory.formats),
        bank=_quantity(memory.bank_bits, "bit"), network=_quantity(memory.network_bits_per_cycle, "bit/cycle"),
        network_energy=_quantity(memory.network_pj_per_bit or None, "pJ/bit"), exclusive=list(memory.exclusive),
        burst=_quantity(memory.burst_bits or None, "bit"), latency=memory.latency_cycles or None,
        brick=memory.brick if memory.brick > 1 else None,
        source=memory.source or NOT_STATED,
    )  # fmt: skip


def _vector(chip: Accelerator) -> Data:
    own, energy = chip.vector, f"{chip.vector.pj_per_op!r} pJ"
    fuses = {} if own.fuses is None else {"fuses": list(own.fuses)}  # an empty list says something
    return _said(lanes=own.lanes, energy=energy, cycles=dict(own.cycles), source=chip.vector_source) | fuses


def _loop_nest(nest: LoopNest, source: str) -> Data:
    conv, linear = (
        {"multiplications": multiplications, "additions": additions}
        for multiplications, additions in zip(nest.multiplications, nest.additions, strict=True)
    )
    return {
        "conv": conv, "linear": linear, "bias_additions": nest.bias_additions,
        "multiply_energy_per_bit2": f"{nest.pj_per_bit2!r} pJ", "add_energy_per_bit": f"{nest.pj_per_bit!r} pJ",
        "source": source,
    }  # fmt: skip


@singledispatch
def _timing(own: Timing) -> Data | None:
    """The section `timing:`, by the kind; None where there is none."""
    return None


@_timing.register
def _(own: Systolic) -> Data:
    return {"kind": "systolic", "dataflow": own.dataflow}


@_timing.register
def _(own: Streamed) -> Data:
    return {"kind": "streamed"}


@_timing.register
def _(own: Commands) -> Data:
    return {"kind": "commands", "commands": commands_data(own)}


@_timing.register
def _(own: Blocks) -> Data:
    banks, wide = own.banks, own.wide
    blocks = {
        "granules": [{"taps": item.taps, "channels": item.channels} for item in own.granules],
        "depthwise_taps": own.depthwise_taps, "largest": list(own.largest), "filters": own.multiple,
        "window": own.window, "decoder": own.decoder, "pipeline": own.pipeline, "output": own.output,
        "issue": own.issue,
        "parameters": {
            "size": _quantity(own.parameter_bits, "bit"), "word": _quantity(own.parameter_word, "bit"),
            "window": _quantity(own.parameter_window, "bit"),
        },
        "banks": {
            "size": _quantity(banks.bits, "bit"), "channels": banks.channels, "inputs": banks.inputs,
            "sums": banks.sums, "reserved": banks.reserved,
        },
        "wide": {"output": wide.output, "accumulator": f"{wide.acc_bits} bit", "sums": wide.sum_banks},
        "staged": own.staged, "images": own.images, "source": own.source or NOT_STATED,
    }  # fmt: skip
    return {"kind": "blocks", "blocks": blocks}


def _roofline(chip: Accelerator, machine: Roofline) -> Data:
    native = machine.format_for(chip.native_bits.w)
    rate, idle = native.macs_per_s * native.efficiency, machine.idle_w
    power = _power(lambda board: (board - idle) / rate * 1e12, native.mac_pj, native.mac_pj * rate / 1e12 + idle)
    return _said(
        cores=machine.cores, native=native.name, formats=[written_exactly(item) for item in machine.formats],
        tiles=[list(tile) for tile in machine.tiles], granule=f"{machine.granule_bits} bit",
        channel_block=machine.channel_block, cache=_quantity(machine.cache_bits, "bit"),
        cache_bandwidth=_quantity(machine.cache_bits_per_s, "bit/s"), fill=_quantity(machine.fill_s, "s"),
        launch=_quantity(machine.launch_s, "s"), wait=_quantity(machine.wait_s, "s"), overlap=machine.overlap,
        board_power=power, idle_power=_quantity(idle, "W"), source=chip.mac_source,
    )  # fmt: skip
