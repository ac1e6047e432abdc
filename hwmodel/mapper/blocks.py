"""The block of an array that works block by block: the one whose inputs and weights are fetched least.

A block is so many rows, columns and filters of the outputs. Its inputs (with halo) and its sums lie in the buffer,
both twice, in whole banks. Of the blocks that fit, the chip's compiler takes the one with the fewest words fetched,

    (inputs of a block * blocks in the plane * blocks of filters + weights * blocks in the plane) / outputs,

and half of that counts where both buffers hold all inputs. Of equally good ones it is the first, few filters, rows
and columns before more; or a later one of at most 4 x 4 outputs that covers more of the inputs. This is no search
for the fewest cycles or the least energy: it is the rule of the compiler, whatever is minimised elsewhere.

Source: Arm, ethos-u-vela 5 (Apache-2.0), architecture/ethosu55/ethos_u55.cpp, FindBlockConfig and TryBlockConfig.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.timing.blocks import Blocks, Tile, is_depthwise, outputs_of
from hwmodel.errors import MappingError
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.nest.blocks import block_mapping, blocks_of, passes_of, stored_plane
from hwmodel.nest.mapping import Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import Layer
from hwmodel.network.numbers import round_up

#: Rows and columns up to which a block that covers more of the inputs is taken before an equally good one.
SMALL = 4


def best_block(task: Task) -> Mapping:
    """The mapping of the block that the chip's compiler takes.

    Args:
        task: on a chip with `timing: {kind: blocks}`.

    Raises:
        MappingError: not even a unit of outputs fits in the buffer.
    """
    return block_mapping(task, chosen_block(task))


def chosen_block(task: Task) -> Tile:
    """Rows, columns and filters of the block. Raises MappingError as `best_block`."""
    machine, layer = blocks_of(task.accelerator), task.layer
    blocks = _candidates(machine, layer)
    blocks = blocks[_fits(task, blocks)]
    if not len(blocks):
        raise MappingError(
            f"layer {layer.name!r} on {task.accelerator.name!r}: a unit of {machine.unit} outputs and the inputs "
            "that it needs do not fit in the buffer. Give its memory a larger `size`."
        )
    costs, covered = _fetched(task, blocks), _covered(machine, layer, blocks)
    least = np.flatnonzero(costs == costs.min())
    chosen, most = least[0], 0.0
    for n in least[1:]:
        if covered[n] >= most and (blocks[n, :2] <= SMALL).all():
            chosen, most = n, covered[n]
    rows, columns, filters = (int(size) for size in blocks[chosen])
    return 1 if machine.is_flat(layer) else rows, columns, filters


def _candidates(machine: Blocks, layer: Layer) -> Ints:
    """(n, 3) blocks of whole units: filters outermost, columns innermost, all rising."""
    outputs = outputs_of(layer)
    most = [
        round_up(min(size, top), step)
        for size, top, step in zip(outputs, machine.largest, machine.unit, strict=True)
    ]
    rows, columns = (np.arange(step, top + 1, step) for step, top in zip(machine.unit[:2], most[:2], strict=True))
    grid = np.meshgrid(_filters(machine, outputs[2], most[2]), rows, columns, indexing="ij")
    return np.stack([grid[1], grid[2], grid[0]], axis=-1).reshape(-1, 3).astype(np.int64)


def _filters(machine: Blocks, filters: int, most: int) -> list[int]:
    """Filters of a block: a multiple where there are more, all of them else."""

    def rounded(count: int) -> int:
        return round_up(count, machine.multiple) if count < filters else count

    found, unit = [], machine.unit[2]
    count = rounded(max(unit, min(most, machine.multiple)))
    while count <= most:
        found.append(count)
        count = rounded(count + unit)
    return found


def _fits(task: Task, blocks: Ints) -> NDArray[np.bool_]:
    """Which blocks have room: inputs and sums, both twice, in multiples of their banks."""
    machine, layer, passes = blocks_of(task.accelerator), task.layer, passes_of(task)
    banks, acc_bits, sum_banks = machine.banks, task.widths.acc, machine.banks.sums
    if passes.i > 1:
        acc_bits, sum_banks = machine.wide.acc_bits, machine.wide.sum_banks
    rows, columns = machine.inputs(layer, blocks[:, 0], blocks[:, 1])
    native, side = task.accelerator.precision.i_bits, banks.channels
    inputs = rows * columns * round_up(_channels_held(task, blocks) * passes.i, side) * native
    sums = _rows_made(task, blocks) * blocks[:, 1] * round_up(blocks[:, 2], side) * acc_bits
    whole = [np.ceil(bits / banks.bits).astype(np.int64) for bits in (inputs, sums)]
    taken = round_up(2 * whole[0], banks.inputs) + round_up(2 * whole[1], sum_banks)
    fits: NDArray[np.bool_] = taken <= banks.count - banks.reserved
    return fits


def _fetched(task: Task, blocks: Ints) -> Floats:
    """Words fetched per output, in single precision as the compiler counts them, in its order. (n)"""
    machine, layer, single = blocks_of(task.accelerator), task.layer, np.float32
    outputs, d = outputs_of(layer), layer.dims
    rows, columns = machine.inputs(layer, blocks[:, 0], blocks[:, 1])
    made = _rows_made(task, blocks), blocks[:, 1], blocks[:, 2]
    whole = [np.ceil(size / step) for size, step in zip(outputs, made, strict=True)]
    part = [single(size) / step.astype(single) for size, step in zip(outputs, made, strict=True)]
    channels = d.G if is_depthwise(layer) else d.C
    repeats = math.prod(math.ceil(size / machine.window) for size in _reach(layer))
    inputs = (rows * columns * channels * repeats).astype(single) * part[1] * part[0]
    weights = (d.FY * d.FX * channels * whole[0] * whole[1]).astype(single)
    if not is_depthwise(layer):
        inputs, weights = inputs * whole[2].astype(single), weights * (part[2] * made[2].astype(single))
    costs = (inputs + weights) / single(math.prod(outputs))
    all_at_once = math.prod(stored_plane(layer)) * channels < rows * columns * _channels_held(task, blocks) * 2
    halved: Floats = np.where(all_at_once, costs / single(2), costs)
    return halved


def _channels_held(task: Task, blocks: Ints) -> Ints:
    """Input channels that lie in the buffer at once. (n)"""
    machine, layer = blocks_of(task.accelerator), task.layer
    held = blocks[:, 2] if is_depthwise(layer) else machine.channels_at_once(layer, passes_of(task))
    return np.broadcast_to(np.asarray(held, dtype=np.int64), len(blocks))


def _rows_made(task: Task, blocks: Ints) -> Ints:
    """Rows of outputs: of a single one no block has two. (n)"""
    one = blocks_of(task.accelerator).is_flat(task.layer)
    return np.ones(len(blocks), dtype=np.int64) if one else blocks[:, 0]


def _covered(machine: Blocks, layer: Layer, blocks: Ints) -> Ints:
    """Inputs in the plane that a block covers. (n)"""
    rows, columns = machine.inputs(layer, blocks[:, 0], blocks[:, 1])
    height, width = stored_plane(layer)
    covered: Ints = np.minimum(rows, height) * np.minimum(columns, width)
    return covered


def _reach(layer: Layer) -> tuple[int, int]:
    """Rows and columns between the first and the last tap of a filter, both counted."""
    d, (y, x) = layer.dims, layer.dilation
    return (d.FY - 1) * y + 1, (d.FX - 1) * x + 1
