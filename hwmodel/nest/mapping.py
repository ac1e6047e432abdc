"""A mapping: which loops run across the PEs, and which in time at every memory level."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.errors import MappingError
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, REDUCTION, RELEVANT, DimName, Dims, Layer, Operand
from hwmodel.shown import Shown


@dataclass(frozen=True)
class Loop:
    """One loop; `axis` names the array axis of a spatial one.

    Raises:
        MappingError: the dim is none of the eight, or the bound is not an integer >= 1.
    """

    dim: DimName
    bound: int
    axis: str = ""

    def __post_init__(self) -> None:
        if self.dim not in DIM_NAMES:
            raise MappingError(f"loop: the dim must be among {' '.join(DIM_NAMES)}, but got {self.dim!r}")
        if isinstance(self.bound, bool) or not isinstance(self.bound, int) or self.bound < 1:
            raise MappingError(f"loop over {self.dim}: `bound >= 1` must hold (an integer), but got {self.bound!r}")


@dataclass(frozen=True, kw_only=True)
class LevelMapping:
    """The loops of one level.

    Attributes:
        name: of the level.
        temporal: outer to inner.
        spatial: loops across the instances just below this level, inside its temporal loops.
        keeps: operands that stay here; the others bypass the level.
        inward: of them, those that have a tile of their own, with the number of temporal loops, of this level and
            those inside of it, that run around it.
    """

    name: str
    temporal: tuple[Loop, ...] = ()
    spatial: tuple[Loop, ...] = ()
    keeps: tuple[Operand, ...] = ()
    inward: tuple[tuple[Operand, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mapping(Shown):
    """Loops per level, innermost level first, as the levels of the accelerator."""

    levels: tuple[LevelMapping, ...]

    def bounds(self, level: int) -> dict[DimName, int]:
        """Loop bounds of the tile that one instance of a level holds; level -1 is one MAC."""
        bounds = dict.fromkeys(DIM_NAMES, 1)
        for inner in self.levels[: level + 1]:
            for loop in inner.temporal + inner.spatial:
                bounds[loop.dim] *= loop.bound
        return bounds

    @property
    def dims(self) -> Dims:
        """The bounds that the loops multiply to: the layer's, or a little more where it is padded."""
        return Dims(**self.bounds(len(self.levels) - 1))

    @property
    def iterations(self) -> int:
        """Temporal iterations: compute cycles at one MAC per PE and cycle."""
        return math.prod(loop.bound for level in self.levels for loop in level.temporal)

    @property
    def num_active(self) -> int:
        """PEs that work."""
        return math.prod(loop.bound for level in self.levels for loop in level.spatial)

    def spatial_of(self, dim: DimName) -> int:
        """PEs across which a dim is unrolled."""
        return math.prod(loop.bound for level in self.levels for loop in level.spatial if loop.dim == dim)

    def unrolled(self, dim: DimName, axis: str) -> int:
        """PEs along one axis across which a dim is unrolled."""
        loops = (loop for level in self.levels for loop in level.spatial)
        return math.prod(loop.bound for loop in loops if loop.dim == dim and loop.axis == axis)

    def tiles(self, dim: DimName) -> set[int]:
        """Bounds of a dim under every level, with and without the level's own temporal loops."""
        sizes, bound = set(), 1
        for level in self.levels:
            bound *= math.prod(loop.bound for loop in level.spatial if loop.dim == dim)
            sizes.add(bound)
            bound *= math.prod(loop.bound for loop in level.temporal if loop.dim == dim)
            sizes.add(bound)
        return sizes

    def holders(self, operand: Operand) -> tuple[int, ...]:
        """Indices of the levels that keep an operand, innermost first."""
        return tuple(n for n, level in enumerate(self.levels) if operand in level.keeps)

    @property
    def is_even(self) -> bool:
        """Every level has one tile: all operands that it keeps lie outside of all of its loops."""
        return not any(level.inward for level in self.levels)

    def begins(self, level: int, operand: Operand | None = None) -> int:
        """Temporal loops around the tile of an operand in a level that keeps it; None: around all loops of it."""
        inward = dict(self.levels[level].inward).get(operand, 0) if operand else 0
        return sum(len(outer.temporal) for outer in self.levels[level + 1 :]) + inward

    def cut_for(self, operand: Operand) -> Mapping:
        """The mapping with every temporal loop at the level where one operand has it, if tiles are uneven.

        Where a level keeps none of it, loops around what the next level inward keeps run around this one, too; all
        loops do where no level inward keeps any: they run around the places of an axis.
        """
        if self.is_even:
            return self
        loops = [loop for level in reversed(self.levels) for loop in level.temporal]
        levels, end = [], len(loops)
        for index, level in enumerate(self.levels):
            begin = self.begins(index, operand) if operand in level.keeps else end
            levels.append(replace(level, temporal=tuple(loops[begin:end]), inward=()))
            end = begin
        return Mapping(levels=tuple(levels))

    def loop_nest(self) -> str:
        """The loops as the field draws them, outermost first; tiles that lie further inside have lines there.

        Such a line says when the tile changes, not where its memory stands: spatial loops above it may lie inside.
        """
        lines: list[str] = []
        depth, done = 0, 0
        inside: dict[int, list[str]] = {}
        for index, level in enumerate(self.levels):
            for operand, _ in level.inward:
                inside.setdefault(self.begins(index, operand), []).insert(0, f"{level.name} [ {operand} ]")
        for level in reversed(self.levels):
            here = [operand for operand in level.keeps if operand not in dict(level.inward)]
            if here or not level.keeps or level.temporal or level.spatial:
                keeps = " ".join(here or (*level.keeps, "inside") if level.keeps else "-")
                lines.append(f"{level.name} [ {keeps} ]")
            for loop in level.temporal:
                done += 1
                if loop.bound > 1:
                    lines.append(f"|{'  ' * depth} for {loop.dim} in [0:{loop.bound})")
                    depth += 1
                lines += [f"|{'  ' * depth} {text}" for text in inside.get(done, ())]
            for loop in level.spatial:
                if loop.bound > 1:
                    lines.append(f"|{'  ' * depth} for {loop.dim} in [0:{loop.bound}) (spatial {loop.axis})")
                    depth += 1
        return "\n".join(lines)


def seen_by(accelerator: Accelerator, mapping: Mapping, operand: Operand) -> Mapping:
    """The mapping as one operand has it: loops around its tiles, and around the memories that places share.

    Temporal loops are at the levels that `Mapping.cut_for` puts them to; spatial loops along axes that share its
    memory lie inside of that memory. The mapping itself where it is even and the copies of all memories of a level
    stand along the same axes.
    """
    mapping = mapping.cut_for(operand)
    if not accelerator.has_clusters:
        return mapping
    inward: dict[str, int] = {}
    for axis, split in accelerator.split_levels.items():
        # no level further inside shares along the axis (`hwmodel.chip.checks.rules` refuses that)
        below = split - 1
        memory = accelerator.levels[below].memory(operand) if split else None
        kept = operand in mapping.levels[below].keeps
        if kept and memory is not None and axis not in accelerator.own_axes(memory):
            inward[axis] = below
    if not inward:
        return mapping
    spatial: list[tuple[Loop, ...]] = [
        tuple(loop for loop in level.spatial if loop.axis not in inward) for level in mapping.levels
    ]
    for level in mapping.levels:
        for loop in level.spatial:
            if loop.axis in inward:
                spatial[inward[loop.axis]] += (loop,)
    return Mapping(
        levels=tuple(replace(level, spatial=own) for level, own in zip(mapping.levels, spatial, strict=True))
    )


def footprint(layer: Layer, operand: Operand, bounds: dict[DimName, int]) -> int:
    """Elements of an operand that a tile with these loop bounds needs, the halo of I included.

    I: (B, G, C, IY, IX) with IY = (OY - 1) * stride + (FY - 1) * dilation + 1.

    Source: Parashar et al., Timeloop, ISPASS 2019, section V.
    """
    if operand != "I":
        return math.prod(bounds[dim] for dim in RELEVANT[operand])
    return bounds["B"] * bounds["G"] * bounds["C"] * extent(layer, bounds, 0) * extent(layer, bounds, 1)


def extent(layer: Layer, bounds: dict[DimName, int], axis: int) -> int:
    """Rows (axis 0) or columns (axis 1) of I under a tile."""
    out, filt = (bounds["OY"], bounds["FY"]) if axis == 0 else (bounds["OX"], bounds["FX"])
    return (out - 1) * layer.stride[axis] + (filt - 1) * layer.dilation[axis] + 1


def tile_bits(task: Task, mapping: Mapping, level: int, operand: Operand) -> int:
    """Bits that one instance of a level needs for its tile of an operand, not doubled [bit].

    Outputs are `acc` bits wide where unfinished sums pass through, else `o` bits.
    """
    width = {"W": task.widths.w, "I": task.widths.i, "O": psum_width(task, mapping, level)}[operand]
    return footprint(task.layer, operand, seen_by(task.accelerator, mapping, operand).bounds(level)) * width


def psum_width(task: Task, mapping: Mapping, level: int) -> int:
    """Width of O at a level [bit]: `acc` while sums are unfinished there, `o` once they are complete.

    They are complete where no reduction is left around what they come from, the next level inward that keeps O.
    """
    mapping = mapping.cut_for("O")
    inner = [n for n in mapping.holders("O") if n < level]
    if not inner:  # the MACs add to them there
        return task.widths.acc
    later = [loop for outer in mapping.levels[inner[-1] + 1 :] for loop in outer.temporal]
    later += [loop for outer in mapping.levels[level + 1 :] for loop in outer.spatial]
    unfinished = any(loop.bound > 1 and loop.dim in REDUCTION for loop in later)
    return task.widths.acc if unfinished else task.widths.o


def sums_return(task: Task, mapping: Mapping) -> bool:
    """Sums may reach the home of O unfinished: some reduction runs outside of what is held before it."""
    holders = mapping.holders("O")
    return psum_width(task, mapping, holders[-2] + 1 if len(holders) > 1 else 0) != task.widths.o


def room_needed(task: Task, mapping: Mapping, level: int, memory: Memory) -> float:
    """What the tiles in a memory take together, doubled where they are, and unfinished resident sums [bit]."""
    held = [operand for operand in memory.holds if operand in mapping.levels[level].keeps]
    need = float(memory.copies * sum(tile_bits(task, mapping, level, operand) for operand in held))
    if task.rests("O", memory) and sums_return(task, mapping):
        need += task.unfinished_bits()
    return need
