"""Whether a mapping covers its layer and obeys its accelerator: axes, memories, loops, places of tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.nest.mapping import Mapping, room_needed
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, RELEVANT, DimName, Operand
from hwmodel.network.numbers import round_up


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
