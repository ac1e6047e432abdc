"""The search space of one layer on one accelerator: tiles, and the numbers that the kernel wants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import copy
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hwmodel.chip.accelerator import Memory
from hwmodel.mapper.counting import BUFFER, OUTPUT, PE, PSUM, WAITS, Floats, Ints, NestInputs
from hwmodel.mapper.ports import port_rows, times
from hwmodel.mapper.space.hierarchy import Hierarchy, Kept, orders_of
from hwmodel.mapper.space.padding import PaddedRows, held_shares, padded_rows
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Dims, Operand
from hwmodel.network.numbers import divisors
from hwmodel.price.priced import mac_energy, moved_fraction
from hwmodel.price.sparsity import Skips
from hwmodel.price.spatial import converter_pj_per_bit, register_fraction

Choices = tuple[tuple[int, ...], ...]


class Grid(NamedTuple):
    """Every vector of one choice per dim.

    Attributes:
        vectors: (V, 8).
        sizes: elements of W, I, O under each (3, V).
        sums: products that each output sums under it (V).
    """

    vectors: Ints
    sizes: Floats
    sums: Ints


@lru_cache(maxsize=128)
def tile_grid(choices: Choices, pace: tuple[int, ...]) -> Grid:
    """Every vector of one choice per dim."""
    axes = np.meshgrid(*[np.array(c, dtype=np.int64) for c in choices], indexing="ij")
    vectors = np.ascontiguousarray(np.stack([a.ravel() for a in axes], axis=1))
    _, _, _, c, _, _, fy, fx = vectors.T
    return Grid(vectors, tile_sizes(vectors, pace), c * fy * fx)


def tile_lengths(vectors: Ints, pace: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Rows and columns of I under tiles (V, 8), whose strides and dilations y and x are the pace. (V) each"""
    _, _, _, _, oy, ox, fy, fx = vectors.T
    return (oy - 1) * pace[0] + (fy - 1) * pace[2] + 1, (ox - 1) * pace[1] + (fx - 1) * pace[3] + 1


def tile_sizes(vectors: Ints, pace: tuple[int, ...]) -> Floats:
    """Elements of W, I and O under tiles. (3, V)"""
    b, g, k, c, oy, ox, fy, fx = vectors.T
    rows, columns = tile_lengths(vectors, pace)
    return np.stack((g * k * c * fy * fx, b * g * c * rows * columns, b * g * k * oy * ox)).astype(np.float64)


@lru_cache(maxsize=128)
def _held_on_grid(choices: Choices, pace: tuple[int, ...], padded: PaddedRows) -> Floats:
    """`held_shares` of every vector of a grid. (V, 5)"""
    return held_shares(padded, tile_grid(choices, pace).vectors)


class Tiles(NamedTuple):
    """Tiles of the buffer.

    Attributes:
        tiles: (T, 8).
        held: (T, 5), of `held_shares`.
    """

    tiles: Ints
    held: Floats


class PricedTiles(NamedTuple):
    """Tiles of the buffer with what they exchange with DRAM.

    Attributes:
        tiles, held: as of `Tiles`.
        values: lower bounds of every metric of their exchange (T, M).
    """

    tiles: Ints
    held: Floats
    values: Floats


class TileSpace:
    """Tiles that fit and the kernel's numbers, from a task whose layer has given (padded) dims."""

    def __init__(self, task: Task, hierarchy: Hierarchy, dims: Dims) -> None:
        self.task, self.hierarchy = task, hierarchy
        self._take(dims)
        self.pace = (*task.layer.stride, *task.layer.dilation)
        self.widths: Floats = np.array(task.widths, dtype=np.float64)
        self.memory: Ints = np.zeros((3, 3), dtype=np.int64)
        self.stored: Floats = np.ones((3, 3))
        for index, level in enumerate(hierarchy.slots[:2]):
            for slot, memory in enumerate(level.memories if level else ()):
                for operand in memory.holds:
                    self.memory[index, OPERANDS.index(operand)] = slot
        self._measure()
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

    def _measure(self) -> None:
        """What depends on the sizes of the memories."""
        self.capacity: Floats = np.full((2, 3), np.inf)
        self.unfinished: Floats = np.zeros(3)
        for index, level in enumerate(Hierarchy.of(self.task.accelerator).slots[:2]):
            for slot, memory in enumerate(level.memories if level else ()):
                self.capacity[index, slot] = self.task.room_bits(memory) / memory.copies
                if index == 1 and self.task.rests("O", memory):
                    self.unfinished[slot] = self.task.unfinished_bits() / memory.copies

    def _take(self, dims: Dims) -> None:
        """What depends on the dims."""
        self.dims, self.bounds, self.padded = dims, dims.values_tuple, padded_rows(self.task, dims)
        #: By what the buffer keeps, and by the number of metrics (`hwmodel.mapper.space.exchange`).
        self.priced: dict[tuple[frozenset[Operand], int], PricedTiles] = {}

    def with_dims(self, dims: Dims) -> TileSpace:
        """The same for other (padded) dims."""
        other = copy(self)
        other._take(dims)
        return other

    def within(self, task: Task) -> TileSpace:
        """The same in other sizes of the memories: those of a task that differs in nothing else."""
        other = copy(self)
        other.task = task
        other._measure()
        other._take(self.dims)
        return other

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

    @property
    def choices(self) -> Choices:
        """Sizes of a tile of the buffer, dim by dim."""
        looped = self.loops[1] if self.hierarchy.buffer else np.zeros(8)
        return tuple(divisors(b) if free else (b,) for free, b in zip(looped, self.bounds, strict=True))

    def register_tiles(self, kept: frozenset[Operand]) -> Ints:
        """Divisor vectors that fit the registers of a PE, over the dims that may be looped there. (R, 8)"""
        level = self.hierarchy.registers
        if level is None:
            return np.ones((1, 8), dtype=np.int64)
        choices = tuple(
            divisors(b) if d in level.temporal_dims else (1,) for d, b in zip(DIM_NAMES, self.bounds, strict=True)
        )
        vectors, sizes, _ = tile_grid(choices, self.pace)
        fits = np.ones(len(vectors), dtype=np.bool_)
        for slot in np.flatnonzero(self.capacity[PE] < math.inf):
            held = [x for x, o in enumerate(OPERANDS) if o in kept and self.memory[PE, x] == slot]
            widths = self.widths[[0, 1, PSUM]]
            fits &= sum((sizes[x] * widths[x] for x in held), start=np.zeros(len(fits))) <= self.capacity[PE, slot]
        return vectors[fits]

    def grid(self) -> Tiles:
        """All tiles of the buffer, of whatever size."""
        return Tiles(tile_grid(self.choices, self.pace)[0], _held_on_grid(self.choices, self.pace, self.padded))

    def needs(self, kept: frozenset[Operand], slot: int) -> Floats:
        """What every tile of the grid takes at least of a memory of a buffer that keeps these operands [bit]. (V)

        Of all that sum less than their outputs need these are unfinished.
        """
        _, sizes, sums = tile_grid(self.choices, self.pace)
        parts = sums < self.dims.C * self.dims.FY * self.dims.FX
        widths = (*self.widths[:OUTPUT], np.where(parts, self.widths[PSUM], self.widths[OUTPUT]))
        held = [x for x, o in enumerate(OPERANDS) if o in kept and self.memory[BUFFER, x] == slot]
        found: Floats = sum((sizes[x] * widths[x] for x in held), start=parts * self.unfinished[slot])
        return found

    def buffer_tiles(self, kept: frozenset[Operand]) -> Tiles:
        """Tiles that may fit the buffer; where sums are whole the kernel checks whether they are finished."""
        tiles = self.grid()
        if self.hierarchy.buffer is None:
            return tiles
        fits = np.ones(len(tiles.tiles), dtype=np.bool_)
        for slot in np.flatnonzero(self.capacity[BUFFER] < math.inf):
            fits &= self.needs(kept, int(slot)) <= self.capacity[BUFFER, slot]
        return tiles if fits.all() else Tiles(tiles.tiles[fits], tiles.held[fits])
