"""A layer, its accelerator and its mapping as Timeloop's YAML, so that timeloop-model can check our counts.

The format is that of Timeloop v3 (`arch` with `arithmetic` and `storage`, `problem`, `mapping` with datatype,
spatial and temporal targets; factors and permutations innermost first). Its words differ from ours:

- A problem has the dims R S P Q C K N (and G where layers are grouped), R and P one axis, S and Q the other.
- A storage level has one word width. Where the operands in a memory differ in width, the memory becomes one
  level per operand, each with the whole capacity; the sum is checked by `hwmodel.nest.rules.check_mapping`. The
  outermost one cannot be split: its words are as wide as the widest operand.
- Memories of one level of ours stand one above the other; the loops belong to the innermost.
- One factor per dim and level: a dim unrolled along both axes needs a level without storage between the
  array and the PEs, one per column (as DummyBuffer in Timeloop's own eyeriss-256).
- A memory for each place along one axis has so many instances; loops along the other axis stand at its level.
- Padded dims are written at their padded bound.

What it cannot say is listed in the header of the file: other energies for writes than for reads, partial sums of
another width than finished ones, ports shared by reads and writes, gating, compression, rates above one.

What it has no words for is refused: three axes, memories of one level with copies along different axes, places of
an axis that share nothing (`multicast: false`), a dim on both axes where diagonals share inputs.

Source: Parashar et al., Timeloop, ISPASS 2019; github.com/NVlabs/timeloop (problem-shapes/cnn-layer.yaml,
configs/mapper/eyeriss-256.yaml, src/model/buffer.cpp for the keys of a storage level).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml.comments import CommentedSeq

from hwmodel.chip.accelerator import Accelerator, Axis, Memory
from hwmodel.chip.yamlfile import dump_yaml
from hwmodel.errors import MappingError
from hwmodel.nest.access import count_accesses
from hwmodel.nest.mapping import Loop, Mapping, psum_width
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import OPERANDS, DimName, Layer, Operand

#: Our dims in Timeloop's letters.
LETTER: dict[DimName, str] = {
    "FY": "R", "FX": "S", "OY": "P", "OX": "Q", "C": "C", "K": "K", "B": "N", "G": "G",
}  # fmt: skip
DATA_SPACE: dict[Operand, str] = {"W": "Weights", "I": "Inputs", "O": "Outputs"}
#: Coordinates of each data space; a pair multiplies a dim by a coefficient, and their sum is one coordinate.
PROJECTION: dict[Operand, list[list[list[str]]]] = {
    "W": [[["C"]], [["K"]], [["R"]], [["S"]]],
    "I": [[["N"]], [["C"]], [["R", "Wdilation"], ["P", "Wstride"]], [["S", "Hdilation"], ["Q", "Hstride"]]],
    "O": [[["N"]], [["K"]], [["Q"]], [["P"]]],
}
COLUMNS = "Columns"


@dataclass(frozen=True, kw_only=True)
class _Storage:
    """One storage level of Timeloop: its entry under `storage`, what it keeps, and its loops, outer to inner."""

    entry: dict[str, Any]
    keeps: tuple[Operand, ...] = ()
    temporal: tuple[Loop, ...] = ()
    spatial: tuple[Loop, ...] = ()

    @property
    def name(self) -> str:
        return str(self.entry["name"])


def timeloop_spec(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> dict[str, Any]:
    """`arch`, `problem` and `mapping` as plain values.

    Args:
        layer: as it is priced (whole filters removed).
        accelerator: with at most two array axes.
        mapping: of the layer on it; its spatial loops stand at the first level that has no copies along their axis.

    Raises:
        MappingError: the mapping does not fit, or Timeloop has no words for it (says for what).
    """
    return _exporter(layer, accelerator, mapping).spec()


def to_timeloop_yaml(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> str:
    """The file for `timeloop-model FILE`: as `timeloop_spec`, under a header that says what it leaves out.

    Raises:
        MappingError: as `timeloop_spec`.
    """
    exporter = _exporter(layer, accelerator, mapping)
    title = f"{layer.name} on {accelerator.name}, in Timeloop's words: timeloop-model FILE"
    header = "\n".join(" ".join(line.split()) for line in (title, *exporter.limits()))
    return dump_yaml(exporter.spec(), header)


def _exporter(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> _Exporter:
    """Of the layer and the array as the mapping sees them."""
    task = array_view(Task.of(layer, accelerator))
    check_mapping(task, mapping)
    exporter = _Exporter(task, mapping)
    if not mapping.is_even:
        moved = sorted({operand for level in mapping.levels for operand, _ in level.inward})
        raise exporter.fail(
            f"Timeloop has one tile per level, but {', '.join(moved)} lie further inside: map it with `tiles: even`"
        )
    if exporter.loses_diagonals():
        raise exporter.fail(
            "Timeloop has no words for a dim on both axes where PEs on a diagonal share their inputs"
        )
    return exporter


class _Exporter:
    """A task and its mapping on their way into Timeloop's words."""

    def __init__(self, task: Task, mapping: Mapping) -> None:
        self.task, self.mapping = task, mapping
        self.layer, self.accelerator, self.widths = task.layer, task.accelerator, task.widths
        self.grouped = mapping.dims.G > 1
        self.x, self.y = self.two_axes()

    def fail(self, message: str) -> MappingError:
        return MappingError(f"export of {self.layer.name!r} on {self.accelerator.name!r}: {message}")

    def two_axes(self) -> tuple[Axis, Axis]:
        """The axes that Timeloop calls X and Y; one that the array lacks has size 1."""
        axes = sorted(self.accelerator.axes, key=lambda axis: axis.name != "X")
        if len(axes) > 2:
            raise self.fail(f"Timeloop's arrays have two axes at most, but this one has {len(axes)}")
        one = Axis(name="", size=1, dims=())
        x, y = [*axes, one, one][:2]
        alone = [axis.name for axis in axes if not axis.multicast]
        if alone:
            raise self.fail(
                f"Timeloop has no words for places that share nothing (`multicast: false` of {alone[0]})"
            )
        for level in self.accelerator.levels:
            if len({frozenset(self.accelerator.own_axes(memory)) for memory in level.memories}) > 1:
                raise self.fail(
                    f"Timeloop has no words for memories of level {level.name!r} with copies along different axes"
                )
        return x, y

    def spec(self) -> dict[str, Any]:
        storage = list(self.storage())
        return {
            "arch": {"arithmetic": self.arithmetic(), "storage": [item.entry for item in storage]},
            "problem": self.problem(),
            "mapping": [*map(_datatype, storage), *(block for item in storage for block in self.blocks(item))],
        }

    # ---- problem and arithmetic ----------------------------------------------------------------

    def letters(self) -> list[str]:
        return [letter for letter in LETTER.values() if letter != "G" or self.grouped]

    def problem(self) -> dict[str, Any]:
        """A convolution (cnn-layer), with a G where it is grouped; strides and dilations by output axis."""
        group = [[["G"]]] if self.grouped else []
        spaces: list[dict[str, Any]] = [
            {"name": DATA_SPACE[operand], "projection": _flow(group + PROJECTION[operand])} for operand in OPERANDS
        ]
        spaces[-1]["read-write"] = True
        coefficients = {
            "Wstride": self.layer.stride[0], "Hstride": self.layer.stride[1],
            "Wdilation": self.layer.dilation[0], "Hdilation": self.layer.dilation[1],
        }  # fmt: skip
        shape = {
            "name": "Grouped-CNN-Layer" if self.grouped else "CNN-Layer",
            "dimensions": _flow(self.letters()),
            "coefficients": [{"name": name, "default": 1} for name in coefficients],
            "data-spaces": spaces,
        }
        dims = self.mapping.dims
        bounds = {letter: dims[dim] for dim, letter in LETTER.items() if letter in self.letters()}
        return {"shape": shape, **bounds, **coefficients}

    def arithmetic(self) -> dict[str, Any]:
        return {
            "name": "MACs",
            "instances": self.accelerator.num_pes,
            "meshX": self.x.size,
            "word-bits": max(self.widths.w, self.widths.i),
            "energy": float(self.accelerator.precision.energy_pj(self.widths.w, self.widths.i)),
        }

    # ---- storage ---------------------------------------------------------------------------------

    def storage(self) -> Iterator[_Storage]:
        """Timeloop's levels, innermost first. The loops of a level belong to its innermost part."""
        for index, (level, loops) in enumerate(zip(self.accelerator.levels, self.mapping.levels, strict=True)):
            temporal, spatial = _merged(loops.temporal), tuple(loop for loop in loops.spatial if loop.bound > 1)
            if any(index != self.accelerator.split_levels[loop.axis] for loop in spatial):
                raise self.fail(f"level {level.name!r} has spatial loops, but does not stand at the array")
            if self.needs_columns(spatial):
                yield self.columns(spatial)
                spatial = tuple(loop for loop in spatial if loop.axis == self.x.name)
            for memory in level.memories:
                for name, operands, width in self.parts(memory, index):
                    entry = self.entry(memory, name, width)
                    yield _Storage(entry=entry, keeps=operands, temporal=temporal, spatial=spatial)
                    temporal = spatial = ()

    def needs_columns(self, spatial: Sequence[Loop]) -> bool:
        """A dim is unrolled more than once, so that one factor per dim cannot say it."""
        return len({loop.dim for loop in spatial}) < len(spatial)

    def columns(self, spatial: Sequence[Loop]) -> _Storage:
        """A level without storage, one per column of PEs, that takes the loops along Y."""
        name = COLUMNS + "_" * (COLUMNS in self.accelerator.memories())
        entry = {
            "name": name, "instances": self.x.size, "meshX": self.x.size, "entries": 0,
            "word-bits": self.widths.i, "vector-access-energy": 0.0, "addr-gen-energy": 0.0,
        }  # fmt: skip
        return _Storage(entry=entry, spatial=tuple(loop for loop in spatial if loop.axis != self.x.name))

    def parts(self, memory: Memory, index: int) -> list[tuple[str, tuple[Operand, ...], int]]:
        """(name, operands kept, width [bit]) of the storage levels that a memory becomes."""
        kept = tuple(operand for operand in memory.holds if operand in self.mapping.levels[index].keeps)
        psum = psum_width(self.task, self.mapping, index)
        width = {"W": self.widths.w, "I": self.widths.i, "O": psum}
        if index == len(self.accelerator.levels) - 1:  # Timeloop's outermost level keeps everything
            return [(memory.name, kept, max(self.widths.w, self.widths.i, self.widths.o))]
        if len({width[operand] for operand in kept}) > 1:
            return [(f"{memory.name}_{operand}", (operand,), width[operand]) for operand in kept]
        return [(memory.name, kept, width[(kept or memory.holds)[0]])]

    def entry(self, memory: Memory, name: str, width: int) -> dict[str, Any]:
        """A memory as wide as one of its words [bit], with all its copies."""
        entry: dict[str, Any] = {
            "name": name,
            "instances": self.accelerator.num_copies(memory),
            "meshX": self.x.size if self.x.name in self.accelerator.own_axes(memory) else 1,
            "word-bits": width,
            "block-size": 1,
            "cluster-size": 1,
            "vector-access-energy": float(memory.read_pj_per_bit * width),
            "addr-gen-energy": 0.0,
        }
        if memory.size_bits is None:
            entry["technology"] = "DRAM"
        else:
            entry["entries"] = int(memory.size_bits // width)
        if memory.double_buffered:
            entry["multiple-buffering"] = 2.0
        for key, bits in (
            ("read_bandwidth", memory.read_bits_per_cycle), ("write_bandwidth", memory.write_bits_per_cycle)
        ):  # fmt: skip
            if bits is not None:
                entry[key] = float(bits / width)
        return entry

    # ---- mapping ---------------------------------------------------------------------------------

    def blocks(self, item: _Storage) -> Iterator[dict[str, Any]]:
        """The spatial block of a level that has one, then its temporal block; innermost loops first."""
        order = {loop.dim: loop for loop in item.temporal}
        if len(order) < len(item.temporal):
            raise self.fail(f"level {item.name!r} has two loops over one dim; Timeloop takes one factor per dim")
        if item.spatial:
            columns = [loop for loop in reversed(item.spatial) if loop.axis == self.x.name]
            rows = [loop for loop in reversed(item.spatial) if loop.axis != self.x.name]
            yield {**self.block(item.name, "spatial", columns + rows), "split": len(columns)}
        yield self.block(item.name, "temporal", list(reversed(item.temporal)))

    def block(self, target: str, kind: str, loops: Sequence[Loop]) -> dict[str, Any]:
        """One target; `loops` innermost first, at most one per dim."""
        bounds = {LETTER[loop.dim]: loop.bound for loop in loops}
        letters = [*bounds, *(letter for letter in self.letters() if letter not in bounds)]
        factors = " ".join(f"{letter}{bounds.get(letter, 1)}" for letter in self.letters())
        return {"target": target, "type": kind, "factors": factors, "permutation": "".join(letters)}

    # ---- what is left out ------------------------------------------------------------------------

    def loses_diagonals(self) -> bool:
        """A level between rows and columns would split a diagonal that shares its inputs on the chip."""
        if not self.needs_columns(self.mapping.levels[self.accelerator.array_level].spatial):
            return False
        apart = replace(self.accelerator, diagonal=False)
        ours = count_accesses(self.layer, self.accelerator, self.mapping)
        return ours != count_accesses(self.layer, apart, self.mapping)

    def limits(self) -> Iterator[str]:
        """Sentences on what the file cannot say. Access counts, in words, hold whatever they are."""
        memories = list(self.accelerator.memories().values())
        split = [
            memory.name
            for index, level in enumerate(self.accelerator.levels)
            for memory in level.memories
            if len(self.parts(memory, index)) > 1
        ]
        if split:
            yield f"One level per operand, each of the whole capacity, as widths differ: {', '.join(split)}."
        if len({self.widths.w, self.widths.i, self.widths.o}) > 1:
            yield f"{memories[-1].name} has words of the widest operand: its energy is too high for the others."
        written = [memory.name for memory in memories if memory.write_pj_per_bit != memory.read_pj_per_bit]
        if written:
            yield f"Energies are of reads; writes cost otherwise in {', '.join(written)}."
        if self.widths.o != self.widths.acc:
            sums = f"{self.widths.acc} bit partial and {self.widths.o} bit finished"
            yield f"Outputs ({sums}) have one width per level here."
        if any(memory.shared_port for memory in memories):
            yield "Reads and writes that share a port have one each here."
        if self.accelerator.gating or any(memory.compressed for memory in memories):
            yield "Zeros save nothing here."
        rate = self.accelerator.precision.macs_per_cycle(self.widths.w, self.widths.i)
        if rate != 1:
            yield f"A PE does {rate:g} MACs per cycle at these widths, 1 here: divide its compute cycles by that."
        if self.mapping.dims != self.layer.dims:
            yield "Dims are padded to what the loops cover."


def _datatype(item: _Storage) -> dict[str, Any]:
    keep = [DATA_SPACE[operand] for operand in OPERANDS if operand in item.keeps]
    bypass = [DATA_SPACE[operand] for operand in OPERANDS if operand not in item.keeps]
    return {"target": item.name, "type": "datatype", "keep": _flow(keep), "bypass": _flow(bypass)}


def _merged(loops: Sequence[Loop]) -> tuple[Loop, ...]:
    """Loops without unit ones; neighbours over one dim become one loop."""
    merged: list[Loop] = []
    for loop in loops:
        if merged and merged[-1].dim == loop.dim:
            merged[-1] = Loop(loop.dim, merged[-1].bound * loop.bound)
        elif loop.bound > 1:
            merged.append(loop)
    return tuple(merged)


def _flow(items: Sequence[Any]) -> CommentedSeq:
    """A list that YAML shows on one line."""
    sequence = CommentedSeq(items)
    sequence.fa.set_flow_style()
    return sequence
