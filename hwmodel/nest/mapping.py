"""A mapping: which loops run across the PEs, and which in time at every memory level."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hwmodel.chip.accelerator import Accelerator, Memory
from hwmodel.errors import MappingError
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, REDUCTION, RELEVANT, DimName, Dims, Layer, Operand
from hwmodel.network.numbers import round_up
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


def check_mapping(task: Task, mapping: Mapping) -> None:
    """Raise unless the mapping covers the layer and obeys the accelerator.

    Every dim must multiply to the layer's bound, or to the next multiple of its spatial factor or of a tile.

    Raises:
        MappingError: levels differ from the accelerator's, the loops do not multiply to the layer, an
            axis or a buffer is too small, the outermost level does not keep every operand, a tile lies further
            inside where it may not, or a loop breaks the dataflow: `temporal` and `order` of its level, `dims`
            and `full` of its axis.
    """
    layer, accelerator = task.layer, task.accelerator
    place = f"mapping of {layer.name!r} on {accelerator.name!r}"
    names = [level.name for level in accelerator.levels]
    if [level.name for level in mapping.levels] != names:
        raise MappingError(f"{place}: levels must be {names}, but got {[n.name for n in mapping.levels]}")
    whole = mapping.bounds(len(names) - 1)
    for dim in DIM_NAMES:
        bound, covered, spatial = layer.dims[dim], whole[dim], mapping.spatial_of(dim)
        padded = round_up(bound, spatial)
        tiles = mapping.tiles(dim)
        if covered not in {bound, padded, *(round_up(bound, tile) for tile in tiles if tile < bound)}:
            also = f" (or {padded}, padded)" if padded != bound else ""
            raise MappingError(f"{place}: the loops over {dim} must multiply to {bound}{also}, but give {covered}")
    for level, level_map in zip(accelerator.levels, mapping.levels, strict=True):
        if len(set(level_map.keeps)) != len(level_map.keeps):
            raise MappingError(f"{place}: level {level.name!r} keeps each operand once, but got {level_map.keeps}")
        strange = set(level_map.keeps) - set(level.holds)
        if strange:
            raise MappingError(
                f"{place}: level {level.name!r} cannot keep {sorted(strange)}; it holds {level.holds}"
            )
    missing = set("WIO") - set(mapping.levels[-1].keeps)
    if missing:
        raise MappingError(f"{place}: the outermost level must keep W, I and O, but lacks {sorted(missing)}")
    _check_inward(place, accelerator, mapping)
    _check_axes(place, accelerator, mapping)
    _check_dataflow(place, accelerator, mapping)
    _check_capacity(place, task, mapping)


def _check_inward(place: str, accelerator: Accelerator, mapping: Mapping) -> None:
    """Tiles that lie further inside are of operands that the level keeps, and lie around what is inside of them."""
    if mapping.is_even:
        return
    if accelerator.tiles != "uneven":
        raise MappingError(f"{place}: `tiles: uneven` of the chip must hold where a level has `inward`")
    if mapping.levels[-1].inward:
        rule = "the outermost level holds whole tensors: leave out its `inward`"
        raise MappingError(f"{place}: {rule}, but got {mapping.levels[-1].inward}")
    for level in mapping.levels:
        moved = dict(level.inward)
        if len(moved) < len(level.inward) or not set(moved) <= set(level.keeps):
            rule = f"`inward` of level {level.name!r} must be among what it keeps, each operand once"
            raise MappingError(f"{place}: {rule}, but got {level.inward} of {level.keeps}")
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in moved.values()):
            rule = f"`inward >= 0` of level {level.name!r} must hold (integers)"
            raise MappingError(f"{place}: {rule}, but got {level.inward}")
    num_loops = sum(len(level.temporal) for level in mapping.levels)
    for operand in OPERANDS:
        before = num_loops
        for index in mapping.holders(operand):
            begin = mapping.begins(index, operand)
            if begin > before:
                rule = f"`loops around {operand} in {mapping.levels[index].name!r} <= {before}` must hold"
                inner = "those around its tile inside" if before < num_loops else "all loops"
                raise MappingError(f"{place}: {rule} ({inner}), but got {begin}")
            before = begin


def _check_axes(place: str, accelerator: Accelerator, mapping: Mapping) -> None:
    allowed = {axis.name: axis.dims for axis in accelerator.axes}
    for loop in (loop for level in mapping.levels for loop in level.spatial if loop.bound > 1):
        if loop.axis not in allowed:
            raise MappingError(f"{place}: a loop over {loop.dim} runs on axis {loop.axis!r}; axes: {list(allowed)}")
        if loop.dim not in allowed[loop.axis]:
            rule = f"`dims: {_listed(allowed[loop.axis])}` of axis {loop.axis} must hold"
            raise MappingError(f"{place}: {rule}, but a loop over {loop.dim} runs on it")
    for axis in accelerator.axes:
        for dim in axis.full:
            unrolled = mapping.unrolled(dim, axis.name)
            if unrolled != mapping.dims[dim]:
                rule = f"`full: {_listed(axis.full)}` of axis {axis.name} must hold"
                raise MappingError(f"{place}: {rule}, but {unrolled} of {mapping.dims[dim]} of {dim} run on it")
        if accelerator.has_clusters:
            _check_place(place, accelerator, mapping, axis.name)
        used = math.prod(loop.bound for level in mapping.levels for loop in level.spatial if loop.axis == axis.name)
        if used > axis.size:
            raise MappingError(f"{place}: `loops on axis {axis.name} <= {axis.size}` must hold, but got {used}")


def _check_place(place: str, accelerator: Accelerator, mapping: Mapping, axis: str) -> None:
    """Loops across copies belong to the first level outside of them."""
    split = accelerator.split_levels[axis]
    for index, level in enumerate(mapping.levels):
        if index != split and any(loop.axis == axis and loop.bound > 1 for loop in level.spatial):
            rule = f"`loops on axis {axis} at {mapping.levels[split].name!r}` must hold (the first level outside)"
            raise MappingError(f"{place}: {rule}, but level {level.name!r} has one")


def _check_dataflow(place: str, accelerator: Accelerator, mapping: Mapping) -> None:
    """The loops that a level may run in time, and their order."""
    if accelerator.tiles == "uneven":
        for operand in OPERANDS:
            _check_loops(place, accelerator, mapping, operand)
        return
    for level, level_map in zip(accelerator.levels, mapping.levels, strict=True):
        dims = [loop.dim for loop in level_map.temporal if loop.bound > 1]
        for dim in dims:
            if dim not in level.temporal_dims:
                rule = f"`temporal: {_listed(level.temporal_dims)}` of level {level.name!r} must hold"
                raise MappingError(f"{place}: {rule}, but it loops over {dim}")
        ranks = [level.order.index(dim) if dim in level.order else -1 for dim in dims]
        if level.order and ranks != sorted(ranks):
            rule = f"`order: {_listed(level.order)}` of level {level.name!r} must hold (other dims outside)"
            raise MappingError(f"{place}: {rule}, but its loops are {_listed(dims)}")


def _check_loops(place: str, accelerator: Accelerator, mapping: Mapping, operand: Operand) -> None:
    """The loops right inside of an operand's tiles that index it: some level since the tile inside has them."""
    own, inner = mapping.cut_for(operand), -1
    for index in mapping.holders(operand):
        levels = range(inner + 1, index + 1)
        allowed = [dim for dim in DIM_NAMES if any(dim in accelerator.levels[n].temporal_dims for n in levels)]
        for loop in (loop for n in levels for loop in own.levels[n].temporal if loop.bound > 1):
            if loop.dim in RELEVANT[operand] and loop.dim not in allowed:
                rule = f"`temporal: {_listed(allowed)}` of level {own.levels[index].name!r} must hold"
                raise MappingError(f"{place}: {rule}, but its tile of {operand} loops over {loop.dim}")
        inner = index


def _listed(dims: Iterable[DimName]) -> str:
    """As an accelerator file writes it."""
    return f"[{', '.join(dims)}]"


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


def _check_capacity(place: str, task: Task, mapping: Mapping) -> None:
    levels = task.accelerator.levels
    if len(levels[-1].memories) > 1:  # they hold whole tensors apart: whether these fit is the network's matter
        levels = levels[:-1]
    for index, level in enumerate(levels):
        for memory in level.memories:
            room = task.room_bits(memory)
            if memory.size_bits is None:
                continue
            held = [operand for operand in memory.holds if operand in mapping.levels[index].keeps]
            for operand in held:
                if index < len(mapping.levels) - 1 and task.rests(operand, memory):
                    raise MappingError(f"{place}: {operand} lies whole in {memory.name!r}: it keeps no tile of it")
            need = room_needed(task, mapping, index, memory)
            if need > room:
                rule = f"`tiles <= {room:g} bits` must hold in {memory.name!r}"
                raise MappingError(f"{place}: {rule}, but got {need:g} bits")
