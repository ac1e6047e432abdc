"""One layer on a chip of any number of levels, as the numbers that the walk wants.

Everything is indexed by level, innermost first, and by operand [W, I, O]. A *hop* of an operand goes from a level
that keeps it to the next one outward that does; that into the first is the MACs' own. A *split* is what the axes
between two levels unroll.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Axis
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.deep.lattice import Lattice, lattice
from hwmodel.mapper.deep.metrics import Metrics, holders, metrics
from hwmodel.mapper.deep.splits import REDUCED, Splits
from hwmodel.mapper.space.hierarchy import orders_of
from hwmodel.mapper.space.padding import PaddedRows, held_shares, padded_rows
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, REDUCTION, RELEVANT, Dims, Operand

#: What every level keeps of the operands, innermost first.
Kept = tuple[frozenset[Operand], ...]
#: Of equal energies the mapping that unrolls more is taken: twice the PEs count as this share of the MACs'
#: accesses.
TIE = 1e-10


class Shape(NamedTuple):
    """What the operands keep where, and what may be looped.

    Attributes:
        keep: (L, 3) 1 where the level keeps the operand.
        loops: (L, 8) 1 where the level may loop over the dim.
        grows: (L, 8) 1 where it may, or the axes below it unroll the dim.
        orders: (L, n, 8) loop orders of a level, outer to inner; `num_orders` (L) of them, 1 where it is fixed.
        slot: (L, 3) memory of the operand at the level.
        capacity: (L, 3) of these memories [bit], halved where double buffered.
        first_outputs: the level that takes the sums of the MACs.
        last_inputs: the shared level that fetches I from the outermost memory, -1 where none does.
        wide_sums: 1 where unfinished sums are wider than finished ones in some level but the first.
        wide_at: (L) 1 where a level counts sums as unfinished whatever is left of the reduction: they may come
            unfinished from further inside than the level below.
        near_parent: (L, 3) 1 where no split is left before the parent of the open hop once that of the level is
            done.
        later: (L) the most places outside of the level that may add into the same outputs.
        shares: (L, 3) the least share of the reads of the hop out of a level that splits on the way leave.
        beyond: (L, 3) the same, of splits outside of the next level.
        inside: (L, 3) the least share of its words that splits inside of its memory leave.
        first_shares: (3) the same of what the MACs ask for.
        ends_at_splits: 1 where reuse ends at a level without loops whose places need different words.
        whole_at: (L) 1 where no reduction may be left at the split of a level.
        child: (L, 3) the level that the open hop of the operand comes out of once that of the level is done; -1:
            MACs.
        next_outputs: (L) the level, this one or outside of it, that keeps O next.
    """

    keep: Ints
    loops: Ints
    grows: Ints
    orders: Ints
    num_orders: Ints
    slot: Ints
    capacity: Floats
    first_outputs: int
    last_inputs: int
    wide_sums: int
    wide_at: Ints
    near_parent: Ints
    later: Floats
    shares: Floats
    beyond: Floats
    inside: Floats
    first_shares: Floats
    ends_at_splits: int
    whole_at: Ints
    child: Ints
    next_outputs: Ints


class Ladder(NamedTuple):
    """What the walk knows.

    Attributes:
        bounds: (8) loop bounds N.
        pace: (4) stride y, x and dilation y, x.
        widths: (4) of w, i, o, acc [bit].
        outputs: words of O.
        distinct: (3) words of W, I and O that every mapping moves: of I none that a stride skips, nor zeros around,
            nor what the bounds are padded to.
        held: (V, 5) or (1, 5) as `held_shares`.
        tie: energy taken off per doubling of the places of a split.
        tiles, splits, shape, costs: tiles, what the axes unroll, who keeps what, and what a word costs.
        offsets: (S) distance of a split tile in `tiles.vectors`.
    """

    bounds: Ints
    pace: Ints
    widths: Floats
    outputs: float
    distinct: Floats
    held: Floats
    tie: float
    tiles: Lattice
    splits: Splits
    shape: Shape
    costs: Metrics
    offsets: Ints


def shape(
    task: Task, dims: Dims, kept: Kept, parted: Splits, *, whole_sums: bool = False,
    finished: frozenset[int] | None = None, ends_at_splits: bool = False,
) -> Shape:  # fmt: skip
    """The shape of a task whose layer has given (padded) dims and whose levels keep given operands.

    whole_sums: outputs that lie on chip whole get there finished; else what they take more before has its room.
    finished: outer levels of the `gaps` that sums pass finished; in the others they take their room unfinished.
    None: sums take as little room as they may.
    ends_at_splits: as `Shape.ends_at_splits`, for comparisons.
    """
    chip = task.accelerator
    keep = np.array([[operand in level for operand in OPERANDS] for level in kept], dtype=np.int64)
    slot = np.zeros((len(keep), 3), np.int64)
    for index, level in enumerate(chip.levels[:-1]):
        for place, memory in enumerate(level.memories):
            for operand in memory.holds:
                slot[index, OPERANDS.index(operand)] = place
    loops = np.array([[dim in level.temporal_dims for dim in DIM_NAMES] for level in chip.levels], dtype=np.int64)
    whole_at, wide_at = np.zeros((2, len(keep)), dtype=np.int64)
    for inner, outer in gaps(task, kept):
        if finished is not None and outer in finished:
            loops[inner + 1 : outer, REDUCED] = 0
            whole_at[outer] = 1
        elif finished is not None:
            wide_at[outer] = 1
    grows = loops.copy()
    for axis in chip.axes:
        for dim in axis.dims:
            grows[chip.split_levels[axis.name], DIM_NAMES.index(dim)] = 1
    fixed = [orders_of(level) for level in chip.levels]
    orders = np.zeros((len(keep), max(map(len, fixed)), 8), dtype=np.int64)
    for index, own in enumerate(fixed):
        orders[index, : len(own)] = own
    sums, inputs = holders(keep, 2), holders(keep, 1)
    last, own_sums = max(inputs[:-1], default=-1), max(sums[:-1], default=-1)
    shares, beyond, inside, first_shares = _least_shares(chip, dims, keep)
    if whole_sums:
        whole_at[own_sums + 1] = 1
    return Shape(
        keep=keep, loops=loops, grows=grows,
        orders=orders, num_orders=np.array([len(own) for own in fixed], dtype=np.int64),
        slot=slot, capacity=capacity_of(task, whole_sums=whole_sums),
        first_outputs=sums[0], last_inputs=last if last >= chip.shared_level and task.skips_padding else -1,
        wide_sums=int(task.widths.acc != task.widths.o and len(sums) > 2), wide_at=wide_at,
        near_parent=_no_split_left(keep, parted), later=_later_reduction(chip, dims),
        shares=shares, beyond=beyond, inside=inside, first_shares=first_shares,
        ends_at_splits=int(ends_at_splits),
        whole_at=whole_at,
        child=np.array([[_inside_of(keep, n, x) for x in range(3)] for n in range(len(keep))], dtype=np.int64),
        next_outputs=np.array([next(p for p in sums if p >= index) for index in range(len(keep))], dtype=np.int64),
    )  # fmt: skip


def gaps(task: Task, kept: Kept) -> list[tuple[int, int]]:
    """Levels inside and outside of some that keep no O, where unfinished sums take more room than outputs."""
    sums = [level for level, own in enumerate(kept) if "O" in own]
    if task.widths.acc == task.widths.o:
        return []
    return [(inner, level) for inner, level in itertools.pairwise(sums[:-1]) if level > inner + 1]


def capacity_of(task: Task, *, whole_sums: bool) -> Floats:
    """`Shape.capacity` of a task on a chip; where outputs rest, less what their unfinished sums take."""
    levels = task.accelerator.levels
    capacity = np.full((len(levels), 3), math.inf)
    for index, level in enumerate(levels[:-1]):
        for place, memory in enumerate(level.memories):
            room = task.room_bits(memory)
            if task.rests("O", memory) and not whole_sums:
                room -= task.unfinished_bits()
            capacity[index, place] = room / memory.copies
    return capacity


def build(
    task: Task, dims: Dims, own: Shape, tiles: Lattice, parted: Splits, *, timed: bool = False, compute: float = 0.0
) -> Ladder:
    """The ladder of a task; with lines (`timed`) its splits have the same numbers of places at every level.

    compute: cycles of the array for these.
    """
    instances = _instances(own.keep, parted) if timed else np.ones(own.keep.shape)
    costs = metrics(task, own.keep, dims, timed, instances, compute)
    held = _held(padded_rows(task, dims), dims) if own.last_inputs >= 0 else np.ones((1, 5))
    return Ladder(
        bounds=np.array(dims.values_tuple, dtype=np.int64),
        pace=np.array((*task.layer.stride, *task.layer.dilation), dtype=np.int64),
        widths=np.array(task.widths, dtype=np.float64),
        outputs=float(dims.B * dims.G * dims.K * dims.OY * dims.OX),
        distinct=_distinct(task, dims),
        held=held,
        tie=TIE * float(costs.first[0].sum()),
        tiles=tiles, splits=parted, shape=own, costs=costs,
        offsets=tiles.offsets(parted.whole),
    )  # fmt: skip


@lru_cache(maxsize=256)
def _held(padded: PaddedRows, dims: Dims) -> Floats:
    """`Ladder.held` of tiles whose inputs come from off the chip."""
    found = held_shares(padded, lattice(dims).vectors)
    return found if (found != 1.0).any() else np.ones((1, 5))


def _distinct(task: Task, dims: Dims) -> Floats:
    """`Ladder.distinct`."""
    own, inputs = task.layer.dims, dims.B * dims.G * dims.C
    for axis, (out, tap) in enumerate(((own.OY, own.FY), (own.OX, own.FX))):  # what they are padded to is nowhere
        inputs *= max(max(out, tap) - sum(task.layer.padding[axis]), 0)
    weights = dims.G * dims.K * dims.C * dims.FY * dims.FX
    return np.array([weights, inputs, dims.B * dims.G * dims.K * dims.OY * dims.OX], dtype=np.float64)


def _inside_of(keep: Ints, level: int, x: int) -> int:
    """The level that keeps an operand inside of another one; -1: the MACs."""
    return max((child for child in holders(keep, x) if child < level), default=-1)


def _instances(keep: Ints, parted: Splits) -> Floats:
    """Copies of the memories of an operand in use, where all splits of a level have as many places. (L, 3)"""
    first = [int(begin) for begin in parted.spans[:-1]]
    places = [float(parted.whole[row].prod()) for row in first]
    found = np.ones(keep.shape)
    for level, x in itertools.product(range(len(keep)), range(3)):
        outside = places[level + 1 :]
        if outside:
            outside[0] /= float(parted.parts[first[level + 1], x].prod())
        found[level, x] = math.prod(outside)
    return found


def _least_shares(chip: Accelerator, dims: Dims, keep: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """`Shape.shares` to `.first_shares`: as if every axis were unrolled as suits an operand best."""
    (shares, beyond, inside), first = (np.ones(keep.shape) for _ in range(3)), np.ones(3)
    for x, operand in enumerate(OPERANDS):
        chain = holders(keep, x)
        for axis, child in itertools.product(chip.axes, (-1, *chain[:-1])):
            parent = next(level for level in chain if level > child)
            at = chip.split_levels[axis.name]
            between = child < at <= parent
            if between and child >= 0 and not _has_copies(chip, child, axis, operand):
                inside[child, x] /= axis.size if operand == "I" else _most_equal(axis, dims, operand)
            elif not axis.multicast:
                continue
            elif child < 0:
                if between or not _has_copies(chip, parent, axis, operand):
                    first[x] /= _most_equal(axis, dims, operand)
            elif between or (parent < at and not _has_copies(chip, parent, axis, operand)):
                shares[child, x] /= _most_equal(axis, dims, operand)
                if at > child + 1:
                    beyond[child, x] /= _most_equal(axis, dims, operand)
    return shares, beyond, inside, first


def _has_copies(chip: Accelerator, level: int, axis: Axis, operand: Operand) -> bool:
    memory = chip.levels[level].memory(operand)
    return memory is not None and axis.name in chip.own_axes(memory)


def _most_equal(axis: Axis, dims: Dims, operand: Operand) -> int:
    """The most places along an axis that may need the same tile of an operand."""
    if operand == "I" and {"FY", "FX"} & set(axis.dims):
        return axis.size  # windows of outputs and filters meet along diagonals
    return min(axis.size, math.prod(dims[dim] for dim in axis.dims if dim not in RELEVANT[operand]))


def _later_reduction(chip: Accelerator, dims: Dims) -> Floats:
    """`Shape.later`."""
    most = np.ones(len(chip.levels))
    for axis in chip.axes:
        reduction = math.prod(dims[dim] for dim in axis.dims if dim in REDUCTION)
        most[: chip.split_levels[axis.name]] *= min(axis.size, reduction)
    return most


def _no_split_left(keep: Ints, parted: Splits) -> Ints:
    """`Shape.near_parent`."""
    num = len(keep)
    rows = [slice(parted.spans[level], parted.spans[level + 1]) for level in range(num)]
    split = [bool((parted.whole[own] > 1).any()) for own in rows]
    near = np.zeros((num, 3), dtype=np.int64)
    for x in range(3):
        inside = [bool((parted.parts[own, x] > 1).any()) for own in rows]
        for level in range(num):
            parent = next(p for p in holders(keep, x) if p >= level)
            later = any(split[level + 1 : parent + 1]) or (parent + 1 < num and inside[parent + 1])
            near[level, x] = not later
    return near
