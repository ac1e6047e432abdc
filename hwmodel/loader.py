"""Accelerators from YAML: units in the values, a source beside the numbers, errors with line and fix."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from hwmodel.accelerator import Accelerator, Axis, Level, LoopNest, Memory, Vector
from hwmodel.errors import AcceleratorError, nearest
from hwmodel.layer import DIM_NAMES, Bits, DimName, Operand
from hwmodel.precision import Mode, Precision
from hwmodel.schema import Field, Schema, read_yaml
from hwmodel.units import parse_bandwidth, parse_quantity

FOLDER = Path(__file__).parent / "accelerators"


def _quantity(kind: str, *, positive: bool = False) -> BeforeValidator:
    def parse(text: Any) -> float:
        value = parse_quantity(kind, text)
        if value < 0 or (positive and value == 0):
            raise ValueError(f"must be {'above' if positive else 'at least'} 0, but got {text}")
        return value

    return BeforeValidator(parse)


def _bits(text: Any) -> int:
    value = parse_quantity("width", text)
    if value != int(value) or value < 1:
        raise ValueError(f"must be a whole number of bits >= 1, but got {text}")
    return int(value)


Frequency = Annotated[float, _quantity("frequency", positive=True)]
Size = Annotated[float, _quantity("size")]
Energy = Annotated[float, _quantity("energy")]
EnergyPerBit = Annotated[float, _quantity("energy_per_bit")]
Length = Annotated[float, _quantity("length", positive=True)]
Width = Annotated[int, BeforeValidator(_bits)]


class _EnergyRow(Schema):
    w: Width
    i: Width
    energy: Energy


class _Mac(Schema):
    w: Width
    i: Width
    accumulator: Width | None = None
    precision: Mode = "fixed"
    brick: Width = 2
    serial: tuple[Operand, ...] = ()
    energy: Energy
    energies: tuple[_EnergyRow, ...] = ()
    source: str

    @model_validator(mode="after")
    def _check(self) -> _Mac:
        if self.precision == "bit_serial" and not self.serial:
            raise ValueError("bit_serial needs `serial: [W]`, `[I]` or `[W, I]`")
        return self


class _Axis(Schema):
    axis: str
    size: int = Field(ge=1)
    dims: tuple[DimName, ...] = Field(min_length=1)
    full: tuple[DimName, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> _Axis:
        if not set(self.full) <= set(self.dims):
            raise ValueError(f"full must be among dims {list(self.dims)}, but got {list(self.full)}")
        return self


class _Memory(Schema):
    name: str
    level: str = ""
    per: Literal["pe", "array"] = "array"
    holds: tuple[Operand, ...] = Field(min_length=1)
    bypass: tuple[Operand, ...] = ()
    size: Size | Literal["unbounded"]
    read_energy: EnergyPerBit
    write_energy: EnergyPerBit | None = None
    bandwidth: str | None = None
    read_bandwidth: str | None = None
    write_bandwidth: str | None = None
    double_buffered: bool = False
    compressed: tuple[Operand, ...] = ()
    source: str

    @model_validator(mode="after")
    def _check(self) -> _Memory:
        if self.bandwidth and (self.read_bandwidth or self.write_bandwidth):
            raise ValueError("`bandwidth` is one port for both: leave out read_bandwidth and write_bandwidth")
        if len(set(self.holds)) != len(self.holds):
            raise ValueError(f"holds must name each operand once, but got {list(self.holds)}")
        if not set(self.bypass) <= set(self.holds) or len(set(self.bypass)) != len(self.bypass):
            raise ValueError(
                f"bypass must be among holds {list(self.holds)}, each once, but got {list(self.bypass)}"
            )
        return self


class _Operations(Schema):
    multiplications: int = Field(ge=0)
    additions: int = Field(ge=0)


class _LoopNest(Schema):
    conv: _Operations
    linear: _Operations
    bias_additions: Literal["none", "last", "all"] = "none"
    multiply_energy_per_bit2: Energy
    add_energy_per_bit: Energy
    source: str


class _Vector(Schema):
    lanes: int = Field(ge=1)
    energy: Energy = 0.0
    source: str = ""


class _Chip(Schema):
    name: str
    kind: Literal["spatial", "loop_nest"] = "spatial"
    description: str
    source: str
    clock: Frequency
    technology: Length | None = None
    mac: _Mac
    array: tuple[_Axis, ...] = ()
    memories: tuple[_Memory, ...] = ()
    diagonal: bool = True
    temporal: dict[str, tuple[DimName, ...]] = Field(default_factory=dict)
    order: dict[str, tuple[DimName, ...]] = Field(default_factory=dict)
    gating: tuple[Operand, ...] = ()
    vector: _Vector = _Vector(lanes=1)
    loop_nest: _LoopNest | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> _Chip:
        if self.kind == "loop_nest" and self.loop_nest is None:
            raise ValueError("kind loop_nest needs a `loop_nest` section")
        if self.kind == "spatial" and not self.memories:
            raise ValueError("kind spatial needs at least one memory")
        return self


def list_accelerators() -> list[str]:
    """Names of the accelerators that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def _load(path: Path, _modified: float) -> Accelerator:
    chip = read_yaml(path, _Chip, AcceleratorError)
    return _Builder(chip, path).build()


def load_accelerator(name: str | Path) -> Accelerator:
    """An accelerator by the name of a preset, or from a YAML file.

    Args:
        name: a name in `list_accelerators()`, or a path that ends in .yaml or .yml.

    Raises:
        AcceleratorError: no preset has the name (the nearest is offered), or the file breaks a rule
            (message: `file:line:column`, the rule, the value, the fix).
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name}.yaml"
        if not path.is_file() or path.parent != FOLDER:
            close = nearest(str(name), list_accelerators())
            hint = f"Did you mean {close[0]}? " if close else ""
            raise AcceleratorError(f"No accelerator {str(name)!r}. {hint}hwmodel hw list shows all.")
    elif not path.is_file():
        raise AcceleratorError(f"{path}: no such file. hwmodel hw list shows the accelerators that have a name.")
    return _load(path, path.stat().st_mtime)


class _Builder:
    """Turns a validated file into an `Accelerator`; checks what one field alone cannot tell."""

    def __init__(self, chip: _Chip, path: Path) -> None:
        self.chip = chip
        self.path = path
        self.lines = path.read_text(encoding="utf-8").splitlines()

    def fail(self, key: str, message: str) -> AcceleratorError:
        """An error placed at the first line that mentions `key`."""
        line = next((n for n, text in enumerate(self.lines, 1) if key in text), 1)
        return AcceleratorError(f"{self.path}:{line} {message}")

    def build(self) -> Accelerator:
        chip = self.chip
        mac = chip.mac
        precision = Precision(
            mode=mac.precision, w_bits=mac.w, i_bits=mac.i, acc_bits=mac.accumulator, mac_pj=mac.energy,
            brick_bits=mac.brick, serial=mac.serial, table_pj=tuple((r.w, r.i, r.energy) for r in mac.energies),
        )  # fmt: skip
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
            diagonal=chip.diagonal,
            gating=chip.gating,
            vector=Vector(lanes=chip.vector.lanes, pj_per_op=chip.vector.energy),
            loop_nest=None if nest is None else LoopNest(
                multiplications=(nest.conv.multiplications, nest.linear.multiplications),
                additions=(nest.conv.additions, nest.linear.additions),
                bias_additions=nest.bias_additions,
                pj_per_bit2=nest.multiply_energy_per_bit2,
                pj_per_bit=nest.add_energy_per_bit,
            ),
            notes=chip.notes,
        )  # fmt: skip

    def axes(self) -> tuple[Axis, ...]:
        names = [axis.axis for axis in self.chip.array]
        if doubled := [name for name in names if names.count(name) > 1]:
            raise self.fail("array", f"axis {doubled[0]!r} is named twice in array")
        return tuple(Axis(name=a.axis, size=a.size, dims=a.dims, full=a.full) for a in self.chip.array)

    def levels(self) -> tuple[Level, ...]:
        grouped: dict[str, list[_Memory]] = {}
        seen: set[str] = set()
        previous = ""
        for memory in self.chip.memories:
            self.check_memory(memory, seen)
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
        levels = tuple(self.level(name, members) for name, members in grouped.items())
        self.check_order(levels)
        return levels

    def check_memory(self, memory: _Memory, seen: set[str]) -> None:
        if memory.name in seen:
            raise self.fail(memory.name, f"memory {memory.name!r} is described twice")
        seen.add(memory.name)
        widths = {"W": self.chip.mac.w, "I": self.chip.mac.i, "O": self.chip.mac.i}
        if memory.size == "unbounded":
            return
        copies = 2 if memory.double_buffered else 1
        for operand in memory.holds:
            if memory.size < widths[operand] * copies:
                twice = " twice (double buffered)" if copies == 2 else ""
                raise self.fail(
                    memory.name,
                    f"buffer {memory.name!r} ({memory.size / 8:g} B) cannot hold one "
                    f"{widths[operand]}-bit word{twice}.",
                )

    def level(self, name: str, members: list[_Memory]) -> Level:
        held = [operand for memory in members for operand in memory.holds]
        doubled = sorted({operand for operand in held if held.count(operand) > 1})
        if doubled:
            raise self.fail(members[0].name, f"level {name!r}: two memories hold {', '.join(doubled)}")
        if len({memory.per for memory in members}) > 1:
            raise self.fail(
                members[0].name, f"level {name!r}: its memories must all be `per: pe` or all `per: array`"
            )
        return Level(
            name=name,
            memories=tuple(self.memory(memory) for memory in members),
            per_pe=members[0].per == "pe",
            temporal_dims=self.chip.temporal.get(name, DIM_NAMES),
            order=self.chip.order.get(name, ()),
        )

    def memory(self, memory: _Memory) -> Memory:
        try:
            read = self.bandwidth(memory.bandwidth or memory.read_bandwidth)
            write = self.bandwidth(memory.bandwidth or memory.write_bandwidth)
        except ValueError as error:
            raise self.fail(memory.name, f"memory {memory.name!r}: bandwidth: {error}") from None
        return Memory(
            name=memory.name,
            holds=memory.holds,
            size_bits=None if memory.size == "unbounded" else memory.size,
            read_pj_per_bit=memory.read_energy,
            write_pj_per_bit=memory.read_energy if memory.write_energy is None else memory.write_energy,
            read_bits_per_cycle=read,
            write_bits_per_cycle=write,
            shared_port=memory.bandwidth is not None,
            double_buffered=memory.double_buffered,
            compressed=memory.compressed,
            bypass=memory.bypass,
            source=memory.source,
        )

    def bandwidth(self, text: str | None) -> float | None:
        if text is None:
            return None
        value = parse_bandwidth(text, self.chip.clock)
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"must be above 0, but got {text}")
        return value

    def check_order(self, levels: tuple[Level, ...]) -> None:
        if not levels:
            return
        shared_seen = False
        for level in levels:
            if level.per_pe and shared_seen:
                raise self.fail(
                    level.memories[0].name, f"level {level.name!r} is per PE but lies outside a shared level"
                )
            shared_seen |= not level.per_pe
        outer = levels[-1]
        if outer.bypass:
            raise self.fail(
                outer.memories[0].name, f"the outermost memory cannot be bypassed, but got {list(outer.bypass)}"
            )
        if outer.per_pe:
            raise self.fail(outer.memories[0].name, "the outermost memory must be shared: write `per: array`")
        missing = sorted({"W", "I", "O"} - set(outer.holds))
        if missing:
            raise self.fail(
                outer.memories[0].name, f"the outermost memory must hold W, I and O, but lacks {missing}"
            )
