"""One layer on a chip of any number of levels, as the numbers that the walk wants.

Everything is indexed by level, innermost first, and by operand [W, I, O]. A *hop* of an operand goes from a level
that keeps it to the next one outward that does; that into the first is the MAC's own. A *split* is what the axes
between two levels unroll.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Axis, Memory
from hwmodel.mapper.counting import Floats, Ints
from hwmodel.mapper.space import divisors, held_shares, unrollings
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, REDUCTION, RELEVANT, DimName, Dims, Operand
from hwmodel.price.spatial import moved_fraction, register_fraction

#: What every level keeps of the operands, innermost first.
Kept = tuple[frozenset[Operand], ...]
#: Of equal energies the mapping that unrolls more is taken: twice the PEs count as this share of the arithmetic.
TIE = 1e-10


class Ladder(NamedTuple):
    """What the walk knows.

    Attributes:
        bounds: (8) loop bounds N.
        pace: (4) stride y, x and dilation y, x.
        widths: (4) of w, i, o, acc [bit].
        vectors: (V, 8) every tile, a divisor of N in each dim; multiples stand behind what they are multiples of.
        coords: (J, 3) dim, prime and the distance in `vectors` of a tile that is larger by it.
        factors: (F, 2) divisors above 1 of the bounds, dim by dim, and their distance in `vectors`.
        steps: (9) where the divisors of a dim begin among them.
        keep: (L, 3) 1 where the level keeps the operand.
        loops: (L, 8) 1 where the level may loop over the dim.
        slot: (L, 3) memory of the operand at the level.
        capacity: (L, 3) of these memories [bit], halved where double buffered.
        first_outputs: the level that takes the sums of the MACs.
        last_inputs: the shared level that fetches I from the outermost memory, -1 where none does.
        wide_sums: 1 where unfinished sums are wider than finished ones in some level but the first.
        first, first_shares: (3) cost of what the MACs ask for if no split shares it; the least share that is left.
        near, far: (L, 3) cost of a word of the hop out of a level, at the level and at its parent.
        saved: (L) cost of the first visits of all outputs, which `near` and `far` count and which move nothing.
        near_parent: (L, 3) 1 where no split is left before the parent of the open hop once that of the level is done.
        outputs: words of O.
        most_saved: (L) the most that splits outside of the level may multiply first visits by.
        arrival: (L) the most that first visits may spare of the hop of O that arrives at or outside of the level next.
        shares, inside: (L, 3) the least share of the reads of the hop out of a level that splits on the way to its
            parent leave, and that of its words which splits inside of the memory do.
        grows: (L, 8) 1 where the level loops over the dim or the axes below it unroll it.
        tie: taken off per doubling of the places of a split.
        held: (V, 5) or (1, 5) as `TileSpace.held`.
        spans: (L + 1) where the splits below a level begin.
        whole: (S, 8) their factors. offsets: (S) distance in `vectors`.
        own, inner: (S, 3, n, 8) factors outside and inside of the copies of the operand's memory below, by network.
        alone, inner_alone: (S, 3) places of them that are served by themselves.
        parts: (S, 3, 8) factors inside of the copies of the memory.
        reductions: (S, 2) places that add into the same outputs: of all, and outside of the copies of O's memory.
    """

    bounds: Ints
    pace: Ints
    widths: Floats
    vectors: Ints
    coords: Ints
    factors: Ints
    steps: Ints
    keep: Ints
    loops: Ints
    slot: Ints
    capacity: Floats
    first_outputs: int
    last_inputs: int
    wide_sums: int
    first: Floats
    first_shares: Floats
    near: Floats
    far: Floats
    saved: Floats
    near_parent: Ints
    outputs: float
    most_saved: Floats
    arrival: Floats
    shares: Floats
    inside: Floats
    grows: Ints
    tie: float
    held: Floats
    spans: Ints
    whole: Ints
    offsets: Ints
    own: Ints
    inner: Ints
    alone: Ints
    inner_alone: Ints
    parts: Ints
    reductions: Ints


class Lattice(NamedTuple):
    """The divisors of all bounds, as `Ladder` has them."""

    vectors: Ints
    coords: Ints
    factors: Ints
    steps: Ints

    def offset(self, factors: Ints) -> int:
        """Distance of a tile that is larger by these factors."""
        total = 0
        for dim, factor in enumerate(factors.tolist()):
            if factor > 1:
                rows = self.factors[self.steps[dim] : self.steps[dim + 1]]
                total += int(rows[rows[:, 0] == factor, 1][0])
        return total


def lattice(dims: Dims) -> Lattice:
    """Every vector of one divisor per bound."""
    coords: list[tuple[int, int, int, int]] = []
    stride = 1
    for dim, bound in enumerate(dims.values_tuple):
        for prime, power in _prime_powers(bound):
            coords.append((dim, prime, power, stride))
            stride *= power + 1
    vectors = np.ones((stride, 8), dtype=np.int64)
    for dim, prime, power, step in coords:
        vectors[:, dim] *= prime ** (np.arange(stride) // step % (power + 1))
    factors, steps = [], [0]
    for dim, bound in enumerate(dims.values_tuple):
        own = [(prime, step) for d, prime, _, step in coords if d == dim]
        for divisor in divisors(bound)[1:]:
            factors.append((divisor, sum(_power(divisor, prime) * step for prime, step in own)))
        steps.append(len(factors))
    return Lattice(
        vectors,
        np.array([(dim, prime, step) for dim, prime, _, step in coords], dtype=np.int64).reshape(-1, 3),
        np.array(factors, dtype=np.int64).reshape(-1, 2),
        np.array(steps, dtype=np.int64),
    )


def _prime_powers(number: int) -> Iterator[tuple[int, int]]:
    prime = 2
    while number > 1:
        if prime * prime > number:
            prime = number
        if power := _power(number, prime):
            yield prime, power
            number //= prime**power
        prime += 1


def _power(number: int, prime: int) -> int:
    power = 0
    while number % prime == 0:
        number, power = number // prime, power + 1
    return power


class Splits(NamedTuple):
    """As the attributes of `Ladder` of the same names; `parts_of` (S, axes, 8) are the factors on each axis."""

    spans: Ints
    whole: Ints
    own: Ints
    inner: Ints
    alone: Ints
    inner_alone: Ints
    parts: Ints
    reductions: Ints
    parts_of: Ints


_REDUCED = [DIM_NAMES.index(dim) for dim in DIM_NAMES if dim in REDUCTION]


def splits(accelerator: Accelerator, dims: Dims, padded: dict[str, tuple[DimName, int]]) -> Splits:
    """Every split below every level.

    padded: axis -> the dim that is padded to fill it, and its bound before.
    """
    axes, diagonal = accelerator.axes, accelerator.diagonal
    collected: list[tuple[Ints, ...]] = []
    spans = [0]
    for level in range(len(accelerator.levels)):
        here = tuple(axis for axis in axes if accelerator.split_levels[axis.name] == level)
        below = accelerator.levels[level - 1].memories if level else ()
        alike = len({tuple(axis.name in accelerator.own_axes(m) for m in below) for axis in here}) <= 1
        merged = diagonal and alike and all(axis.multicast for axis in here) and not padded
        _, parts = unrollings(here, dims, (), merged)
        for number, axis in enumerate(here):
            if axis.name in padded:
                dim, bound = padded[axis.name]
                factor = parts[:, number, DIM_NAMES.index(dim)]
                parts = parts[-(-bound // factor) * factor == dims[dim]]
        collected.append(_of_level(accelerator, here, below, parts))
        spans.append(spans[-1] + len(parts))
    joined = [np.concatenate(columns) for columns in zip(*collected, strict=True)]
    return Splits(np.array(spans, dtype=np.int64), *joined)


def _of_level(
    accelerator: Accelerator, here: tuple[Axis, ...], below: tuple[Memory, ...], parts: Ints
) -> tuple[Ints, ...]:
    """The splits of one level: as `Splits` from `whole` on. parts: (S, axes of the level, 8)."""
    axes = accelerator.axes
    number, place = len(parts), {axis.name: n for n, axis in enumerate(axes)}
    on_axes = np.ones((number, len(axes), 8), dtype=np.int64)
    for n, axis in enumerate(here):
        on_axes[:, place[axis.name]] = parts[:, n]
    networks = 1 if accelerator.diagonal else max(len(axes), 1)
    sides = [(np.ones((number, 3, networks, 8), np.int64), np.ones((number, 3), np.int64)) for _ in range(2)]
    inside = np.ones((number, 3, 8), dtype=np.int64)
    reductions = np.ones((number, 2), dtype=np.int64)
    for x, operand in enumerate(OPERANDS):
        memory = next((m for m in below if operand in m.holds), None)
        for axis in here:
            factors = on_axes[:, place[axis.name]]
            own = memory is None or axis.name in accelerator.own_axes(memory)
            shares, alone = sides[0 if own else 1]
            if axis.multicast:
                shares[:, x, 0 if accelerator.diagonal else place[axis.name]] *= factors
            else:
                alone[:, x] *= factors.prod(axis=1)
            if not own:
                inside[:, x] *= factors
            elif operand == "O":
                reductions[:, 1] *= factors[:, _REDUCED].prod(axis=1)
    whole = on_axes.prod(axis=1)
    reductions[:, 0] = whole[:, _REDUCED].prod(axis=1)
    (own_networks, own_alone), (inner_networks, inner_alone) = sides
    return whole, own_networks, inner_networks, own_alone, inner_alone, inside, reductions, on_axes


class Costs(NamedTuple):
    """Of a bit, per level and operand: read, updated and filled; of what the MACs take, gating included.

    Attributes:
        read, update, fill: (L, 3) [pJ/bit].
        stored: (L, 3) compressed over dense bits; of O of finished outputs.
        active: (L, 3) the share of the accesses by MACs that zeros leave.
    """

    read: Floats
    update: Floats
    fill: Floats
    stored: Floats
    active: Floats


def energies(task: Task) -> Costs:
    """Energies of accesses, as `hwmodel.price.spatial` charges them."""
    levels = task.accelerator.levels
    read, update, fill, stored, active = (np.ones((len(levels), 3)) for _ in range(5))
    for index, level in enumerate(levels):
        for operand in level.holds:
            memory, x = level.memory(operand), OPERANDS.index(operand)
            assert memory is not None  # it holds the operand
            if index == len(levels) - 1:
                memory = task.home(operand)
            read[index, x], update[index, x] = memory.read_pj_per_bit, memory.write_pj_per_bit
            fill[index, x] = memory.write_pj_per_bit
            stored[index, x] = moved_fraction(task, memory, operand)
            if index == len(levels) - 1 and operand == "I" and task.stay.i_bits is not None:
                stored[index, x] *= task.stay.i_bits / task.widths.i
            if level.per_pe:
                active[index, x] = register_fraction(task, operand)
    return Costs(read, update, fill, stored, active)


def holders(keep: Ints, x: int) -> list[int]:
    """Levels that keep an operand, innermost first."""
    return [int(level) for level in np.flatnonzero(keep[:, x])]


def build(task: Task, dims: Dims, kept: Kept, cost: Costs, tiles: Lattice, parted: Splits) -> Ladder:
    """The ladder of a task whose layer has given (padded) dims and whose levels keep given operands."""
    chip = task.accelerator
    num, widths = len(chip.levels), np.array(task.widths, dtype=np.float64)
    bounds = np.array(dims.values_tuple, dtype=np.int64)
    volume = float(math.prod(dims.values_tuple))
    keep = np.array([[operand in level for operand in OPERANDS] for level in kept], dtype=np.int64)
    slot, capacity = np.zeros((num, 3), np.int64), np.full((num, 3), math.inf)
    for index, level in enumerate(chip.levels[:-1]):
        for place, memory in enumerate(level.memories):
            capacity[index, place] = task.room_bits(memory) / memory.copies
            for operand in memory.holds:
                slot[index, OPERANDS.index(operand)] = place
    near, far, first = np.zeros((num, 3)), np.zeros((num, 3)), np.zeros(3)
    saved, arrived = np.zeros(num), np.zeros(num)
    outputs = float(dims.B * dims.G * dims.K * dims.OY * dims.OX)
    for x in range(3):
        chain = holders(keep, x)
        own, top = (widths[3] if x == 2 else widths[x]), chain[0]
        for child, parent in itertools.pairwise(chain):
            near[child, x] = own * cost.fill[child, x] * (1.0 if x == 2 else cost.stored[child, x])
            far[child, x] = own * _taken(cost, parent, x)
        first[x] = volume * own * cost.active[top, x] * _taken(cost, top, x)
    chain = holders(keep, 2)
    for index in chain:
        again = widths[3] * cost.read[index, 2] * (cost.active[index, 2] if index == chain[0] else 1.0)
        finished = cost.update[index, 2] * (widths[3] - widths[2] * cost.stored[index, 2])
        arrived[index] = outputs * (again + (0.0 if index == chain[0] else finished))
        saved[index] = arrived[index] + outputs * near[index, 2]
    constant, arrived[-1] = float(saved[-1]), 0.0
    later = _later_reduction(chip, dims)
    nexts = [next(p for p in chain if p >= index) for index in range(num)]
    shares, inside, first_shares = _least_shares(chip, dims, keep)
    loops = np.array([[dim in level.temporal_dims for dim in DIM_NAMES] for level in chip.levels], dtype=np.int64)
    grows = loops.copy()
    for axis in chip.axes:
        for dim in axis.dims:
            grows[chip.split_levels[axis.name], DIM_NAMES.index(dim)] = 1
    last = max(holders(keep, 1)[:-1], default=-1)
    last_inputs = last if last >= chip.shared_level and task.skips_padding else -1
    held = held_shares(task, dims, tiles.vectors) if last_inputs >= 0 else np.ones((1, 5))
    return Ladder(
        bounds=bounds,
        pace=np.array((*task.layer.stride, *task.layer.dilation), dtype=np.int64),
        widths=widths,
        vectors=tiles.vectors, coords=tiles.coords, factors=tiles.factors, steps=tiles.steps,
        keep=keep,
        loops=loops,
        slot=slot, capacity=capacity,
        first_outputs=holders(keep, 2)[0], last_inputs=last_inputs,
        wide_sums=int(widths[3] != widths[2] and len(holders(keep, 2)) > 2),
        first=first, first_shares=first_shares, near=near, far=far, saved=saved,
        near_parent=_no_split_left(chip, keep, parted),  outputs=outputs, most_saved=later, arrival=arrived[nexts] * later[nexts], shares=shares, inside=inside,
        grows=grows,
        tie=TIE * float(first.sum()),
        held=held if (held != 1.0).any() else np.ones((1, 5)),
        spans=parted.spans, whole=parted.whole,
        offsets=np.array([tiles.offset(row) for row in parted.whole], dtype=np.int64),
        own=parted.own, inner=parted.inner, alone=parted.alone, inner_alone=parted.inner_alone, parts=parted.parts,
        reductions=parted.reductions,
    )  # fmt: skip


def _taken(cost: Costs, level: int, x: int) -> float:
    """Energy of a bit that a level gives (of O: gives and takes) to what lies inside of it, compression included."""
    if x == 2:
        return float(cost.read[level, x] + cost.update[level, x])
    return float(cost.read[level, x] * cost.stored[level, x])


def _least_shares(chip: Accelerator, dims: Dims, keep: Ints) -> tuple[Floats, Floats, Floats]:
    """`Ladder.shares`, `.inside` and `.first_shares`: as if every axis were unrolled as suits an operand best."""
    shares, inside, first = np.ones((len(keep), 3)), np.ones((len(keep), 3)), np.ones(3)
    for x, operand in enumerate(OPERANDS):
        for axis in chip.axes:
            top = holders(keep, x)[0]
            memory = chip.levels[top].memory(operand)
            assert memory is not None  # it holds the operand
            if axis.multicast and (chip.split_levels[axis.name] <= top or axis.name not in chip.own_axes(memory)):
                first[x] /= _most_equal(axis, dims, operand)
        for child, parent in itertools.pairwise(holders(keep, x)):
            memory = chip.levels[child].memory(operand)
            assert memory is not None  # it holds the operand
            for axis in chip.axes:
                if not child < chip.split_levels[axis.name] <= parent or not axis.multicast:
                    continue
                if axis.name in chip.own_axes(memory):
                    shares[child, x] /= _most_equal(axis, dims, operand)
                else:
                    inside[child, x] /= axis.size if operand == "I" else _most_equal(axis, dims, operand)
    return shares, inside, first


def _most_equal(axis: Axis, dims: Dims, operand: Operand) -> int:
    """The most places along an axis that may need the same tile of an operand."""
    if operand == "I" and {"FY", "FX"} & set(axis.dims):
        return axis.size  # windows of outputs and filters meet along diagonals
    return min(axis.size, math.prod(dims[dim] for dim in axis.dims if dim not in RELEVANT[operand]))


def _later_reduction(chip: Accelerator, dims: Dims) -> Floats:
    """The most places that add into the same outputs, of the splits outside of each level. (L)"""
    most = np.ones(len(chip.levels))
    for axis in chip.axes:
        reduction = math.prod(dims[dim] for dim in axis.dims if dim in REDUCTION)
        most[: chip.split_levels[axis.name]] *= min(axis.size, reduction)
    return most


def _no_split_left(chip: Accelerator, keep: Ints, parted: Splits) -> Ints:
    """`Ladder.near_parent`."""
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
