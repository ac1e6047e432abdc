"""What an accelerator is to the cost model: a MAC, an array of them, and memories around it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from hwmodel.chip.components.arithmetic import Arithmetic
from hwmodel.chip.components.parts import Part
from hwmodel.chip.precision import Precision
from hwmodel.chip.roofline import Roofline
from hwmodel.chip.storage import ANY_FORMAT, Format
from hwmodel.chip.timing.base import Timing
from hwmodel.chip.vector import LoopNest, Vector
from hwmodel.network.layer import Bits, DimName, Operand
from hwmodel.shown import Shown

Kind = Literal["spatial", "loop_nest", "gpu", "cpu"]
Dataflow = Literal["free", "row_stationary"]
Tiles = Literal["even", "uneven"]


class Widths(NamedTuple):
    """The four widths of a layer on a chip [bit]: weights, inputs, finished outputs, partial sums."""

    w: int
    i: int
    o: int
    acc: int


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One direction of the PE array.

    Attributes:
        name: `X`, `Y`.
        size: PEs along it.
        dims: loop dims that may be unrolled along it (the dataflow constraint).
        fused: narrow widths lengthen it by the rate of the fusion units (see `hwmodel.nest.view`).
        weight_cells: a weight takes its bits and so many more places of `size`; None: it takes one.
        full: those of them that must be unrolled along it entirely.
        multicast: what lies along it gets equal words with one read, and adds its sums up on the way out; else
            each place is served by itself.
    """

    name: str
    size: int
    dims: tuple[DimName, ...]
    fused: bool = False
    weight_cells: int | None = None
    full: tuple[DimName, ...] = ()
    multicast: bool = True


@dataclass(frozen=True, kw_only=True)
class Memory:
    """One memory. Energies [pJ/bit], bandwidths [bit/cycle] and sizes [bit] are per instance.

    Attributes:
        name: unique in its accelerator.
        holds: operands that pass through it; the others bypass it.
        size_bits: capacity, None when unbounded (DRAM).
        read_pj_per_bit, write_pj_per_bit: energy of an access.
        read_bits_per_cycle, write_bits_per_cycle: of each port, None when never limiting.
        shared_port: reads and writes share one port of `read_bits_per_cycle`.
        double_buffered: half of it is filled while the other half is read.
        compressed: operands whose zeros are not stored here.
        formats: how they may be stored instead; the smallest is taken.
        bank_bits: an operand takes whole banks of this size, the ifmaps of an image one of them [bit] (row
            stationary only).
        network_bits_per_cycle: width of the network that fills this memory in every PE, None when never
            limiting (row stationary only).
        network_pj_per_bit: energy of a bit that the network brings into or out of one PE.
        exclusive: operands that the array cannot compute beside while they move (outermost memory only).
        bypass: operands that may skip it where a mapping gains from that.
        resident: operands of a network that may lie here whole: I and O between layers, W between inferences.
        source: where the numbers come from.
        area_mm2_per_bit: [mm^2/bit], None when unknown.
        leakage_w: power that it draws whatever it does [W]; 0 where the file states none.
        burst_bits: what a port moves at least, 0 where it moves single words [bit] (timing blocks only).
        latency_cycles: until the first word arrives [cycles] (timing blocks only).
        brick: channels that lie together, filled up with zeros (timing blocks only).
        per: axes of the array along which each place has its own copy; None: as `per_pe` of its level says.
        component: what it is, where its file says so; its numbers stand in the other fields.
    """

    name: str
    holds: tuple[Operand, ...]
    size_bits: float | None
    read_pj_per_bit: float
    write_pj_per_bit: float
    read_bits_per_cycle: float | None = None
    write_bits_per_cycle: float | None = None
    shared_port: bool = False
    double_buffered: bool = False
    compressed: tuple[Operand, ...] = ()
    formats: tuple[Format, ...] = ANY_FORMAT
    bank_bits: float | None = None
    network_bits_per_cycle: float | None = None
    network_pj_per_bit: float = 0.0
    exclusive: tuple[Operand, ...] = ()
    bypass: tuple[Operand, ...] = ()
    resident: tuple[Operand, ...] = ()
    source: str = ""
    area_mm2_per_bit: float | None = None
    leakage_w: float = 0.0
    burst_bits: float = 0.0
    latency_cycles: int = 0
    brick: int = 1
    per: tuple[str, ...] | None = None
    component: Part | None = None

    @property
    def copies(self) -> int:
        """Tiles of each operand that it holds at once: a double buffer fills the second beside the first."""
        return 2 if self.double_buffered else 1

    @property
    def tile_room_bits(self) -> float:
        """What the tiles of all its operands may take together [bit], infinite when unbounded."""
        return math.inf if self.size_bits is None else self.size_bits / self.copies

    def busy(self, reads: float, writes: float) -> float:
        """Cycles of its ports that read and write for so many each: one after the other on a shared port."""
        return reads + writes if self.shared_port else max(reads, writes)


@dataclass(frozen=True, kw_only=True)
class Level:
    """Memories that change their tiles together, side by side, each for its own operands.

    Attributes:
        name: of the level; of its memory when there is one.
        memories: with disjoint `holds`.
        per_pe: copies inside the array, in every PE where its memories do not say `per`; else one for all.
        temporal_dims: dims that may be looped over in time at this level.
        order: loop order, outer to inner; dims that it leaves out run outside of it. Empty: any.
    """

    name: str
    memories: tuple[Memory, ...]
    per_pe: bool
    temporal_dims: tuple[DimName, ...]
    order: tuple[DimName, ...] = ()

    def memory(self, operand: Operand) -> Memory | None:
        """The memory that holds an operand here, None when it bypasses the level."""
        return next((m for m in self.memories if operand in m.holds), None)

    @property
    def holds(self) -> tuple[Operand, ...]:
        return tuple(operand for memory in self.memories for operand in memory.holds)

    @property
    def bypass(self) -> tuple[Operand, ...]:
        """Operands that may skip this level."""
        return tuple(operand for memory in self.memories for operand in memory.bypass)


#: What an accelerator says about itself, which enters no cost.
_SAID = ("description", "source", "notes", "mac_source", "vector_source", "mac_component")
#: Fields that came later enter a fingerprint where a chip uses them, so that those of older runs are still known.
_LATER: dict[str, object] = {
    "per": None, "multicast": True, "table_rates": (), "analog": None, "burst_bits": 0.0, "latency_cycles": 0,
    "brick": 1, "cycles": (), "fuses": None,
    "tiles": "even",
}  # fmt: skip
#: Kinds of values that a fingerprint takes as they are.
_PLAIN = frozenset((int, float, str, bool, type(None)))
#: Names of the fields of kinds of values; None where a kind is no dataclass.
_names: dict[type, tuple[str, ...] | None] = {}


def _used(value: Any, unsaid: tuple[str, ...] = ("component",)) -> Any:
    """What enters a fingerprint of a value, as JSON has it: not what a memory is, for its numbers do."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind not in _names:
        _names[kind] = tuple(item.name for item in fields(kind)) if is_dataclass(kind) else None
    names = _names[kind]
    if names is not None:
        pairs = ((name, getattr(value, name)) for name in names if name not in unsaid)
        said = ((name, own) for name, own in pairs if name not in _LATER or own != _LATER[name])
        return {name: _used(own) for name, own in said}
    if isinstance(value, Mapping):
        return {key: _used(own) for key, own in value.items()}
    return [_used(own) for own in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, kw_only=True)
class Accelerator(Shown):
    """A target chip.

    Attributes:
        name, kind, description, source: what it is, and where the description comes from.
        clock_hz: [Hz].
        technology_nm: [nm], None when unknown.
        precision: how the MAC handles widths, and its energy.
        native_bits: widths of a layer that has none of its own.
        axes: of the PE array; empty for one PE.
        levels: innermost first; the last is unbounded or holds every operand.
        unfolded_channels: the host unfolds convolutions over at most so many channels (images); 0: none.
        diagonal: PEs of different rows and columns that need the same inputs get them with one read.
        gating: operands whose zeros gate the MAC and the register accesses beside it (energy, not cycles).
        skipping: operands whose zeros are not fetched and take no cycles.
        nm: (N, M) patterns of W that the MACs skip without loss of balance.
        dataflow: `free`, or the chip's own mapping rules.
        tiles: of a level: all operands lie around the same loops (`even`), or each around its own (`uneven`).
        clock_pj: energy of a cycle of the whole chip that depends on nothing else (clock network) [pJ].
        vector: the unit for operations without MACs.
        loop_nest: set for kind `loop_nest`.
        timing: closed form of the compute cycles (systolic arrays), or of all cycles (engines fed by streams,
            arrays that work block by block, machines driven by commands).
        roofline: set for the kinds `gpu` and `cpu`.
        notes: sentences that every cost from this chip carries.
        mac_area_mm2: of one PE's arithmetic [mm^2], None when unknown.
        array_leakage_w: power that the arithmetic of the whole array draws whatever it does [W].
        mac_source, vector_source: where the numbers of the MAC and of the vector unit come from.
        mac_component: what the arithmetic is, where its file says so.
    """

    name: str
    kind: Kind
    description: str
    source: str
    clock_hz: float
    precision: Precision
    native_bits: Bits
    technology_nm: float | None = None
    axes: tuple[Axis, ...] = ()
    levels: tuple[Level, ...] = ()
    unfolded_channels: int = 0
    diagonal: bool = True
    gating: tuple[Operand, ...] = ()
    skipping: tuple[Operand, ...] = ()
    nm: tuple[tuple[int, int], ...] = ()
    dataflow: Dataflow = "free"
    tiles: Tiles = "even"
    clock_pj: float = 0.0
    vector: Vector = field(default_factory=Vector)
    loop_nest: LoopNest | None = None
    timing: Timing = field(default_factory=Timing)
    roofline: Roofline | None = None
    notes: tuple[str, ...] = ()
    mac_area_mm2: float | None = None
    array_leakage_w: float = 0.0
    mac_source: str = ""
    vector_source: str = ""
    mac_component: Arithmetic | None = None

    @cached_property
    def num_pes(self) -> int:
        return math.prod(axis.size for axis in self.axes)

    @cached_property
    def array_level(self) -> int:
        """Index of the first level that is not in every PE: spatial loops belong to it and those outside of it."""
        return next((n for n in range(len(self.levels)) if not self._in_every_pe(n)), len(self.levels))

    @cached_property
    def shared_level(self) -> int:
        """Index of the first level of which there is one for the whole array."""
        return sum(level.per_pe for level in self.levels)

    @property
    def maps_freely(self) -> bool:
        """The mapper chooses its mappings; else the chip's own rules do."""
        return self.dataflow == "free" and not self.timing.by_blocks

    @cached_property
    def outermost(self) -> Memory:
        """The memory in which tensors lie that are nowhere else: of the outermost ones that of O."""
        memory = self.levels[-1].memory("O")
        assert memory is not None, "the outermost memories hold W, I and O"
        return memory

    def _in_every_pe(self, level: int) -> bool:
        return self.levels[level].per_pe and len(self.places(level)) == len(self.axes)

    def own_axes(self, memory: Memory) -> tuple[str, ...]:
        """Axes along which each place has its own copy of a memory, in the order of the array."""
        if memory.per is not None:
            return memory.per
        inside = any(level.per_pe and memory in level.memories for level in self.levels)
        return tuple(axis.name for axis in self.axes) if inside else ()

    def places(self, level: int) -> frozenset[str]:
        """Axes along which a level has copies: those of any of its memories."""
        return frozenset(axis for memory in self.levels[level].memories for axis in self.own_axes(memory))

    def num_copies(self, memory: Memory) -> int:
        """How many of a memory there are."""
        own = self.own_axes(memory)
        return math.prod(axis.size for axis in self.axes if axis.name in own)

    @cached_property
    def split_levels(self) -> Mapping[str, int]:
        """Axis -> index of the level whose spatial loops run on it: the first that has no copies along it."""
        last = len(self.levels) - 1
        return {
            axis.name: next((n for n in range(last) if axis.name not in self.places(n)), last) for axis in self.axes
        }

    @cached_property
    def has_clusters(self) -> bool:
        """Some memory is neither in every PE nor there once, so that spatial loops have levels of their own."""
        return any(memory.per is not None for level in self.levels for memory in level.memories)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of everything that enters a cost."""
        data = _used(self, _SAID)
        data["timing"] = data["timing"] or None
        text = json.dumps(data, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def resolve_bits(self, bits: Bits | None, reduction: int) -> Widths:
        """All four widths of a layer here [bit]: native where it has none, psums derived where not fixed."""
        own = bits or self.native_bits
        acc = own.acc or self.precision.acc_bits or own.w + own.i + math.ceil(math.log2(reduction))
        return Widths(w=own.w, i=own.i, o=own.out, acc=acc)

    def holders(self, operand: Operand) -> tuple[int, ...]:
        """Indices of the levels that hold an operand, innermost first."""
        return tuple(n for n, level in enumerate(self.levels) if operand in level.holds)

    @cached_property
    def leakage_w(self) -> Mapping[str, float]:
        """Power drawn whatever the chip does [W]: by memory (all its copies) and by `array`, where stated."""
        drawn = {
            memory.name: memory.leakage_w * self.num_copies(memory)
            for level in self.levels
            for memory in level.memories
            if memory.leakage_w
        }
        return {**drawn, "array": self.array_leakage_w} if self.array_leakage_w else drawn

    @cached_property
    def leakage_pj(self) -> Mapping[str, float]:
        """The same as energy of a cycle [pJ]."""
        return {place: watts / self.clock_hz * 1e12 for place, watts in self.leakage_w.items()}

    @cached_property
    def keeper(self) -> Memory | None:
        """The shared memory in which whole tensors of a network may lie, None where the chip has none."""
        return next((m for level in self.levels for m in level.memories if m.resident), None)

    def resident(self, operand: Operand) -> Memory | None:
        """The shared memory in which an operand may lie whole, None where the chip has none."""
        return self.keeper if self.keeper is not None and operand in self.keeper.resident else None

    def memories(self) -> Mapping[str, Memory]:
        """Every memory by name, innermost first."""
        return {memory.name: memory for level in self.levels for memory in level.memories}
