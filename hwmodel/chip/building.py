"""The accelerator of a validated chip file: its sections together, and what one alone cannot tell."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from hwmodel.chip.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.chip.checks.names import EVERY_PE, WHOLE_ARRAY
from hwmodel.chip.checks.rules import check_possible
from hwmodel.chip.checks.unread import ignored_keys
from hwmodel.chip.chipfile import ChipFile, MemorySection
from hwmodel.chip.components.arithmetic import Arithmetic
from hwmodel.chip.components.filling import filled, mac_numbers, network_pj_per_bit
from hwmodel.chip.precision import Precision
from hwmodel.chip.timing.base import Timing
from hwmodel.chip.timing.streamed import Streamed
from hwmodel.chip.timing.systolic import Systolic
from hwmodel.chip.units import parse_bandwidth
from hwmodel.chip.vector import LoopNest, Vector
from hwmodel.chip.yamlfile import Document
from hwmodel.errors import AcceleratorError
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Bits


def build_chip(document: Document, chip: ChipFile, note: str = "") -> Accelerator:
    """The accelerator of a validated file.

    Args:
        document: where it was read.
        chip: what it says.
        note: ends every message.

    Raises:
        AcceleratorError: the sections do not add up to a machine.
    """
    builder = _Builder(chip, document, note)
    built = builder.build()
    check_possible(built, builder.fail)
    return built


class _Builder:
    """Turns a validated file into an `Accelerator`; checks what one field alone cannot tell."""

    def __init__(self, chip: ChipFile, document: Document, note: str) -> None:
        self.chip = chip
        self.document, self.place, self.note = document, document.place, note
        self.lines = document.text.splitlines()

    def fail(self, key: str, message: str) -> AcceleratorError:
        """An error placed where the part called `key` stands, else at the first line that mentions it."""
        named = re.compile(rf"\b(?:name|axis):\s*[\"']?{re.escape(key)}(?![\w-])")
        places = [n for n, text in enumerate(self.lines, 1) if named.search(text)]
        places += [n for n, text in enumerate(self.lines, 1) if key in text]
        line = next(iter(places), 1)
        return AcceleratorError(f"{self.place}:{line} {message}{self.note}")

    def build(self) -> Accelerator:
        chip = self.chip
        mac = chip.unit
        stated = Precision(
            mode=mac.precision, w_bits=mac.w, i_bits=mac.i, acc_bits=mac.accumulator, mac_pj=mac.energy or 0.0,
            brick_bits=mac.brick, serial=mac.serial, table_pj=tuple((r.w, r.i, r.energy) for r in mac.energies),
            table_rates=tuple((r.w, r.i, r.rate) for r in mac.rates),
            analog=None if mac.analog is None else mac.analog.value,
        )  # fmt: skip
        arithmetic, precision, area, leakage = self.arithmetic(stated)
        nest = chip.loop_nest
        return Accelerator(
            name=chip.name,
            kind=chip.kind,
            description=chip.description,
            source=chip.source,
            clock_hz=chip.clock,
            precision=precision,
            native_bits=Bits(w=mac.w, i=mac.i),
            technology_nm=chip.technology,
            axes=self.axes(),
            levels=self.levels(),
            unfolded_channels=chip.host_unfolds,
            diagonal=chip.diagonal,
            gating=chip.gating,
            skipping=chip.skipping,
            nm=chip.nm,
            dataflow=chip.dataflow,
            tiles=chip.tiles,
            clock_pj=chip.clock_power * 1e12 / chip.clock,
            vector=self.vector(),
            loop_nest=None if nest is None else LoopNest(
                multiplications=(nest.conv.multiplications, nest.linear.multiplications),
                additions=(nest.conv.additions, nest.linear.additions),
                bias_additions=nest.bias_additions,
                pj_per_bit2=nest.multiply_energy_per_bit2,
                pj_per_bit=nest.add_energy_per_bit,
            ),
            timing=self.timing(),
            roofline=None if chip.roofline is None else chip.roofline.roofline(self.memory_bits_per_s()),
            notes=(*chip.notes, *self.ignored()),
            mac_area_mm2=area,
            array_leakage_w=leakage,
            mac_source=self.mac_source(),
            vector_source=chip.vector.source,
            mac_component=arithmetic,
        )  # fmt: skip

    def arithmetic(self, stated: Precision) -> tuple[Arithmetic | None, Precision, float | None, float]:
        """What the MACs are, their precision, area [mm^2] and leakage of all of them [W]; what is stated wins."""
        mac = self.chip.unit
        try:
            arithmetic = mac.arithmetic(self.chip.technology)
            if arithmetic is None:
                return None, stated, mac.area, mac.leakage or 0.0
            derived = mac_numbers(arithmetic, stated)
        except ValueError as error:
            raise self.fail("mac:", f"mac: {error}") from None
        pes = math.prod(axis.size for axis in self.chip.array)
        return (
            arithmetic,
            replace(stated, mac_pj=derived.energy_pj if mac.energy is None else mac.energy),
            derived.area_mm2 if mac.area is None else mac.area,
            derived.leakage_w * pes if mac.leakage is None else mac.leakage,
        )

    def ignored(self) -> list[str]:
        """What the file says and nothing reads."""
        keys = ignored_keys(self.chip)
        return [f"{self.document.named(location)} is ignored: {reason}" for location, reason in keys]

    def mac_source(self) -> str:
        """Of the numbers of the arithmetic, whichever section states them."""
        sections = (self.chip.mac, self.chip.loop_nest, self.chip.roofline)
        return "; ".join(section.source for section in sections if section is not None)

    def vector(self) -> Vector:
        launch = 0.0 if self.chip.roofline is None else self.chip.roofline.launch * self.chip.clock
        own = self.chip.vector
        return Vector(
            lanes=own.lanes, pj_per_op=own.energy, launch_cycles=launch, cycles=tuple(own.cycles.items()),
            fuses=own.fuses,
        )  # fmt: skip

    def timing(self) -> Timing:
        timing = self.chip.timing
        if timing is None:
            return Timing()
        if timing.commands is not None:
            return timing.commands.commands(next(axis.size for axis in self.chip.array if axis.dims == ("C",)))
        if timing.blocks is not None:
            rows, columns, filters, lanes = (axis.size for axis in self.chip.array)
            buffer = self.memory(self.chip.memories[0])
            return timing.blocks.blocks((rows, columns, filters), lanes, buffer.size_bits or 0.0)
        if timing.dataflow is not None:
            size = {axis.axis: axis.size for axis in self.chip.array}
            return Systolic(rows=size["Y"], columns=size["X"], dataflow=timing.dataflow)
        return self.streamed()

    def streamed(self) -> Streamed:
        """The axes of output pixels, filters and products, and the ports that feed them."""
        size = {dim: axis.size for axis in self.chip.array for dim in axis.dims}
        outer = self.levels()[-1]
        weights, inputs = outer.memory("W"), outer.memory("I")
        w_port, i_port = (None if memory is None else memory.read_bits_per_cycle for memory in (weights, inputs))
        if weights is inputs or w_port is None or i_port is None:
            raise self.fail(
                "timing:", "timing streamed needs an outermost memory of W and one of I, with a bandwidth each"
            )
        return Streamed(
            rows=size["OX"], columns=size["K"], depth=size["C"], w_port=w_port, i_port=i_port,
            serial=self.chip.unit.serial,
        )  # fmt: skip

    def memory_bits_per_s(self) -> float:
        """Of the outermost memory [bit/s]."""
        bits_per_cycle = self.memory(self.chip.memories[-1]).read_bits_per_cycle
        return (bits_per_cycle or math.inf) * self.chip.clock

    def axes(self) -> tuple[Axis, ...]:
        if self.chip.roofline is not None:
            return (Axis(name="core", size=self.chip.roofline.cores, dims=("B", "G", "K", "OY", "OX")),)
        names = [axis.axis for axis in self.chip.array]
        for name in names:
            if names.count(name) > 1:
                raise self.fail("array", f"axis {name!r} is named twice in array")
        if sum(axis.fused for axis in self.chip.array) > 1:
            raise self.fail("fused", "only one axis can be `fused: true`: the rate lengthens it once")
        for axis in self.chip.array:
            unit = self.chip.unit
            cells = unit.w if unit.analog is None else unit.analog.value.cells(unit.w)
            need = cells + (axis.weight_cells or 0)
            if axis.weight_cells is not None and axis.size < need:
                raise self.fail(
                    "weight_cells",
                    f"axis {axis.axis}: `size >= {need}` must hold (the cells of one "
                    f"{self.chip.unit.w}-bit weight), but got {axis.size}",
                )
        return tuple(
            Axis(
                name=a.axis, size=a.size, dims=a.dims, full=a.full, fused=a.fused, weight_cells=a.weight_cells,
                multicast=a.multicast,
            )
            for a in self.chip.array
        )  # fmt: skip

    def levels(self) -> tuple[Level, ...]:
        grouped: dict[str, list[MemorySection]] = {}
        seen: set[str] = set()
        previous = ""
        for memory in self.chip.memories:
            if memory.name in seen:
                raise self.fail(memory.name, f"memory {memory.name!r} is described twice")
            seen.add(memory.name)
            key = memory.level or memory.name
            if key in grouped and key != previous:
                raise self.fail(memory.name, f"memories of level {key!r} must stand together, innermost first")
            grouped.setdefault(key, []).append(memory)
            previous = key
        for name in self.chip.temporal:
            if name not in grouped:
                raise self.fail(name, f"temporal: {name!r} is not a level. Levels: {', '.join(grouped)}.")
        for name, order in self.chip.order.items():
            if name not in grouped:
                raise self.fail("order", f"order: {name!r} is not a level. Levels: {', '.join(grouped)}.")
            if len(set(order)) != len(order):
                raise self.fail("order", f"order of {name!r}: each dim once, but got {list(order)}")
        return tuple(self.level(name, members) for name, members in grouped.items())

    def level(self, name: str, members: list[MemorySection]) -> Level:
        held = [operand for memory in members for operand in memory.holds]
        doubled = sorted({operand for operand in held if held.count(operand) > 1})
        if doubled:
            raise self.fail(members[0].name, f"level {name!r}: two memories hold {', '.join(doubled)}")
        inside = {memory.per != WHOLE_ARRAY for memory in members}
        if len(inside) > 1:
            raise self.fail(
                members[0].name,
                f"level {name!r}: its memories must all lie inside the array (`per: pe` or axes) or all be "
                "`per: array`",
            )
        return Level(
            name=name,
            memories=tuple(self.memory(memory) for memory in members),
            per_pe=inside == {True},
            temporal_dims=self.chip.temporal.get(name, DIM_NAMES),
            order=self.chip.order.get(name, ()),
        )

    def memory(self, memory: MemorySection) -> Memory:
        try:
            read = self.bandwidth(memory.bandwidth or memory.read_bandwidth)
            write = self.bandwidth(memory.bandwidth or memory.write_bandwidth)
            network = self.bandwidth(memory.network)
        except ValueError as error:
            raise self.fail(memory.name, f"memory {memory.name!r}: bandwidth: {error}") from None
        size = None if memory.size == "unbounded" else memory.size
        part = memory.part(self.chip.technology)
        try:
            numbers = filled(
                part, size, read=memory.read_energy, write=memory.write_energy, area=memory.area,
                leakage=memory.leakage,
            )  # fmt: skip
            hop = memory.network_energy
            if hop is None and memory.network_length is not None:
                hop = network_pj_per_bit(memory.network_length, self.chip.technology)
        except ValueError as error:
            raise self.fail(f"name: {memory.name}", f"memory {memory.name!r}: {error}") from None
        return Memory(
            name=memory.name,
            holds=memory.holds,
            size_bits=size,
            read_pj_per_bit=numbers.read_pj_per_bit,
            write_pj_per_bit=numbers.write_pj_per_bit,
            read_bits_per_cycle=read,
            write_bits_per_cycle=write,
            shared_port=memory.bandwidth is not None,
            double_buffered=memory.double_buffered,
            compressed=memory.compressed,
            formats=memory.formats,
            bank_bits=memory.bank,
            network_bits_per_cycle=network,
            network_pj_per_bit=hop or 0.0,
            exclusive=memory.exclusive,
            bypass=memory.bypass,
            resident=tuple(operand for operand in OPERANDS if operand in memory.resident),
            source=memory.source,
            area_mm2_per_bit=numbers.area_mm2_per_bit,
            leakage_w=numbers.leakage_w,
            burst_bits=memory.burst or 0.0,
            latency_cycles=memory.latency,
            brick=memory.brick,
            per=self.per(memory),
            component=part,
        )

    def per(self, memory: MemorySection) -> tuple[str, ...] | None:
        """Axes along which each place has its own, in the order of the array.

        None where `per` names none, and where it names all: that is a memory in every PE.
        """
        if memory.per in (EVERY_PE, WHOLE_ARRAY):
            return None
        names = [axis.axis for axis in self.chip.array]
        own = (memory.per,) if isinstance(memory.per, str) else memory.per
        strange = [axis for axis in own if axis not in names]
        if strange:
            known = f"an axis ({', '.join(names)}), `pe` or `array`" if names else "`pe` or `array`"
            raise self.fail(memory.name, f"memory {memory.name!r}: `per` must be {known}, but got {strange[0]!r}")
        return None if set(own) == set(names) else tuple(name for name in names if name in own)

    def bandwidth(self, text: str | None) -> float | None:
        if text is None:
            return None
        value = parse_bandwidth(text, self.chip.clock)
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"must be above 0, but got {text}")
        return value
