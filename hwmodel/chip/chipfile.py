"""What the YAML of an accelerator may say: keys, units and the rules that one section alone can tell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from hwmodel.chip.accelerator import Dataflow, Tiles
from hwmodel.chip.arithmetic.section import AnalogSection, RateRow, check_pairs
from hwmodel.chip.checks.names import check_names
from hwmodel.chip.checks.unread import check_unread
from hwmodel.chip.components.keys import ArithmeticKeys, Length, PartKeys
from hwmodel.chip.fields import AccumulatorWidth, Count, Line, Name, OperandWidth, Said, Small, distinct, quantity
from hwmodel.chip.gpu_sections import LoopNestSection, RooflineSection, VectorSection
from hwmodel.chip.precision import Mode
from hwmodel.chip.storage import ANY_FORMAT, Format
from hwmodel.chip.timing.section import TimingSection, check_timing
from hwmodel.chip.yamlfile import Field, Schema, misplaced
from hwmodel.network.layer import DimName, Operand, parse_pattern

Frequency = Annotated[float, quantity("frequency", positive=True)]
Size = Annotated[float, quantity("size")]
Energy = Annotated[float, quantity("energy")]
EnergyPerBit = Annotated[float, quantity("energy_per_bit")]
Area = Annotated[float, quantity("area", positive=True)]
AreaPerSize = Annotated[float, quantity("area_per_size", positive=True)]
Power = Annotated[float, quantity("power")]
#: Numbers that a component gives where they are left out; stated, they are quantities, and never null.
OwnEnergy = Annotated[float | None, quantity("energy")]
OwnEnergyPerBit = Annotated[float | None, quantity("energy_per_bit")]
OwnPower = Annotated[float | None, quantity("power")]


def _pattern(text: Any) -> tuple[int, int]:
    found = parse_pattern(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"must be a pattern N:M in quotes, but got {text!r}. Write for example '2:4'.")
    return found


Pattern = Annotated[tuple[int, int], BeforeValidator(_pattern)]
Operands = Annotated[tuple[Operand, ...], AfterValidator(distinct)]
LoopDims = Annotated[tuple[DimName, ...], AfterValidator(distinct)]


class _EnergyRow(Schema):
    """A measured energy.

    Attributes:
        w, i: widths of the operands.
        energy: of one MAC at them.
    """

    w: OperandWidth
    i: OperandWidth
    energy: Energy


class MacSection(ArithmeticKeys):
    """The multiplier of a PE, and the adder behind it.

    Attributes:
        w, i: native widths of weights and inputs.
        accumulator: width of a partial sum; left out, it follows from the layer.
        precision: few bits bring nothing (`fixed`), more products at once (`fusion`), fewer cycles (`bit_serial`),
            the rates of a table (`table`), or fewer cells and steps of a compute-in-memory macro (`analog`).
        brick: of `fusion`: the smallest multiplier.
        serial: of `bit_serial`: operands that stream bit by bit.
        energy: of one MAC at the native widths, of `analog` that of its cells alone; needed where no `component`
            gives it.
        energies: measured ones at other widths.
        rates: of `table`: MACs per cycle by widths, those at the native widths among them.
        analog: of that precision: cells and converters.
        area: of one PE's arithmetic.
        leakage: power of the arithmetic of the whole array, whatever it does.
        source: where the numbers come from.
    """

    w: OperandWidth
    i: OperandWidth
    accumulator: AccumulatorWidth | None = None
    precision: Mode = "fixed"
    brick: OperandWidth = 2
    serial: Annotated[tuple[Literal["W", "I"], ...], AfterValidator(distinct)] = ()
    energy: OwnEnergy = None
    energies: tuple[_EnergyRow, ...] = ()
    rates: tuple[RateRow, ...] = ()
    analog: AnalogSection | None = None
    area: Area | None = None
    leakage: OwnPower = None
    source: str

    @model_validator(mode="after")
    def _check(self) -> MacSection:
        if self.energy is None and self.component is None:
            raise ValueError("'energy' is missing: state it, or what the arithmetic is (`component: mac`)")
        if self.component is not None and self.accumulator is None:
            raise ValueError(
                f"component {self.component} needs the width of its adder, such as `accumulator: 32 bit`"
            )
        if self.component is not None and self.precision == "bit_serial" and self.energy is None:
            raise ValueError(
                "component mac knows no serial unit (none is published with its synthesis): state `energy`"
            )
        if self.precision == "bit_serial" and not self.serial:
            raise ValueError("bit_serial needs `serial: [W]`, `[I]` or `[W, I]`")
        if self.precision != "bit_serial" and self.serial:
            raise ValueError(f"`serial` needs `precision: bit_serial`, but got {self.precision}")
        if self.precision != "fusion" and "brick" in self.model_fields_set:
            raise ValueError(f"`brick` needs `precision: fusion`, but got {self.precision}")
        if self.precision == "fusion" and self.brick > min(self.w, self.i):
            raise ValueError(f"`brick <= {min(self.w, self.i)} bit` must hold, but got {self.brick} bit")
        if self.accumulator is not None and self.accumulator < max(self.w, self.i):
            raise ValueError(
                f"`accumulator >= {max(self.w, self.i)} bit` must hold (the wider operand), but got "
                f"{self.accumulator} bit"
            )
        check_pairs("energies", self.energies, self.w, self.i)
        check_pairs("rates", self.rates, self.w, self.i)
        if (self.precision == "analog") != (self.analog is not None):
            raise ValueError(f"precision analog has a section `analog`, the others none, but got {self.precision}")
        if self.precision != "table" and self.rates:
            raise ValueError(f"`rates` needs `precision: table`, but got {self.precision}")
        if self.precision == "table" and (self.w, self.i) not in [(row.w, row.i) for row in self.rates]:
            raise ValueError(
                f"table needs `rates`, one of them at the native {self.w} x {self.i} bit. Write for example "
                f"`- {{w: {self.w} bit, i: {self.i} bit, rate: 1}}`."
            )
        return self


class AxisSection(Schema):
    """An axis of PEs.

    Attributes:
        axis: its name.
        size: PEs along it.
        dims: loops that may be unrolled along it.
        fused: narrow widths of `fusion` lengthen it.
        weight_cells: a weight of b bits takes b + so many places of it.
        full: loops that must be unrolled along it whole.
        multicast: places along it share reads of equal words, and add up what goes out; else each is served alone.
    """

    axis: Name
    size: Count
    dims: LoopDims = Field(min_length=1)
    fused: bool = False
    weight_cells: Small | None = None
    full: LoopDims = ()
    multicast: bool = True

    @model_validator(mode="after")
    def _check(self) -> AxisSection:
        if not set(self.full) <= set(self.dims):
            raise ValueError(f"full must be among dims {list(self.dims)}, but got {list(self.full)}")
        return self


#: Values of `per` that name no axis.


class MemorySection(PartKeys):
    """A memory, innermost first in the list.

    Attributes:
        name: unique in the file.
        level: memories of one level change their tiles together; left out, a level of its own.
        per: one in every PE (`pe`), one for all (`array`), or one for each place along an axis or several.
        holds: operands that pass through it; the others bypass it.
        bypass: those of them that may skip it where a mapping gains from that.
        resident: operands of a network that may lie here whole: I and O between layers, W between inferences.
        size: of one instance.
        read_energy: of a bit that is read; needed where no `component` gives it.
        write_energy: of a bit that is written; left out, that of the component, else that of reading.
        bandwidth: of one port for both directions; left out, never limiting.
        read_bandwidth, write_bandwidth: of a port for each direction.
        double_buffered: half of it is filled while the other half is read.
        compressed: operands whose zeros are not stored here.
        formats: how they may be stored instead; the smallest is taken.
        area: per size.
        leakage: power of one instance, whatever it does.
        bank: an operand takes whole banks of this size (row stationary only).
        network: width of the network that fills this memory in every PE (row stationary only).
        network_energy: of a bit that the network brings into or out of one PE (row stationary only).
        exclusive: operands that the array cannot compute beside while they move (row stationary only).
        burst: what a port moves at least (timing blocks only).
        latency: cycles until the first word arrives (timing blocks only).
        brick: channels that are stored together, filled up with zeros (timing blocks only).
        source: where the numbers come from.
    """

    name: Name
    level: Line = ""
    per: Said | Annotated[tuple[Said, ...], AfterValidator(distinct), Field(min_length=1)] = "array"
    holds: Operands = Field(min_length=1)
    bypass: Operands = ()
    resident: Operands = ()
    size: Size | Literal["unbounded"]
    read_energy: OwnEnergyPerBit = None
    write_energy: EnergyPerBit | None = None
    bandwidth: str | None = None
    read_bandwidth: str | None = None
    write_bandwidth: str | None = None
    double_buffered: bool = False
    compressed: Operands = ()
    area: AreaPerSize | None = None
    formats: tuple[Format, ...] = ANY_FORMAT
    bank: Size | None = None
    network: str | None = None
    network_energy: OwnEnergyPerBit = None
    exclusive: Operands = ()
    leakage: OwnPower = None
    burst: Size | None = None
    latency: Small = 0
    brick: Count = 1
    source: Said

    @model_validator(mode="after")
    def _check(self) -> MemorySection:
        if self.read_energy is None and self.component is None:
            raise ValueError("'read_energy' is missing: state it, or what the memory is (`component: sram`)")
        if self.bank == 0:
            raise ValueError("`bank > 0` must hold")
        if self.bandwidth and (self.read_bandwidth or self.write_bandwidth):
            raise ValueError("`bandwidth` is one port for both: leave out read_bandwidth and write_bandwidth")
        for key in ("bypass", "compressed", "exclusive"):
            named = getattr(self, key)
            if not set(named) <= set(self.holds):
                raise ValueError(f"{key} must be among holds {list(self.holds)}, but got {list(named)}")
        if not set(self.resident) - {"O"} <= set(self.holds):
            raise ValueError(
                f"resident: I and W must be among holds {list(self.holds)}, but got {list(self.resident)}"
            )
        if ("I" in self.resident) != ("O" in self.resident):
            raise ValueError(
                "resident: what a layer leaves as O the next one reads as I: name both or neither, but got "
                f"{list(self.resident)}"
            )
        return self


class ChipFile(Schema):
    """One file. `sweep` is taken out before (`hwmodel.chip.sweep`): one chip has no ranges.

    Attributes:
        name: of the chip.
        kind: a `spatial` array, a `gpu` or `cpu` with a `roofline`, or a sequential `loop_nest`.
        description: one line for the list.
        source: where it comes from.
        clock: frequency.
        technology: node, such as 28 nm.
        mac: the multiplier; not of a GPU or CPU.
        array: axes of PEs; left out, there is one PE.
        host_unfolds: convolutions over at most so many channels come unfolded.
        memories: innermost first; the outermost ones, of one level, hold all three operands.
        diagonal: PEs on a diagonal share inputs; else axes are networks of their own, first outermost.
        temporal: loops that may run inside a level; left out, all.
        order: fixed loop order of a level, outer to inner.
        gating: operands whose zeros save the energy of a MAC.
        skipping: operands whose zeros save its cycle too.
        nm: patterns of weights that run at N / M of the cycles.
        dataflow: `free`, or `row_stationary`, the rules of Eyeriss.
        tiles: `even`, one tile per level, or `uneven`, one per operand and memory.
        clock_power: of the clock network while the array runs (row stationary only).
        vector: operations without MACs.
        loop_nest: of the kind of that name.
        timing: cycles in closed form, of systolic arrays, streamed engines, arrays that work block by block and
            machines driven by commands.
        roofline: of a GPU or CPU.
        notes: sentences that every cost of this chip carries.
        sweep: ranges: one file, many chips (accelerators.md).
    """

    name: Name
    kind: Literal["spatial", "loop_nest", "gpu", "cpu"] = "spatial"
    description: str
    source: Said
    clock: Frequency
    technology: Length | None = None
    mac: MacSection | None = None
    array: tuple[AxisSection, ...] = ()
    host_unfolds: Small = 0
    memories: tuple[MemorySection, ...] = ()
    diagonal: bool = True
    temporal: dict[str, LoopDims] = Field(default_factory=dict)
    order: dict[str, LoopDims] = Field(default_factory=dict)
    gating: Operands = ()
    skipping: Operands = ()
    nm: tuple[Pattern, ...] = ()
    dataflow: Dataflow = "free"
    tiles: Tiles = "even"
    clock_power: Power = 0.0
    vector: VectorSection = VectorSection(lanes=1)
    loop_nest: LoopNestSection | None = None
    timing: TimingSection | None = None
    roofline: RooflineSection | None = None
    notes: tuple[str, ...] = ()
    sweep: None = None

    @model_validator(mode="after")
    def _check(self) -> ChipFile:
        if (self.kind == "loop_nest") != (self.loop_nest is not None):
            text = f"kind loop_nest has a `loop_nest` section, the others none, but kind is {self.kind}"
            raise misplaced(text, "kind")
        if self.kind != "spatial" and self.array:
            raise misplaced(f"kind {self.kind} has no `array`", "array")
        if self.kind == "spatial" and not self.memories:
            raise ValueError("kind spatial needs at least one memory")
        fused = next((n for n, axis in enumerate(self.array) if axis.fused), None)
        if self.unit.precision != "fusion" and fused is not None:
            text = f"`fused: true` needs `precision: fusion`, but got {self.unit.precision}"
            raise misplaced(text, "array", fused, "fused")
        if (self.kind in ("gpu", "cpu")) != (self.roofline is not None):
            text = f"kinds gpu and cpu have a `roofline` section, the others none, but kind is {self.kind}"
            raise misplaced(text, "kind")
        if self.roofline is not None and (len(self.memories) != 1 or not self.memories[0].bandwidth):
            raise misplaced(f"kind {self.kind} needs exactly one memory, with a `bandwidth`", "memories")
        if self.roofline is None and self.mac is None:
            raise ValueError("'mac' is missing")
        if self.roofline is not None and self.mac is not None:
            raise misplaced(f"kind {self.kind} has no `mac`: its formats state the widths and the rates", "mac")
        leaking = any(memory.leakage or memory.component not in (None, "dram") for memory in self.memories)
        if self.roofline is not None and leaking:
            raise ValueError(f"kind {self.kind} has no `leakage`: its `idle_power` is that of the whole board")
        check_names(self)
        check_timing(self)
        check_unread(self)
        if "O" in self.gating + self.skipping:
            key = "gating" if "O" in self.gating else "skipping"
            raise misplaced("gating and skipping look at the operands of a MAC: write W, I or both", key)
        return self

    @property
    def unit(self) -> MacSection:
        """The multiplier; that of a roofline's native format where the file has none."""
        if self.mac is not None:
            return self.mac
        width = 32 if self.roofline is None else self.roofline.native_bits
        return MacSection(w=f"{width} bit", i=f"{width} bit", accumulator="32 bit", energy="0 pJ", source="")  # type: ignore[arg-type]
