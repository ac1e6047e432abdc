"""The best mapping of a layer: every divisor tiling, unrolling and order of a three-level hierarchy.

Levels are one register level per PE (or none), one shared buffer (or none) and the outermost memory. Dims
that do not divide the array may be padded to fill it. `kernel.search` visits the space with lower bounds, so
the result is its optimum.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from hwmodel import kernel
from hwmodel.accelerator import Accelerator, Axis, Level, Memory
from hwmodel.errors import MappingError, did_you_mean
from hwmodel.kernel import Floats, Ints
from hwmodel.layer import DIM_NAMES, OPERANDS, DimName, Dims, Layer
from hwmodel.mapping import LevelMapping, Loop, Mapping
from hwmodel.pricing import gated_fraction, mac_energy, stored_fraction

Objective = Literal["energy", "latency", "edp"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


@dataclass(frozen=True, kw_only=True)
class _Hierarchy:
    """An accelerator's levels in the three slots of the kernel; None where it has none."""

    registers: Level | None
    buffer: Level | None
    outer: Level

    @property
    def slots(self) -> tuple[Level | None, Level | None, Level]:
        return (self.registers, self.buffer, self.outer)


def best_mapping(layer: Layer, accelerator: Accelerator, optimize: Objective = "energy") -> Mapping:
    """The mapping with the least energy, cycles or energy-delay product.

    Args:
        layer: with whole filters already removed.
        accelerator: of kind `spatial`.
        optimize: `energy`, `latency` or `edp`; ties go to fewer cycles (for `latency`, to less energy).

    Raises:
        MappingError: an unknown objective, a hierarchy of more than three levels, or no mapping fits.
    """
    if optimize not in OBJECTIVES:
        hint = did_you_mean(optimize, OBJECTIVES)
        raise MappingError(f"optimize must be one of {', '.join(OBJECTIVES)}, but got {optimize!r}.{hint}")
    hierarchy = _hierarchy(accelerator)
    best: tuple[float, float, Mapping] | None = None
    for padded, unrolled in _padded_variants(layer, accelerator):
        found = _search(layer, accelerator, hierarchy, padded, unrolled, optimize, best[0] if best else math.inf)
        if found and (best is None or found[:2] < best[:2]):
            best = found
    if best is None:
        raise MappingError(_nothing_fits(layer, accelerator, hierarchy))
    return best[2]


def _hierarchy(accelerator: Accelerator) -> _Hierarchy:
    inner = [level for level in accelerator.levels if level.per_pe]
    shared = [level for level in accelerator.levels if not level.per_pe]
    if len(inner) > 1 or len(shared) > 2:
        raise MappingError(
            f"accelerator {accelerator.name!r}: the mapper takes at most one level per PE and two shared levels, "
            f"but got {len(inner)} and {len(shared)}. Put memories that stand side by side into one `level:`."
        )
    return _Hierarchy(
        registers=inner[0] if inner else None, buffer=shared[0] if len(shared) == 2 else None, outer=shared[-1]
    )


def _padded_variants(layer: Layer, accelerator: Accelerator) -> list[tuple[Dims, dict[DimName, int]]]:
    """The layer's dims, and variants in which one dim per axis is padded to fill the axis better.

    With each come the dims that were padded and their original bounds.
    """
    options: list[list[tuple[DimName, int] | None]] = []
    for axis in accelerator.axes:
        found: list[tuple[DimName, int] | None] = [None]
        for dim in axis.dims:
            bound = layer.dims[dim]
            passes = math.ceil(bound / axis.size)
            if bound // max(d for d in _divisors(bound) if d <= axis.size) > passes:
                found.append((dim, passes * math.ceil(bound / passes)))
        options.append(found)
    variants: dict[Dims, dict[DimName, int]] = {}
    for combination in itertools.product(*options):
        chosen = {dim: bound for item in combination if item for dim, bound in [item]}
        dims = replace(layer.dims, **chosen)
        variants[dims] = {dim: layer.dims[dim] for dim in chosen}
    return list(variants.items())


@lru_cache(maxsize=4096)
def _divisors(number: int) -> tuple[int, ...]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return tuple(sorted({*small, *(number // d for d in small)}))


def _search(
    layer: Layer,
    accelerator: Accelerator,
    hierarchy: _Hierarchy,
    dims: Dims,
    original: dict[DimName, int],
    optimize: Objective,
    beat: float,
) -> tuple[float, float, Mapping] | None:
    """Score, tie-break and mapping of the best candidate for one set of (padded) dims; None if none is as good."""
    bounds = np.array(dims.values_tuple, dtype=np.int64)
    space = _Space(layer, accelerator, hierarchy, bounds)
    unrollings, splits = _unrollings(accelerator.axes, dims, original)
    registers, tiles = space.register_tiles(), space.buffer_tiles()
    if not len(registers) or not len(tiles) or not len(unrollings):
        return None
    pairs = kernel.join(registers, unrollings, bounds)
    energy, cycles, best = kernel.search(
        OBJECTIVES.index(optimize), space.problem(), registers, unrollings, pairs, tiles, beat
    )
    if best[0] < 0:
        return None
    tile, r, s, split = tiles[best[2]], registers[best[0]], unrollings[best[1]], splits[int(best[1])]
    mapping = _build(hierarchy, bounds, r, s, split, tile, (int(best[3]), int(best[4])))
    score = {"energy": energy, "latency": cycles, "edp": energy * cycles}[optimize]
    return score, energy if optimize == "latency" else cycles, mapping


def _unrollings(
    axes: tuple[Axis, ...], dims: Dims, original: dict[DimName, int]
) -> tuple[Ints, list[tuple[Loop, ...]]]:
    """Factors per dim across the PEs (S, 8), and for each the loops on the axes that give it."""
    found: dict[tuple[int, ...], tuple[Loop, ...]] = {(1,) * 8: ()}
    for axis in axes:
        grown: dict[tuple[int, ...], tuple[Loop, ...]] = {}
        for factors, loops in found.items():
            for extra in _axis_factors(axis, dims, factors):
                total = tuple(f * extra.get(d, 1) for d, f in zip(DIM_NAMES, factors, strict=True))
                new = tuple(Loop(dim, bound, axis.name) for dim, bound in extra.items() if bound > 1)
                grown.setdefault(total, loops + new)
        found = grown
    kept = {
        factors: loops
        for factors, loops in found.items()
        if all(_pads_to(bound, factors[DIM_NAMES.index(d)]) == dims[d] for d, bound in original.items())
    }
    return np.array(list(kept), dtype=np.int64).reshape(-1, 8), list(kept.values())


def _pads_to(bound: int, factor: int) -> int:
    return math.ceil(bound / factor) * factor


def _axis_factors(axis: Axis, dims: Dims, used: tuple[int, ...]) -> list[dict[DimName, int]]:
    """Factors of the dims of one axis whose product fits it, beside those that other axes use."""
    partial: list[tuple[int, dict[DimName, int]]] = [(1, {})]
    for dim in dict.fromkeys(axis.dims):
        left = dims[dim] // used[DIM_NAMES.index(dim)]
        partial = [
            (size * bound, {**chosen, dim: bound})
            for size, chosen in partial
            for bound in _divisors(left)
            if size * bound <= axis.size
        ]
    return [chosen for _, chosen in partial]


class _Space:
    """The tiles that fit and the numbers that `kernel.search` wants, from a layer and an accelerator."""

    def __init__(self, layer: Layer, accelerator: Accelerator, hierarchy: _Hierarchy, bounds: Ints) -> None:
        self.bits = accelerator.resolve_bits(layer.bits, layer.reduction)
        self.layer, self.accelerator, self.hierarchy, self.bounds = layer, accelerator, hierarchy, bounds
        self.pace: Ints = np.array([*layer.stride, *layer.dilation], dtype=np.int64)
        self.widths: Floats = np.array(self.bits, dtype=np.float64)
        self.holds: Ints = np.zeros((2, 3), dtype=np.int64)
        self.read_pj: Floats = np.zeros((3, 3))
        self.write_pj: Floats = np.zeros((3, 3))
        self.stored: Floats = np.ones((3, 3))
        self.memory: Ints = np.zeros((3, 3), dtype=np.int64)
        self.bandwidth: Floats = np.full((3, 3, 3), np.inf)
        self.bandwidth[:, :, 2] = 0.0
        self.fill: Ints = np.zeros((2, 3), dtype=np.int64)
        self.capacity: Floats = np.full((2, 3), np.inf)
        for index, level in enumerate(hierarchy.slots):
            for slot, memory in enumerate(level.memories if level else ()):
                self._describe(index, slot, memory)

    def _describe(self, index: int, slot: int, memory: Memory) -> None:
        self.bandwidth[index, slot] = (
            memory.read_bits_per_cycle or math.inf,
            memory.write_bits_per_cycle or math.inf,
            float(memory.shared_port),
        )
        if index < 2:
            waits = 1 if memory.size_bits is not None else 0
            self.fill[index, slot] = 2 if memory.double_buffered else waits
            if memory.size_bits is not None:
                self.capacity[index, slot] = memory.size_bits / (2 if memory.double_buffered else 1)
        for operand in memory.holds:
            x = OPERANDS.index(operand)
            if index < 2:
                self.holds[index, x] = 1
            self.read_pj[index, x] = memory.read_pj_per_bit
            self.write_pj[index, x] = memory.write_pj_per_bit
            self.stored[index, x] = stored_fraction(self.layer, memory, operand, self.bits)
            self.memory[index, x] = slot

    def problem(self) -> kernel.Problem:
        """What the kernel works on."""
        gated = gated_fraction(self.layer.density, self.accelerator.gating)
        return kernel.Problem(
            bounds=self.bounds,
            pace=self.pace,
            holds=self.holds,
            widths=self.widths,
            read_pj=self.read_pj,
            write_pj=self.write_pj,
            active=np.array([1.0 if x in self.accelerator.gating else gated for x in OPERANDS]),
            stored=self.stored,
            bandwidth=self.bandwidth,
            memory=self.memory,
            fill=self.fill,
            capacity=self.capacity[1],
            rate=self.accelerator.precision.macs_per_cycle(self.bits.w, self.bits.i),
            base_pj=mac_energy(self.layer, self.accelerator, self.bits),
        )

    def register_tiles(self) -> Ints:
        """Divisor vectors that fit the registers of a PE, over the dims that may be looped there. (R, 8)"""
        level = self.hierarchy.registers
        if level is None:
            return np.ones((1, 8), dtype=np.int64)
        free = [
            _divisors(int(b)) if d in level.temporal_dims else (1,)
            for d, b in zip(DIM_NAMES, self.bounds, strict=True)
        ]
        return self._fitting(free, 0, self.widths[[0, 1, 3]])

    def buffer_tiles(self) -> Ints:
        """Divisor vectors that fit the buffer with finished outputs (the kernel checks unfinished ones). (T, 8)"""
        if self.hierarchy.buffer is None:
            return self.bounds.reshape(1, 8)
        return self._fitting([_divisors(int(b)) for b in self.bounds], 1, self.widths[:3])

    def _fitting(self, free: list[tuple[int, ...]], level: int, widths: Floats) -> Ints:
        """All vectors of one divisor per dim whose tiles fit, grown dim by dim: a tile only grows with its dims."""
        tiles = np.ones((1, 8), dtype=np.int64)
        for index, divisors in enumerate(free):
            tiles = np.repeat(tiles, len(divisors), axis=0)
            tiles[:, index] = np.tile(divisors, len(tiles) // len(divisors))
            need = np.zeros((len(tiles), 3))
            for x, size in enumerate(_tile_sizes(tiles, self.pace)):
                if self.holds[level, x]:
                    need[:, self.memory[level, x]] += size * widths[x]
            tiles = tiles[(need <= self.capacity[level]).all(axis=1)]
        return np.ascontiguousarray(tiles)


def _tile_sizes(t: Ints, pace: Ints) -> tuple[Ints, Ints, Ints]:
    """Elements of W, I, O under tiles (n, 8)."""
    b, g, k, c, oy, ox, fy, fx = t.T
    rows = (oy - 1) * pace[0] + (fy - 1) * pace[2] + 1
    columns = (ox - 1) * pace[1] + (fx - 1) * pace[3] + 1
    return g * k * c * fy * fx, b * g * c * rows * columns, b * g * k * oy * ox


def _ordered(factors: Ints, order: int) -> tuple[Loop, ...]:
    """Temporal loops of a level, outer to inner: the dims that leave its operand in place innermost."""
    stationary, last = (int(v) for v in kernel.ORDERS[order])
    inner = {0: (0, 4, 5), 1: (2,), 2: (3, 6, 7)}[stationary]
    front = [d for d in range(8) if d not in inner]
    back = [d for d in inner if d != last] + [last]
    return tuple(Loop(DIM_NAMES[d], int(factors[d])) for d in front + back if factors[d] > 1)


def _build(
    hierarchy: _Hierarchy,
    bounds: Ints,
    r: Ints,
    s: Ints,
    split: tuple[Loop, ...],
    tile: Ints,
    orders: tuple[int, int],
) -> Mapping:
    loops = _ordered(tile // (r * s), orders[0])
    levels: list[LevelMapping] = []
    if hierarchy.registers:
        level = hierarchy.registers
        levels.append(LevelMapping(name=level.name, temporal=_ordered(r, 4), keeps=level.holds))
    if hierarchy.buffer:
        level = hierarchy.buffer
        levels.append(LevelMapping(name=level.name, temporal=loops, spatial=split, keeps=level.holds))
        loops, split = _ordered(bounds // tile, orders[1]), ()
    outer = hierarchy.outer
    levels.append(LevelMapping(name=outer.name, temporal=loops, spatial=split, keeps=outer.holds))
    return Mapping(levels=tuple(levels))


def _nothing_fits(layer: Layer, accelerator: Accelerator, hierarchy: _Hierarchy) -> str:
    bits = accelerator.resolve_bits(layer.bits, layer.reduction)
    need = f"one weight, input and partial sum take {bits.w}, {bits.i} and {bits.acc} bits"
    sizes = ", ".join(
        f"{m.name} {m.size_bits:g} bits{' (half at a time)' if m.double_buffered else ''}"
        for level in (hierarchy.registers, hierarchy.buffer)
        if level
        for m in level.memories
        if m.size_bits is not None
    )
    return (
        f"no mapping of {layer.name!r} fits {accelerator.name!r}: {need}, but the memories hold {sizes}. "
        "Use fewer bits, or a larger memory."
    )
