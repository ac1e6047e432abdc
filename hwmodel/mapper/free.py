"""The best mapping of a layer: every divisor tiling, unrolling, order and bypass of a three-level hierarchy.

Levels are one register level per PE (or none), one shared buffer (or none) and the outermost memory. Dims
that do not divide the array may be padded to fill it. `kernel` visits the space with lower bounds, so the
result is its optimum. Every set of padded dims and every bypass is a case with a lower bound of its own; cases are
searched within a budget that starts just above the lowest bound and grows until something is found, so that what
is found first is already close to the best, and the bounds prune from the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError, check_one_of
from hwmodel.mapper import bounds
from hwmodel.mapper import search as kernel
from hwmodel.mapper.counting import Floats, Ints, Problem
from hwmodel.mapper.space import Hierarchy, Kept, Space, axis_loops, padded_variants, unrollings
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Layer, Operand

Objective = Literal["energy", "latency", "edp"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

#: Budgets over the lowest bound, tried one after the other.
BUDGETS = (1.08, 1.2, 1.4, 1.8, 2.5, 4.0, math.inf)

#: Pairs that there is room for at first.
ROOM = 4096

_Found = tuple[float, float, Mapping]


@dataclass(frozen=True)
class _Search:
    """What is looked for: kernel objective, whether cycles matter, and the most cycles."""

    objective: int
    num_metrics: int
    most_cycles: float = math.inf


def best_mapping(layer: Layer, accelerator: Accelerator, optimize: Objective = "energy") -> Mapping:
    """The mapping with the least energy, cycles or energy-delay product.

    Args:
        layer: with whole filters already removed.
        accelerator: of kind `spatial`.
        optimize: `energy`, `latency` or `edp`; ties go to fewer cycles (for `latency`, to less energy).

    Raises:
        MappingError: an unknown objective, a hierarchy of more than three levels, or no mapping fits.
    """
    check_one_of("optimize", optimize, OBJECTIVES, MappingError)
    hierarchy = Hierarchy.of(accelerator)
    spaces = [
        (Space(layer, accelerator, hierarchy, dims), tuple(original.items()))
        for dims, original in padded_variants(layer.dims, accelerator.axes)
    ]
    cases = [_Case(space, original, kept) for space, original in spaces for kept in hierarchy.choices()]
    num_metrics = len(spaces[0][0].cost)
    objective = OBJECTIVES.index(optimize)
    best = _best(cases, _Search(objective, 1 if optimize == "energy" else num_metrics))
    if best is not None and optimize == "latency":
        best = _best(cases, _Search(bounds.ENERGY, num_metrics, best[1])) or best
    if best is None:
        raise MappingError(_nothing_fits(layer, accelerator, hierarchy))
    return best[2]


def _best(cases: list[_Case], wanted: _Search) -> _Found | None:
    """Energy [pJ], cycles and mapping of the optimum over all cases; None where nothing fits."""
    ranked = sorted((case.bound(wanted), n) for n, case in enumerate(cases))
    ranked = [(bound, n) for bound, n in ranked if bound < math.inf]
    if not ranked:
        return None
    best: _Found | None = None
    for growth in BUDGETS:
        limit = ranked[0][0] * growth
        for bound, n in ranked:
            if bound > limit:
                break
            found = cases[n].search(wanted, limit)
            if found is None:
                continue
            score = _score(wanted.objective, found)
            tied = best is not None and score >= limit * (1 - bounds.SLACK)
            if best is None or not tied or _tie(wanted.objective, found) < _tie(wanted.objective, best):
                best, limit = found, min(score, limit)
        if best is not None:
            return best
    return None


def _score(objective: int, found: _Found) -> float:
    energy, cycles, _ = found
    return (energy, cycles, energy * cycles)[objective]


def _tie(objective: int, found: _Found) -> float:
    return found[0] if objective == bounds.LATENCY else found[1]


class _Case:
    """One set of dims with one choice of what registers and buffer keep."""

    def __init__(self, space: Space, original: tuple[tuple[str, int], ...], kept: Kept) -> None:
        self.space, self.kept = space, kept
        dims = space.dims
        self.axes = space.accelerator.axes
        diagonal = space.accelerator.diagonal
        self.unrollings, self.parts = unrollings(self.axes, dims, original, diagonal)
        self.networks = self.unrollings[:, None, :] if diagonal else self.parts
        self.bounds_s: dict[int, Floats] = {}

    @cached_property
    def problem(self) -> Problem:
        return self.space.problem(self.kept, self.networks)

    def tiles(self, num_metrics: int) -> tuple[Ints, Floats, Floats]:
        """Buffer tiles (T, 8), bounds of their exchange with DRAM (T, M) and the least of each (M).

        They depend on what the buffer keeps alone, so cases that differ elsewhere share them.
        """
        key = (self.kept[1], num_metrics)
        if key not in self.space.priced_tiles:
            tiles = self.space.buffer_tiles(self.kept[1])
            values = bounds.price_tiles(self.problem, num_metrics, tiles)
            least = values.min(axis=0) if len(tiles) else np.full(values.shape[1], np.inf)
            self.space.priced_tiles[key] = (tiles, values, least)
        return self.space.priced_tiles[key]

    def bound(self, wanted: _Search) -> float:
        """A lower bound of the score; infinite where nothing fits."""
        tiles, _, least = self.tiles(wanted.num_metrics)
        if not len(self.unrollings) or not len(tiles):
            return math.inf
        num = wanted.num_metrics
        if num not in self.bounds_s:
            self.bounds_s[num] = bounds.bound_unrollings(self.problem, num, self.unrollings)
        bound = bounds.bound_case(
            self.problem, wanted.objective, self.unrollings, self.bounds_s[num], least, wanted.most_cycles
        )
        return bound

    def search(self, wanted: _Search, limit: float) -> _Found | None:
        """The best mapping at or below a score."""
        problem, limits = self.problem, (limit, wanted.most_cycles)
        tiles, values, least = self.tiles(wanted.num_metrics)
        registers = self.space.register_tiles(self.kept[0])
        if not len(registers):
            return None
        pairs, lines, scores = self.join(wanted, registers, least, limits)
        sizes = bounds.pair_sizes(registers, self.unrollings, pairs)
        keys = bounds.bound_tiles(
            problem, wanted.objective, wanted.num_metrics, tiles, values, lines, sizes, wanted.most_cycles
        )
        kept = np.flatnonzero(keys <= limit * (1 + bounds.SLACK))
        if not len(pairs) or not len(kept):
            return None
        kept = kept[np.argsort(keys[kept], kind="stable")]
        tiles, keys = tiles[kept], keys[kept]
        energy, cycles, best = kernel.search(
            problem, wanted.objective, wanted.num_metrics, registers, self.unrollings,
            pairs, lines, scores, sizes, tiles, keys, limits,
        )  # fmt: skip
        if best[0] < 0:
            return None
        split = axis_loops(self.axes, self.parts[best[1]])
        mapping = self.build(
            registers[best[0]], self.unrollings[best[1]], split, tiles[best[2]], int(best[3]), int(best[4])
        )
        return energy, cycles, mapping

    def join(
        self, wanted: _Search, registers: Ints, least_tile: Floats, limits: tuple[float, float]
    ) -> tuple[Ints, Floats, Floats]:
        """Pairs that may win, by rising lower bound: indices (P, 2), lines (P, M, 10), bounds (P)."""
        room = ROOM
        while True:
            pairs = np.empty((room, 2), dtype=np.int64)
            lines, scores = np.empty((room, len(least_tile), 10)), np.empty(room)
            count = bounds.join(
                self.problem, wanted.objective, wanted.num_metrics, registers, self.unrollings,
                self.bounds_s[wanted.num_metrics], least_tile, limits, pairs, lines, scores,
            )  # fmt: skip
            if count <= room:
                order = np.argsort(scores[:count], kind="stable")
                return pairs[order], lines[order], scores[order]
            room = count

    def build(self, r: Ints, s: Ints, split: tuple[Loop, ...], tile: Ints, inner: int, outer: int) -> Mapping:
        space, hierarchy = self.space, self.space.hierarchy
        loops = _ordered(tile // (r * s), space.inner[inner])
        levels: list[LevelMapping] = []
        if hierarchy.registers:
            order = space.register_order
            name, keeps = hierarchy.registers.name, _in_order(self.kept[0])
            levels.append(LevelMapping(name=name, temporal=_ordered(r, order), keeps=keeps))
        if hierarchy.buffer:
            name, keeps = hierarchy.buffer.name, _in_order(self.kept[1])
            levels.append(LevelMapping(name=name, temporal=loops, spatial=split, keeps=keeps))
            loops, split = _ordered(np.array(space.bounds) // tile, space.outer[outer]), ()
        name, keeps = hierarchy.outer.name, hierarchy.outer.holds
        levels.append(LevelMapping(name=name, temporal=loops, spatial=split, keeps=keeps))
        return Mapping(levels=tuple(levels))


def _in_order(kept: frozenset[Operand]) -> tuple[Operand, ...]:
    return tuple(operand for operand in OPERANDS if operand in kept)


def _ordered(factors: Ints, order: tuple[int, ...]) -> tuple[Loop, ...]:
    """Temporal loops of a level, outer to inner."""
    return tuple(Loop(DIM_NAMES[d], int(factors[d])) for d in order if factors[d] > 1)


def _nothing_fits(layer: Layer, accelerator: Accelerator, hierarchy: Hierarchy) -> str:
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
