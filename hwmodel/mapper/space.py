"""The search space of one layer on one accelerator: tiles, unrollings, and the numbers that the kernel wants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.errors import MappingError
from hwmodel.mapper.counting import ORDERS, WAITS, Floats, Ints, NestInputs
from hwmodel.mapper.ports import port_rows, times
from hwmodel.nest.mapping import Loop
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, DimName, Dims, Operand
from hwmodel.network.numbers import divisors, round_up
from hwmodel.network.padding import Rows
from hwmodel.price.priced import mac_energy, moved_fraction
from hwmodel.price.sparsity import Skips
from hwmodel.price.spatial import converter_pj_per_bit, register_fraction

Kept = tuple[frozenset[Operand], frozenset[Operand]]


def is_deep(accelerator: Accelerator) -> bool:
    """A chip for `hwmodel.mapper.deep`: more levels than three slots, memories or places along axes alone."""
    inner = sum(level.per_pe for level in accelerator.levels)
    alone = any(not axis.multicast for axis in accelerator.axes)
    return alone or accelerator.has_clusters or inner > 1 or len(accelerator.levels) - inner > 2


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """An accelerator's levels in the three slots of the kernel; None where it has none."""

    registers: Level | None
    buffer: Level | None
    outer: Level

    @property
    def slots(self) -> tuple[Level | None, Level | None, Level]:
        return (self.registers, self.buffer, self.outer)

    @classmethod
    def of(cls, accelerator: Accelerator) -> Hierarchy:
        """The levels of an accelerator.

        Raises:
            MappingError: it has more than one level per PE or more than two shared ones.
        """
        inner = [level for level in accelerator.levels if level.per_pe]
        shared = [level for level in accelerator.levels if not level.per_pe]
        if len(inner) > 1 or len(shared) > 2:
            raise MappingError(
                f"accelerator {accelerator.name!r}: the mapper takes at most one level per PE and two shared "
                f"levels, but got {len(inner)} and {len(shared)}. Put memories that stand side by side into "
                "one `level:`."
            )
        return cls(
            registers=inner[0] if inner else None, buffer=shared[0] if len(shared) == 2 else None, outer=shared[-1]
        )

    def choices(self, task: Task) -> list[Kept]:
        """What registers and buffer may keep: every subset of the operands that may bypass, left out.

        The buffer keeps no tile of what lies in it whole (Lemma 12 of docs/explain/mapper.md).
        """
        return list(itertools.product(kept_choices(self.registers, task), kept_choices(self.buffer, task)))


def kept_choices(level: Level | None, task: Task) -> list[frozenset[Operand]]:
    """What a level may keep a tile of: every subset of the operands that may bypass it, left out."""
    if level is None:
        return [frozenset()]
    held = frozenset(o for memory in level.memories for o in memory.holds if not task.rests(o, memory))
    free = [operand for operand in level.bypass if operand in held]
    return [held - frozenset(out) for n in range(len(free) + 1) for out in itertools.combinations(free, n)]


def padded_bounds(bound: int, size: int) -> list[int]:
    """Bounds to which a dim may be padded on an axis: each that no other beats in passes and padding.

    A shorter part of the axis may pad less in more passes, and a longer axis offers that as a shorter one does.
    """
    found: list[int] = []
    for used in range(min(size, bound), 1, -1):
        passes = math.ceil(bound / used)
        padded = passes * math.ceil(bound / passes)
        if padded == bound:
            break
        if not found or padded < found[-1]:
            found.append(padded)
    return found


@lru_cache(maxsize=256)
def padded_variants(dims: Dims, axes: tuple[Axis, ...]) -> list[tuple[Dims, dict[DimName, int]]]:
    """The dims, and variants in which one dim per axis is padded to fill the axis better.

    With each come the dims that were padded and their original bounds.
    """
    options: list[list[tuple[DimName, int] | None]] = []
    for axis in axes:
        found: list[tuple[DimName, int] | None] = [None]
        for dim in axis.dims:
            found += [(dim, bound) for bound in padded_bounds(dims[dim], axis.size)]
        options.append(found)
    variants: dict[Dims, dict[DimName, int]] = {}
    for combination in itertools.product(*options):
        chosen = {dim: bound for item in combination if item for dim, bound in [item]}
        variants[replace(dims, **chosen)] = {dim: dims[dim] for dim in chosen}
    return list(variants.items())


@lru_cache(maxsize=256)
def unrollings(
    axes: tuple[Axis, ...], dims: Dims, original: tuple[tuple[DimName, int], ...], diagonal: bool
) -> tuple[Ints, Ints]:
    """Factors per dim across the PEs (S, 8), and on each axis (S, axes, 8).

    original: dims that were padded, with their bounds before. With `diagonal` the split over axes makes no
    difference, and one stands for all.
    """
    total, parts = np.ones((1, 8), dtype=np.int64), np.zeros((1, 0, 8), dtype=np.int64)
    bounds = np.array(dims.values_tuple, dtype=np.int64)
    for axis in axes:
        part = _axis_factors(axis, dims)
        joined = (total[:, None, :] * part[None, :, :]).reshape(-1, 8)
        fits = (bounds % joined == 0).all(axis=1)
        number = np.arange(len(joined))[fits]
        joined = joined[fits]
        if diagonal:
            _, first = np.unique(joined @ _weights(bounds), return_index=True)
            joined, number = joined[first], number[first]
        before, new = parts[number // len(part)], part[number % len(part)]
        total, parts = joined, np.concatenate((before, new[:, None, :]), axis=1)
    for dim, bound in original:
        factor = total[:, DIM_NAMES.index(dim)]
        good = round_up(bound, factor) == dims[dim]
        total, parts = total[good], parts[good]
    return np.ascontiguousarray(total), np.ascontiguousarray(parts)


def _weights(bounds: Ints) -> Ints:
    """Place values that make the factors of the bounds one number."""
    return np.concatenate(([1], np.cumprod(bounds + 1)[:-1]))


def _axis_factors(axis: Axis, dims: Dims) -> Ints:
    """Factors of the dims of one axis whose product fits it. (n, 8)"""
    found = np.ones((1, 8), dtype=np.int64)
    for dim in dict.fromkeys(axis.dims):
        choices = [d for d in divisors(dims[dim]) if d <= axis.size]
        grown = np.repeat(found, len(choices), axis=0)
        grown[:, DIM_NAMES.index(dim)] = np.tile(choices, len(found))
        found = grown[grown.prod(axis=1) <= axis.size]
    for dim in axis.full:
        index = DIM_NAMES.index(dim)
        found = found[found[:, index] == dims[dim]]
    return found


def axis_loops(axes: tuple[Axis, ...], parts: Ints) -> tuple[Loop, ...]:
    """Loops across the PEs of one unrolling (axes, 8), the first axis outermost."""
    return tuple(
        Loop(dim, int(bound), axis.name)
        for axis, part in zip(axes, parts, strict=True)
        for dim, bound in zip(DIM_NAMES, part, strict=True)
        if bound > 1
    )


Choices = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=128)
def tile_grid(choices: Choices, pace: tuple[int, ...]) -> tuple[Ints, Floats]:
    """Every vector of one choice per dim (V, 8), and the elements of W, I, O under it (V, 3)."""
    axes = np.meshgrid(*[np.array(c, dtype=np.int64) for c in choices], indexing="ij")
    vectors = np.ascontiguousarray(np.stack([a.ravel() for a in axes], axis=1))
    b, g, k, c, oy, ox, fy, fx = vectors.T
    rows = (oy - 1) * pace[0] + (fy - 1) * pace[2] + 1
    columns = (ox - 1) * pace[1] + (fx - 1) * pace[3] + 1
    sizes = np.stack((g * k * c * fy * fx, b * g * c * rows * columns, b * g * k * oy * ox), axis=1)
    return vectors, sizes.astype(np.float64)


class Tiles(NamedTuple):
    """Tiles of the buffer.

    Attributes:
        tiles: (T, 8).
        held: (T, 5), of `TileSpace.held`.
        values: lower bounds of every metric of their exchange with DRAM (T, M).
        least: of each metric (M).
    """

    tiles: Ints
    held: Floats
    values: Floats
    least: Floats


class TileSpace:
    """Tiles that fit and the kernel's numbers, from a task whose layer has given (padded) dims."""

    def __init__(self, task: Task, hierarchy: Hierarchy, dims: Dims) -> None:
        self.task, self.hierarchy = task, hierarchy
        self.dims, self.bounds = dims, dims.values_tuple
        self.pace = (*task.layer.stride, *task.layer.dilation)
        self.widths: Floats = np.array(task.widths, dtype=np.float64)
        self.memory: Ints = np.zeros((3, 3), dtype=np.int64)
        self.stored: Floats = np.ones((3, 3))
        self.capacity: Floats = np.full((2, 3), np.inf)
        self.unfinished: Floats = np.zeros(3)
        for index, level in enumerate(hierarchy.slots[:2]):
            for slot, memory in enumerate(level.memories if level else ()):
                self.capacity[index, slot] = task.room_bits(memory) / memory.copies
                if index == 1 and task.rests("O", memory):
                    self.unfinished[slot] = task.unfinished_bits() / memory.copies
                for operand in memory.holds:
                    self.memory[index, OPERANDS.index(operand)] = slot
        for index, operand, memory in self._kept():
            x = OPERANDS.index(operand)
            self.stored[index, x] = moved_fraction(task, memory, operand)
            if index == 2 and operand == "I" and task.stay.i_bits is not None:
                self.stored[index, x] *= task.stay.i_bits / task.widths.i
        outer = hierarchy.outer
        inner = hierarchy.buffer or outer
        self.inner, self.outer = orders_of(inner), orders_of(outer)
        self.register_order = orders_of(hierarchy.registers or inner)[-1]
        self.loops: Ints = np.array(
            [[d in level.temporal_dims for d in DIM_NAMES] for level in (inner, outer)], dtype=np.int64
        )
        bounding, sides = port_rows(self._kept())
        self.rows, self.num_bounds = bounding + sides, WAITS + 1 + len(bounding)
        self.energy, self.skips = self._energies(), Skips.of(task)
        self.priced_tiles: dict[tuple[frozenset[Operand], int], Tiles] = {}

    def _kept(self) -> Iterator[tuple[int, Operand, Memory]]:
        """(slot of the level, operand, memory) of all that may be kept; in the outermost slot, its home."""
        for index, level in enumerate(self.hierarchy.slots):
            for memory in level.memories if level else ():
                for operand in memory.holds:
                    yield index, operand, self.task.home(operand) if index == 2 else memory

    def _energies(self) -> Floats:
        """Energy of a bit read, updated and filled per level and operand [pJ]. (1, 3, 3, 3)"""
        energy = np.zeros((3, 3, 3))
        for index, operand, memory in self._kept():
            x = OPERANDS.index(operand)
            active = 1.0 if index else register_fraction(self.task, operand)
            energy[index, x] = (
                active * memory.read_pj_per_bit, active * memory.write_pj_per_bit, memory.write_pj_per_bit
            )  # fmt: skip
        return energy[None]

    def _converters(self, holds: Ints) -> Floats:
        """What converters add to the energies of a bit of I that enters the array and of O that leaves it [pJ].

        (1, 3, 3, 3), at the level that the array takes I from and gives O to.
        """
        more = np.zeros((1, 3, 3, 3))
        for x, operand in enumerate(OPERANDS):
            slot = 1 if holds[1, x] else 2
            more[0, slot, x, :2] = converter_pj_per_bit(self.task, operand, at_home=slot == 2)
        return more

    def nest(self, kept: Kept, networks: Ints) -> NestInputs:
        """What the kernel works on when registers and buffer keep these operands. networks: (S, n, 8)."""
        holds = np.array([[operand in level for operand in OPERANDS] for level in kept], dtype=np.int64)
        widths, timing = self.task.widths, self.task.accelerator.timing
        time = times(self.task, self.rows, self.hierarchy.slots, holds, self.widths, self.stored)
        skipped = {operand: density for operand, density, _ in self.skips.operands}
        rate = self.task.accelerator.precision.macs_per_cycle(widths.w, widths.i)
        return NestInputs(
            bounds=np.array(self.bounds, dtype=np.int64),
            pace=np.array(self.pace, dtype=np.int64),
            holds=holds,
            widths=self.widths,
            stored=self.stored,
            cost=np.concatenate((self.energy + self._converters(holds), time.cost)),
            kind=time.kind,
            edges=time.edges,
            memory=self.memory,
            capacity=self.capacity[1],
            unfinished=self.unfinished,
            loops=self.loops,
            inner=np.array(self.inner, dtype=np.int64),
            outer=np.array(self.outer, dtype=np.int64),
            rate=rate,
            array_steps=float(timing.steps(self.task.layer) or 0),
            skipped=np.array([skipped.get("W", 2.0), skipped.get("I", 2.0), self.skips.both if skipped else 2.0]),
            balanced=self.skips.balanced,
            least_cycles=float(timing.least_cycles(self.task.layer, widths.w, widths.i)),
            base_pj=mac_energy(self.task),
            networks=networks,
        )

    def register_tiles(self, kept: frozenset[Operand]) -> Ints:
        """Divisor vectors that fit the registers of a PE, over the dims that may be looped there. (R, 8)"""
        level = self.hierarchy.registers
        if level is None:
            return np.ones((1, 8), dtype=np.int64)
        choices = tuple(
            divisors(b) if d in level.temporal_dims else (1,) for d, b in zip(DIM_NAMES, self.bounds, strict=True)
        )
        vectors, sizes = tile_grid(choices, self.pace)
        return np.ascontiguousarray(vectors[self._fitting(sizes, 0, self.widths[[0, 1, 3]], kept)])

    def buffer_tiles(self, kept: frozenset[Operand]) -> Ints:
        """Tiles that fit the buffer with finished outputs; the kernel checks unfinished ones. (T, 8)"""
        looped = self.loops[1] if self.hierarchy.buffer else np.zeros(8)
        choices = tuple(divisors(b) if free else (b,) for free, b in zip(looped, self.bounds, strict=True))
        vectors, sizes = tile_grid(choices, self.pace)
        if self.hierarchy.buffer is None:
            return vectors
        return np.ascontiguousarray(vectors[self._fitting(sizes, 1, self.widths[:3], kept)])

    def held(self, tiles: Ints) -> Floats:
        """Shares of the words of I of tiles (T, 8) that the outermost memory holds: zeros around it are nowhere.

        (T, 5): where nothing slides, and where the loop over OY, OX, FY or FX does, so that neighbours that touch
        are one tile.
        """
        return held_shares(self.task, self.dims, tiles)

    def _fitting(self, sizes: Floats, level: int, widths: Floats, kept: frozenset[Operand]) -> np.ndarray:
        fits = np.ones(len(sizes), dtype=np.bool_)
        for slot in range(3):
            held = [x for x, o in enumerate(OPERANDS) if o in kept and self.memory[level, x] == slot]
            if held and self.capacity[level, slot] < math.inf:
                fits &= sizes[:, held] @ widths[held] <= self.capacity[level, slot]
        return fits


def held_shares(task: Task, dims: Dims, tiles: Ints) -> Floats:
    """`TileSpace.held` of a task whose layer has given (padded) dims."""
    shares, layer = np.ones((len(tiles), 5)), task.layer
    names: tuple[tuple[DimName, DimName], ...] = (("OY", "FY"), ("OX", "FX"))
    for axis, (out, tap) in enumerate(names):
        pace = layer.stride[axis], layer.dilation[axis]
        before, after = layer.padding[axis]
        after += pace[0] * (dims[out] - layer.dims[out]) + pace[1] * (dims[tap] - layer.dims[tap])
        if not before + after or not task.skips_padding:
            continue
        table = _held_shares(Rows(dims[out], dims[tap], *pace, before, after))
        rows = np.searchsorted(divisors(dims[out]), tiles[:, 4 + axis])
        found = table[rows, np.searchsorted(divisors(dims[tap]), tiles[:, 6 + axis])]
        columns = [0, 1 + axis, 3 + axis]
        still = [column for column in range(5) if column not in columns]
        shares[:, columns] *= found
        shares[:, still] *= found[:, :1]
    return shares


@lru_cache(maxsize=1024)
def _held_shares(rows: Rows) -> Floats:
    """Stored share of the rows of all tiles: as they are, and with those along the outputs or the filter as one.

    By the places of their outputs and filter rows among the divisors of the bounds, (n, m, 3).
    """
    bare = replace(rows, before=0, after=0)
    outputs, taps = divisors(rows.outputs), divisors(rows.taps)
    shares = np.empty((len(outputs), len(taps), 3))
    for (n, tile), (m, tap) in itertools.product(enumerate(outputs), enumerate(taps)):
        length = (tile - 1) * rows.stride + (tap - 1) * rows.dilation + 1
        along = rows.outputs if tile * rows.stride <= length else tile
        across = rows.taps if tap * rows.dilation <= length else tap
        for k, (t, u) in enumerate(((tile, tap), (along, tap), (tile, across))):
            shares[n, m, k] = rows.covered(t, u) / bare.covered(t, u)
    return shares


def orders_of(level: Level) -> tuple[tuple[int, ...], ...]:
    """Loop orders to try at a level, outer to inner: its own, or the five that stand for all."""
    if not level.order:
        return tuple(tuple(int(d) for d in order) for order in ORDERS)
    named = [DIM_NAMES.index(d) for d in level.order]
    return (tuple([d for d in range(8) if d not in named] + named),)
