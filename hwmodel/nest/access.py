"""How often a mapping reads, fills and updates every memory: the closed form of Timeloop's counting.

For operand t kept at a level with tile T, take the temporal loops above the level, outer to inner,
without unit loops, and strip the innermost ones that do not index t: the tile stays while they run. If
none remain, fills = |T|; else fills = |T| * prod(remaining bounds). If nothing was stripped and the
innermost loop (bound b) slides a window over I, only the new part D of the tile moves:
fills = prod(others) * (|T| + (b - 1) * D). Outputs are written back U = |T| * prod(remaining) times;
reads = U - distinct elements, since the first visit of an element starts from zero. The parent serves one
read for all instances that need the same tile (multicast), and takes one update for all that add into
the same outputs (spatial reduction).

Zero padding (`Layer.padding`) is not fetched from the outermost memory into a shared buffer; a layer without it
counts as Timeloop does, for which padding is data.

Source: Parashar et al., Timeloop, ISPASS 2019, section V; checked against Timeloop v3.0.3 in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from hwmodel.chip.accelerator import Accelerator
from hwmodel.nest.mapping import Loop, Mapping, extent, footprint, seen_by
from hwmodel.nest.rules import check_mapping
from hwmodel.nest.task import Task
from hwmodel.nest.view import array_view
from hwmodel.network.layer import REDUCTION, RELEVANT, DimName, Layer, Operand
from hwmodel.network.padding import Rows


@dataclass(frozen=True, kw_only=True)
class OperandAccess:
    """Accesses of one operand at one level, in words per instance.

    Attributes:
        reads: by the next level inward (for O: of sums that go on).
        fills: writes from the next level outward.
        updates: writes of results from the next level inward (O only).
        final_updates: the updates that carry a finished output.
        tile: words held (utilized capacity).
        instances: copies of the level in use.
    """

    reads: int
    fills: int
    updates: int
    final_updates: int
    tile: int
    instances: int


AccessCounts = MappingType[tuple[str, Operand], OperandAccess]


def count_accesses(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> AccessCounts:
    """Reads, fills and updates per level and operand that keeps it there [words per instance].

    Args:
        layer: its loop bounds, stride and dilation.
        accelerator: its levels.
        mapping: for these two.

    Raises:
        MappingError: the mapping does not cover the layer or does not fit the accelerator.
    """
    return task_accesses(array_view(Task.of(layer, accelerator)), mapping)


def task_accesses(task: Task, mapping: Mapping) -> AccessCounts:
    """As `count_accesses`, of a task as the array sees it (`array_view`)."""
    check_mapping(task, mapping)
    layer, networks = task.layer, Networks.of(task.accelerator)
    counts: dict[tuple[str, Operand], OperandAccess] = {}
    for operand in ("W", "I", "O"):
        inner = -1
        holders, own = mapping.holders(operand), seen_by(task.accelerator, mapping, operand)
        for level in holders:
            count = _count_output if operand == "O" else _count_input
            counts[mapping.levels[level].name, operand] = count(
                layer, own, operand, inner, level, holders[-1], networks
            )
            inner = level
        shared = len(holders) > 1 and holders[-2] >= task.accelerator.shared_level
        if operand == "I" and shared and task.skips_padding:
            _leave_padding(counts, layer, own, holders[-2], holders[-1])
    return counts


def _leave_padding(counts: dict[tuple[str, Operand], OperandAccess], layer: Layer, mapping: Mapping, inner: int,
                   outermost: int) -> None:  # fmt: skip
    """Zeros around the input are nowhere: a shared buffer fetches none from the outermost memory."""
    stored = stored_transfers(layer, mapping, inner)
    near, far = mapping.levels[inner].name, mapping.levels[outermost].name
    counts[near, "I"] = replace(counts[near, "I"], fills=stored)
    counts[far, "I"] = replace(counts[far, "I"], reads=stored)


def stored_transfers(layer: Layer, mapping: Mapping, level: int) -> int:
    """As `tile_transfers` of I, without the padding; also without what a mapping pads the rows or columns to."""
    bounds, words = mapping.bounds(level), tile_transfers(layer, mapping, "I", level)
    share = Fraction(1)
    slides = _sliding_loop(mapping, level)
    axes: tuple[tuple[DimName, DimName], ...] = (("OY", "FY"), ("OX", "FX"))
    for axis, (out, tap) in enumerate(axes):
        tile: dict[DimName, int] = {out: bounds[out], tap: bounds[tap]}
        pace: dict[DimName, int] = {out: layer.stride[axis], tap: layer.dilation[axis]}
        length = extent(layer, bounds, axis)
        for dim in (out, tap):
            if slides is not None and slides.dim == dim and tile[dim] * pace[dim] <= length:
                tile[dim] *= slides.bound
        before, after = layer.padding[axis]
        beyond = sum(pace[dim] * (mapping.dims[dim] - layer.dims[dim]) for dim in (out, tap))
        whole = Rows(
            outputs=mapping.dims[out], taps=mapping.dims[tap], stride=pace[out], dilation=pace[tap],
            before=before, after=after + beyond,
        )  # fmt: skip
        none = replace(whole, before=0, after=0)
        share *= Fraction(whole.covered(tile[out], tile[tap]), none.covered(tile[out], tile[tap]))
    return int(words * share)


def _sliding_loop(mapping: Mapping, level: int) -> Loop | None:
    """The innermost loop around a tile of I where it slides a window, and nothing stays before it."""
    loops = [loop for outer in reversed(mapping.levels[level + 1 :]) for loop in outer.temporal if loop.bound > 1]
    return loops[-1] if loops and loops[-1].dim in ("OY", "OX", "FY", "FX") else None


def _count_input(
    layer: Layer, mapping: Mapping, operand: Operand, inner: int, level: int, outermost: int, networks: Networks
) -> OperandAccess:
    served = tile_transfers(layer, mapping, operand, inner)
    return OperandAccess(
        reads=served * distinct_tiles(layer, mapping, operand, inner, level, networks),
        fills=0 if level == outermost else tile_transfers(layer, mapping, operand, level),
        updates=0,
        final_updates=0,
        tile=footprint(layer, operand, mapping.bounds(level)),
        instances=_instances(mapping, level),
    )


def _count_output(
    layer: Layer, mapping: Mapping, operand: Operand, inner: int, level: int, outermost: int, networks: Networks
) -> OperandAccess:
    updates = tile_transfers(layer, mapping, operand, inner) * distinct_tiles(
        layer, mapping, operand, inner, level, networks
    )
    distinct = _distinct_outputs(layer, mapping, level)
    fills = 0
    if level != outermost:
        fills = tile_transfers(layer, mapping, operand, level) - distinct
    return OperandAccess(
        reads=updates - distinct,
        fills=fills,
        updates=updates,
        final_updates=0 if inner < 0 or _sums_meet_outside(mapping, level) else distinct,
        tile=footprint(layer, operand, mapping.bounds(level)),
        instances=_instances(mapping, level),
    )


def _sums_meet_outside(mapping: Mapping, level: int) -> bool:
    """Several instances of a level work on the same outputs, so that none of them holds a finished one."""
    return any(
        loop.bound > 1 and loop.dim in REDUCTION for outer in mapping.levels[level + 1 :] for loop in outer.spatial
    )


def _instances(mapping: Mapping, level: int) -> int:
    return math.prod(loop.bound for outer in mapping.levels[level + 1 :] for loop in outer.spatial)


def _distinct_outputs(layer: Layer, mapping: Mapping, level: int) -> int:
    """Output elements that one instance of a level ever sees."""
    total = math.prod(mapping.dims[dim] for dim in RELEVANT["O"])
    split = math.prod(
        loop.bound for outer in mapping.levels[level + 1 :] for loop in outer.spatial if loop.dim not in REDUCTION
    )
    return total // split


def tile_transfers(layer: Layer, mapping: Mapping, operand: Operand, level: int) -> int:
    """Words that move between one instance of a level and its parent over the layer (level -1: a MAC)."""
    bounds = mapping.bounds(level)
    tile = footprint(layer, operand, bounds)
    loops = [
        (loop, index)
        for index in range(len(mapping.levels) - 1, level, -1)
        for loop in mapping.levels[index].temporal
        if loop.bound > 1
    ]
    if level < 0:
        return math.prod(loop.bound for loop, _ in loops)
    count = len(loops)
    while loops and loops[-1][0].dim not in RELEVANT[operand]:
        loops.pop()
    if not loops:
        return tile
    last, index = loops[-1]
    if operand == "I" and len(loops) == count:
        rest = math.prod(loop.bound for loop, _ in loops[:-1])
        return rest * (tile + (last.bound - 1) * _fresh_part(layer, mapping, level, tile, last.dim, index))
    return tile * math.prod(loop.bound for loop, _ in loops)


def _fresh_part(layer: Layer, mapping: Mapping, level: int, tile: int, dim: DimName, loop_level: int) -> int:
    """Words of an input tile that are new after one step of the innermost loop over `dim`."""
    axis = 0 if dim in ("OY", "FY") else 1
    if dim not in ("OY", "OX", "FY", "FX"):
        return tile
    pace = layer.stride[axis] if dim in ("OY", "OX") else layer.dilation[axis]
    inside = mapping.bounds(loop_level - 1)[dim] * math.prod(
        loop.bound for loop in mapping.levels[loop_level].spatial if loop.dim == dim
    )
    length = extent(layer, mapping.bounds(level), axis)
    return tile // length * min(inside * pace, length)


class Networks(NamedTuple):
    """Who shares a transfer among the instances below a level.

    Attributes:
        diagonal: as `Accelerator.diagonal`.
        alone: axes whose places are each served by themselves.
    """

    diagonal: bool = True
    alone: frozenset[str] = frozenset()

    @classmethod
    def of(cls, accelerator: Accelerator) -> Networks:
        return cls(accelerator.diagonal, frozenset(axis.name for axis in accelerator.axes if not axis.multicast))


ALL_SHARE = Networks()


def distinct_tiles(
    layer: Layer, mapping: Mapping, operand: Operand, inner: int, level: int, networks: Networks = ALL_SHARE
) -> int:
    """Different tiles among the inner instances below one instance of a level; equal ones share a transfer.

    For I two instances need the same tile where their rows and columns start at the same place, as on the
    diagonals of a row-stationary array. Spatial loops of different levels, and without `diagonal` of different
    axes, are networks of their own: each serves its own instances only.
    """
    plain = 1
    starts_of: dict[tuple[int, str, int], set[int]] = {}
    for index in range(inner + 1, level + 1):
        inside = mapping.bounds(index - 1)
        for loop in reversed(mapping.levels[index].spatial):
            step = inside[loop.dim]
            inside[loop.dim] *= loop.bound
            if loop.axis in networks.alone:
                plain *= loop.bound
                continue
            if loop.dim not in RELEVANT[operand]:
                continue
            if operand == "I" and loop.dim in ("OY", "OX", "FY", "FX"):
                axis = 0 if loop.dim in ("OY", "FY") else 1
                pace = step * (layer.stride if loop.dim[0] == "O" else layer.dilation)[axis]
                known = starts_of.setdefault((index, "" if networks.diagonal else loop.axis, axis), {0})
                fresh = {start + n * pace for start in known for n in range(loop.bound)}
                known |= fresh
            else:
                plain *= loop.bound
    return plain * math.prod(len(starts) for starts in starts_of.values())
