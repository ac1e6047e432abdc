"""The best mapping of a layer: every divisor tiling, unrolling, order and bypass of a three-level hierarchy.

Levels are one register level per PE (or none), one shared buffer (or none) and the outermost memory. Dims
that do not divide the array may be padded to fill it. `hwmodel.mapper.search` visits the space with lower bounds,
so the result is its optimum. Every set of padded dims and every bypass is a branch with a lower bound of its own;
branches are searched within a budget that starts just above the lowest bound and grows until something is found, so
that what is found first is already close to the best, and the bounds prune from the start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np

from hwmodel.errors import MappingError, check_one_of
from hwmodel.mapper import ahead, bounds, search
from hwmodel.mapper.counting import Floats, Ints, NestInputs
from hwmodel.mapper.edges import pair_edges
from hwmodel.mapper.scores import ENERGY, LATENCY, SLACK
from hwmodel.mapper.search import INNER, OUTER, REGISTERS, TILE, UNROLLING
from hwmodel.mapper.space.exchange import least_exchange, price_exchange
from hwmodel.mapper.space.hierarchy import Hierarchy, Kept
from hwmodel.mapper.space.tiles import TileSpace
from hwmodel.mapper.space.unrolling import axis_loops, padded_variants, unrollings
from hwmodel.nest.mapping import LevelMapping, Loop, Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import DIM_NAMES, OPERANDS, Operand

Objective = Literal["energy", "latency", "edp"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

#: Budgets over the lowest bound, tried one after the other.
BUDGETS = (1.08, 1.2, 1.4, 1.8, 2.5, 4.0, math.inf)

#: Pairs that there is room for at first.
ROOM = 4096


class Found(NamedTuple):
    """The optimum of a search, and what its kernel counted for it."""

    energy_pj: float
    cycles: float
    mapping: Mapping


@dataclass(frozen=True)
class Search:
    """What is looked for: kernel objective, whether cycles matter, and the most cycles."""

    objective: int
    num_metrics: int
    most_cycles: float = math.inf


def best_mapping(task: Task, optimize: Objective = "energy") -> Mapping:
    """The mapping that `find_best` finds."""
    return find_best(task, optimize).mapping


def find_best(task: Task, optimize: Objective = "energy") -> Found:
    """The mapping with the least energy, cycles or energy-delay product.

    Args:
        task: whole filters already removed; on an accelerator of kind `spatial`. Its zeros count as `price` has
            them.
        optimize: `energy`, `latency` or `edp`; ties go to fewer cycles (for `latency`, to less energy).

    Raises:
        MappingError: an unknown objective, a hierarchy of more than three levels, or no mapping fits.
    """
    check_one_of("optimize", optimize, OBJECTIVES, MappingError)
    branches = branches_of(task)
    wanted = wanted_of(branches, optimize)
    best = _best(branches, wanted)
    if best is not None and optimize == "latency":
        best = _best(branches, Search(ENERGY, wanted.num_metrics, best.cycles)) or best
    if best is None:
        raise MappingError(nothing_fits(task))
    return best


def bound_best(task: Task, optimize: Objective) -> float:
    """A lower bound of what the best mapping of a task costs, infinite where nothing fits."""
    branches = branches_of(task)
    wanted = wanted_of(branches, optimize)
    return min(branch.bound(wanted) for branch in branches)


def branches_of(task: Task) -> list[Branch]:
    """Every set of padded dims with every choice of what registers and buffer keep."""
    hierarchy = Hierarchy.of(task.accelerator)
    ahead.begin(task.accelerator)
    ahead.wait(bounds.price_tiles)  # the first kernel that is called
    space = TileSpace(task, hierarchy, task.layer.dims)
    spaces = [
        (space.with_dims(dims), tuple(original.items()))
        for dims, original in padded_variants(task.layer.dims, task.accelerator.axes)
    ]
    return [Branch(space, original, kept) for space, original in spaces for kept in hierarchy.choices(task)]


def wanted_of(branches: list[Branch], optimize: Objective) -> Search:
    """What is looked for among some branches of a task."""
    return Search(OBJECTIVES.index(optimize), 1 if optimize == "energy" else branches[0].space.num_bounds)


def _best(branches: list[Branch], wanted: Search) -> Found | None:
    """Energy [pJ], cycles and mapping of the optimum over all branches; None where nothing fits.

    Budgets and ties: Lemmas 10 and 11 of docs/explain/mapper.md.
    """
    ranked = sorted((branch.bound(wanted), n) for n, branch in enumerate(branches))
    ranked = [(bound, n) for bound, n in ranked if bound < math.inf]
    if not ranked:
        return None
    best: Found | None = None
    for growth in BUDGETS:
        limit = ranked[0][0] * growth
        for bound, n in ranked:
            if bound > limit:
                break
            found = branches[n].search(wanted, limit)
            if found is None:
                continue
            score = _score(wanted.objective, found)
            tied = best is not None and score >= limit * (1 - SLACK)
            if best is None or not tied or found.cycles < best.cycles:
                best, limit = found, min(score, limit)
            if wanted.objective == LATENCY:  # of as few cycles the second pass finds the best
                limit = score * (1 - SLACK)
        if best is not None:
            return best
    return None


def _score(objective: int, found: Found) -> float:
    return (found.energy_pj, found.cycles, found.energy_pj * found.cycles)[objective]


class Branch:
    """One set of dims with one choice of what registers and buffer keep."""

    def __init__(self, space: TileSpace, original: tuple[tuple[str, int], ...], kept: Kept) -> None:
        self.space, self.kept = space, kept
        dims = space.dims
        accelerator = space.task.accelerator
        self.axes, diagonal = accelerator.axes, accelerator.diagonal
        self.unrollings, self.parts = unrollings(self.axes, dims, original, diagonal)
        self.networks = self.unrollings[:, None, :] if diagonal else self.parts
        self.bounds_s: dict[int, Floats] = {}

    @cached_property
    def nest(self) -> NestInputs:
        return self.space.nest(self.kept, self.networks)

    def bound(self, wanted: Search) -> float:
        """A lower bound of the score; infinite where nothing fits."""
        least = least_exchange(self.space, self.kept[1], self.nest, wanted.num_metrics)
        if not len(self.unrollings) or least[0] == math.inf:
            return math.inf
        inside = self.inside(wanted.num_metrics)
        return bounds.bound_branch(self.nest, wanted.objective, self.unrollings, inside, least, wanted.most_cycles)

    def inside(self, num_metrics: int) -> Floats:
        """Lower bounds of every metric inside the buffer's tile, of all unrollings. (S, M)"""
        if num_metrics not in self.bounds_s:
            ahead.wait(bounds.bound_unrollings)
            self.bounds_s[num_metrics] = bounds.bound_unrollings(self.nest, num_metrics, self.unrollings)
        return self.bounds_s[num_metrics]

    def search(self, wanted: Search, limit: float) -> Found | None:
        """The best mapping at or below a score."""
        nest, limits = self.nest, (limit, wanted.most_cycles)
        tiles, held, values = price_exchange(self.space, self.kept[1], nest, wanted.num_metrics)
        least = least_exchange(self.space, self.kept[1], nest, wanted.num_metrics)
        registers = self.space.register_tiles(self.kept[0])
        if not len(registers):
            return None
        pairs, lines, scores = self.join(wanted, registers, least, limits)
        sizes = bounds.pair_sizes(registers, self.unrollings, pairs)
        shares = self.shares(registers, pairs)
        ahead.wait(bounds.bound_tiles)
        keys = bounds.bound_tiles(
            nest, wanted.objective, wanted.num_metrics, tiles, values, lines, sizes, shares, wanted.most_cycles
        )
        kept = np.flatnonzero(keys <= limit * (1 + SLACK))
        if not len(pairs) or not len(kept):
            return None
        kept = kept[np.argsort(keys[kept], kind="stable")]
        tiles, held, keys = tiles[kept], held[kept], keys[kept]
        ahead.wait(pair_edges)
        edges = pair_edges(nest, registers, self.unrollings, pairs)
        ahead.wait(search.search)
        energy, cycles, best = search.search(
            nest, wanted.objective, wanted.num_metrics, registers, self.unrollings,
            pairs, lines, scores, sizes, edges, shares, tiles, held, keys, limits,
        )  # fmt: skip
        if best[REGISTERS] < 0:
            return None
        return Found(energy, cycles, self.build(registers, tiles, best))

    def shares(self, registers: Ints, pairs: Ints) -> Floats:
        """Share of the steps that skipping leaves to each pair, that of `hwmodel.price.sparsity`. (P)"""
        skips = self.space.skips
        if not skips.operands:
            return np.full(len(pairs), skips.balanced)
        ahead.wait(bounds.pair_tiles)
        kinds = bounds.pair_tiles(self.nest, registers, self.unrollings, pairs)
        different, place = np.unique(kinds, axis=0, return_inverse=True)
        found = [
            skips.slowest({"W": (w, many_w), "I": (i, many_i)}, macs, pes)
            for w, i, macs, many_w, many_i, pes in different.tolist()
        ]
        return np.array(found)[place.reshape(-1)]

    def join(
        self, wanted: Search, registers: Ints, least_tile: Floats, limits: tuple[float, float]
    ) -> tuple[Ints, Floats, Floats]:
        """Pairs that may win, by rising lower bound: indices (P, 2), lines (P, M, columns), bounds (P)."""
        ahead.wait(bounds.join)
        room = ROOM
        while True:
            pairs = np.empty((room, 2), dtype=np.int64)
            lines, scores = np.empty((room, len(least_tile), bounds.NUM_COLUMNS)), np.empty(room)
            count = bounds.join(
                self.nest, wanted.objective, wanted.num_metrics, registers, self.unrollings,
                self.inside(wanted.num_metrics), least_tile, limits, pairs, lines, scores,
            )  # fmt: skip
            if count <= room:
                order = np.argsort(scores[:count], kind="stable")
                return pairs[order], lines[order], scores[order]
            room = count

    def build(self, registers: Ints, tiles: Ints, best: Ints) -> Mapping:
        """The mapping at the indices that `search` found."""
        r, s, tile = registers[best[REGISTERS]], self.unrollings[best[UNROLLING]], tiles[best[TILE]]
        space, hierarchy = self.space, self.space.hierarchy
        split = axis_loops(self.axes, self.parts[best[UNROLLING]])
        loops = ordered(tile // (r * s), space.inner[best[INNER]])
        levels: list[LevelMapping] = []
        if hierarchy.registers:
            order = space.register_order
            name, keeps = hierarchy.registers.name, in_order(self.kept[0])
            levels.append(LevelMapping(name=name, temporal=ordered(r, order), keeps=keeps))
        if hierarchy.buffer:
            name, keeps = hierarchy.buffer.name, in_order(self.kept[1])
            levels.append(LevelMapping(name=name, temporal=loops, spatial=split, keeps=keeps))
            loops, split = ordered(np.array(space.bounds) // tile, space.outer[best[OUTER]]), ()
        name, keeps = hierarchy.outer.name, hierarchy.outer.holds
        levels.append(LevelMapping(name=name, temporal=loops, spatial=split, keeps=keeps))
        return Mapping(levels=tuple(levels))


def in_order(kept: frozenset[Operand]) -> tuple[Operand, ...]:
    """What a level keeps, as a mapping says it."""
    return tuple(operand for operand in OPERANDS if operand in kept)


def ordered(factors: Ints, order: Iterable[int]) -> tuple[Loop, ...]:
    """Temporal loops of a level, outer to inner."""
    return tuple(Loop(DIM_NAMES[d], int(factors[d])) for d in order if factors[d] > 1)


def nothing_fits(task: Task) -> str:
    """Why no mapping of a task fits its accelerator."""
    bits = task.widths
    need = f"one weight, input and partial sum take {bits.w}, {bits.i} and {bits.acc} bits"
    sizes = ", ".join(
        f"{m.name} {m.size_bits:g} bits{' (half at a time)' if m.double_buffered else ''}"
        for level in task.accelerator.levels[:-1]
        for m in level.memories
        if m.size_bits is not None
    )
    return (
        f"no mapping of {task.layer.name!r} fits {task.accelerator.name!r}: {need}, but the memories hold {sizes}. "
        "Use fewer bits, or a larger memory."
    )
