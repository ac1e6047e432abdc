"""A block of outputs as a mapping: the loops of an array that works block by block, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hwmodel.chip.accelerator import Accelerator
from hwmodel.chip.timing.blocks import Blocks, Passes, Tile, is_depthwise, rows_of
from hwmodel.errors import MappingError
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, DimName, Layer

#: Loops outside of the buffer, outer to inner: sums stay for the last three.
OUTER: tuple[DimName, ...] = ("G", "B", "K", "OY", "OX", "FY", "FX", "C")


def blocks_of(accelerator: Accelerator) -> Blocks:
    """Its timing.

    Raises:
        MappingError: it does not work block by block.
    """
    if not isinstance(accelerator.timing, Blocks):
        raise MappingError(f"accelerator {accelerator.name!r} has no `timing: {{kind: blocks}}`, and so no blocks")
    return accelerator.timing


def passes_of(task: Task) -> Passes:
    """Passes of the multiplier over its operands."""
    own, widths = task.accelerator.precision, task.widths
    return Passes(math.ceil(widths.w / own.w_bits), math.ceil(widths.i / own.i_bits))


def stored_plane(layer: Layer) -> tuple[int, int]:
    """Rows and columns of the stored input of one image; of a product its rows, side by side.

    Those that a stride skips behind the last filter lie there too: with stride s there are at least s per output.
    """
    if layer.kind != "conv":
        return 1, layer.dims[rows_of(layer)]
    *_, rows, columns = layer.i_shape
    (top, bottom), (left, right) = layer.padding
    (y, x), d = layer.stride, layer.dims
    return max(rows - top - bottom, d.OY * y), max(columns - left - right, d.OX * x)


def block_mapping(task: Task, block: Tile) -> Mapping:
    """The loops of a block.

    Inside the buffer: the units of the block, the taps of a window of the filter, and the channels that lie there
    at once. Outside: blocks of filters, rows and columns; then the windows and channels that sums stay for.

    Args:
        task: on an array that works block by block.
        block: rows, columns and filters, whole units (`Blocks.unit`); of a single row of outputs it has one.

    Raises:
        MappingError: not whole units.
    """
    machine, layer = blocks_of(task.accelerator), task.layer
    whole = (1, *machine.unit[1:]) if machine.is_flat(layer) else machine.unit
    if any(size < 1 or size % step for size, step in zip(block, whole, strict=True)):
        raise MappingError(
            f"mapping of {layer.name!r} on {task.accelerator.name!r}: a block must be whole units of "
            f"{machine.unit} rows, columns and filters, but got {block}"
        )
    d, (rows, columns, filters) = layer.dims, _dims_of(layer)
    chunk = machine.channels_at_once(layer, passes_of(task))
    sizes = [*machine.unit, min(machine.lanes, chunk)]
    if machine.is_flat(layer):
        block, sizes[0] = (1, *block[1:]), 1
    spatial = [
        Loop(dim, size, axis.name)
        for axis, dim, size in zip(task.accelerator.axes, (rows, columns, filters, "C"), sizes, strict=True)
    ]
    inner: dict[DimName, int] = {"FY": min(d.FY, machine.window), "FX": min(d.FX, machine.window)}
    for dim, size in zip((rows, columns, filters), block, strict=True):
        inner[dim] = inner.get(dim, 1) * size
    inner["C"] = chunk
    unrolled = {dim: math.prod(loop.bound for loop in spatial if loop.dim == dim) for dim in DIM_NAMES}
    buffered = [Loop(dim, math.ceil(size / unrolled[dim])) for dim, size in inner.items()]
    tile = {loop.dim: loop.bound * unrolled[loop.dim] for loop in buffered}
    outer = [Loop(dim, math.ceil(d[dim] / tile.get(dim, 1))) for dim in OUTER]
    first, last = task.accelerator.levels
    return Mapping(
        levels=(
            LevelMapping(name=first.name, temporal=_several(buffered), spatial=tuple(spatial), keeps=first.holds),
            LevelMapping(name=last.name, temporal=_several(outer), keeps=last.holds),
        )
    )


def block_of(layer: Layer, mapping: Mapping) -> Tile:
    """Rows, columns and filters of the block of a mapping: what the buffer holds of the outputs."""
    bounds = mapping.bounds(0)
    rows, columns, filters = (bounds[dim] for dim in _dims_of(layer))
    return rows, columns, filters


def _dims_of(layer: Layer) -> tuple[DimName, DimName, DimName]:
    """The loops over rows, columns and filters of the outputs that blocks divide."""
    if layer.kind != "conv":
        columns = rows_of(layer)
        return "OX" if columns == "OY" else "OY", columns, "K"
    return "OY", "OX", "G" if is_depthwise(layer) else "K"


def _several(loops: Iterable[Loop]) -> tuple[Loop, ...]:
    """Without unit loops."""
    return tuple(loop for loop in loops if loop.bound > 1)
