"""The best mapping on any number of levels: paddings, bypasses and numbers of PEs, each walked to its optimum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError, check_one_of
from hwmodel.mapper import ahead
from hwmodel.mapper.deep import hopes, walk
from hwmodel.mapper.deep.labels import NUM_LINKS
from hwmodel.mapper.deep.ladder import Kept, Ladder, Shape, build, shape
from hwmodel.mapper.deep.lattice import Lattice, lattice
from hwmodel.mapper.deep.splits import Padded, Splits, only, splits
from hwmodel.mapper.deep.states import Aim, Bounds, Pool
from hwmodel.mapper.free import OBJECTIVES, Objective, in_order, nothing_fits, ordered
from hwmodel.mapper.scores import ENERGY, LATENCY, SLACK
from hwmodel.mapper.space.hierarchy import kept_choices
from hwmodel.mapper.space.unrolling import axis_loops, padded_bounds
from hwmodel.nest.mapping import LevelMapping, Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import OPERANDS, DimName, Dims
from hwmodel.price.lines.line import whole
from hwmodel.price.sparsity import Skips
from hwmodel.price.spatial import price

#: Labels that there is room for at first, and at most (of energy alone; lines take more room each).
ROOM, MOST_ROOM = 1 << 16, 1 << 23
#: Limits over the lowest bound, tried one after the other: what is found first is close to the best.
BUDGETS = (1.03, 1.08, 1.16, 1.3, 1.7, 3.0, math.inf)
#: Places along each axis, per level.
Places = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Rules:
    """What a search leaves out, for comparisons with searches that know less.

    Attributes:
        pads: bounds may be padded to fill an axis.
        ends_at_splits: reuse ends at a level that has no loop but whose places need different words.
    """

    pads: bool = True
    ends_at_splits: bool = False


EVERYTHING = Rules()


def deep_mapping(task: Task, optimize: Objective = "energy", rules: Rules = EVERYTHING) -> Mapping:
    """The mapping with the least energy, cycles or energy-delay product.

    Args:
        task: whole filters already removed, as the array sees it; on an accelerator of kind `spatial`.
        optimize: `energy`, `latency` or `edp`; for `latency` ties go to less energy, for `energy` to more PEs.
        rules: what is left out.

    Raises:
        MappingError: an unknown objective, no mapping fits, or too many ways are as good as each other so far.
    """
    check_one_of("optimize", optimize, OBJECTIVES, MappingError)
    branches = list(_branches(task, rules))
    best = _least_energy(branches)
    if best is None:
        raise MappingError(nothing_fits(task))
    if optimize == "energy":
        return best.mapping
    return _fastest(task, branches, best, OBJECTIVES.index(optimize))


@dataclass(frozen=True)
class Found:
    """A mapping, and what it costs."""

    mapping: Mapping
    energy_pj: float
    cycles: float

    def score(self, objective: int) -> float:
        return (self.energy_pj, self.cycles, self.energy_pj * self.cycles)[objective]


class Branch:
    """One set of (padded) dims, what the levels keep, and when outputs that stay are finished."""

    def __init__(self, task: Task, dims: Dims, padded: Padded, kept: Kept, whole_sums: bool, rules: Rules) -> None:
        self.task, self.dims, self.kept, self.whole_sums, self.rules = task, dims, kept, whole_sums, rules
        self.tiles: Lattice = lattice(dims)
        self.parted: Splits = splits(task.accelerator, dims, padded)

    @cached_property
    def shape(self) -> Shape:
        return self._shape(self.parted)

    def _shape(self, parted: Splits) -> Shape:
        return shape(
            self.task,
            self.dims,
            self.kept,
            parted,
            whole_sums=self.whole_sums,
            ends_at_splits=self.rules.ends_at_splits,
        )

    def search(self, aim: Aim, places: Places | None = None) -> Mapping | None:
        """The best mapping within an aim, None where there is none; with lines where the places are given."""
        parted = self.parted if places is None else only(self.parted, places)
        own = self.shape if places is None else self._shape(parted)
        compute = 0.0 if places is None else self.compute(places)
        ladder = build(self.task, self.dims, own, self.tiles, parted, timed=places is not None, compute=compute)
        metrics = len(ladder.costs.kind)
        bounds = Bounds(*(np.empty((metrics, len(own.keep), len(self.tiles.vectors))) for _ in range(2)))
        hopes.hopes(ladder, *bounds)
        root = self.root(ladder, bounds.begun, aim.objective)
        if root > aim.limit:
            return None
        for growth in BUDGETS:
            limit = min(root * growth, aim.limit) if root > 0 else aim.limit
            if found := self._walk(ladder, aim._replace(limit=float(limit)), bounds):
                return found
            if limit >= aim.limit:
                break
        return None

    def _walk(self, ladder: Ladder, aim: Aim, bounds: Bounds) -> Mapping | None:
        columns = len(ladder.costs.kind) * hopes.WIDTH + hopes.TAIL
        found, room = np.zeros((len(ladder.shape.keep), 3), dtype=np.int64), ROOM
        while True:
            pool = Pool(np.empty((room, columns)), np.empty((room, NUM_LINKS), np.int64))
            score, count = walk.walk(ladder, aim, bounds, pool, found)
            if count <= room:
                return _mapping(self.task.accelerator, ladder, self.kept, found) if score < math.inf else None
            room *= 4
            if room * columns > MOST_ROOM * hopes.WIDTH:
                raise MappingError(
                    f"{self.task.layer.name!r} on {self.task.accelerator.name!r}: more than {room // 4:,} ways to "
                    "map it are as good as each other so far. Optimize energy, or give the chip fewer levels or "
                    "axes."
                )

    def root(self, ladder: Ladder, begun: np.ndarray, objective: int) -> float:
        """A lower bound of the score."""
        least = (ladder.costs.first * ladder.shape.first_shares).sum(axis=1) + ladder.costs.base + begun[:, 0, 0]
        to = int(ladder.shape.next_outputs[0])
        least -= ladder.costs.arrived[:, to] * ladder.shape.later[to] + ladder.costs.finished[:, to]
        if objective == ENERGY:
            return float(least[0])
        cycles = whole(float(least[1:].max()))
        return float(cycles if objective == LATENCY else least[0] * cycles)

    def compute(self, places: Places) -> float:
        """Cycles of the array on so many PEs; where zeros are skipped, the fewest."""
        task = self.task
        skips = Skips.of(task)
        rate = task.accelerator.precision.macs_per_cycle(task.widths.w, task.widths.i)
        steps: float | None = task.accelerator.timing.steps(task.layer)
        if steps is None:
            steps = math.prod(self.dims.values_tuple) / math.prod(n for level in places for n in level)
        share = skips.balanced * min((skips.both, *(density for _, density, _ in skips.operands)), default=1.0)
        return float(whole(steps * share / rate))

    def all_places(self) -> Iterator[Places]:
        """Every number of places that the axes below the levels may have."""
        spans = self.parted.spans
        yield from itertools.product(
            *(
                sorted({tuple(row) for row in self.parted.places[begin:end].tolist()}, reverse=True)
                for begin, end in itertools.pairwise(spans.tolist())
            )
        )


def _branches(task: Task, rules: Rules) -> Iterator[Branch]:
    finished = (False, True) if task.unfinished_bits() else (False,)
    for dims, padded in _paddings(task.accelerator, task.layer.dims) if rules.pads else [(task.layer.dims, ())]:
        for kept in choices(task):
            for whole_sums in finished if any("O" in level for level in kept[:-1]) else (False,):
                yield Branch(task, dims, padded, kept, whole_sums, rules)


def _found(task: Task, mapping: Mapping) -> Found:
    priced = price(task, mapping)
    return Found(mapping, sum(priced.energy_pj.values()), priced.cycles)


def _least_energy(branches: list[Branch]) -> Found | None:
    best: Found | None = None
    for branch in branches:
        limit = math.inf if best is None else best.energy_pj * (1 - SLACK)
        mapping = branch.search(Aim(ENERGY, limit, math.inf))
        if mapping is not None:
            best = _found(branch.task, mapping)
    return best


def _fastest(task: Task, branches: list[Branch], least: Found, objective: int) -> Mapping:
    """The fewest cycles, or the least product, beginning with the mapping of the least energy.

    Every number of places is a search of its own, the fastest array first; what the array alone takes longer for
    than the best so far, with the least energy that there is, is left out.
    """
    ranked = sorted(
        (
            (branch.compute(places), n, places)
            for n, branch in enumerate(branches)
            for places in branch.all_places()
        ),
    )
    best = least
    for aim_at in (objective, ENERGY) if objective == LATENCY else (objective,):
        for compute, n, places in ranked:
            least_score = (least.energy_pj, compute, least.energy_pj * compute)
            if least_score[objective] > best.score(objective):
                break
            limit = best.score(aim_at)
            if aim_at != LATENCY:
                limit *= 1 - SLACK
            else:
                limit -= 1
            most = best.cycles if objective == LATENCY and aim_at == ENERGY else math.inf
            mapping = branches[n].search(Aim(aim_at, float(limit), float(most)), places)
            if mapping is not None:
                found = _found(task, mapping)
                if found.score(objective) <= best.score(objective):
                    best = found
    return best.mapping


def deep_call(task: Task) -> tuple[ahead.Call, ahead.Call]:
    """The kernels of this mapper, with arguments of the types that it gives."""
    branch = next(_branches(task, EVERYTHING))
    ladder = build(task, branch.dims, branch.shape, branch.tiles, branch.parted)
    bounds = Bounds(*(np.empty((1, len(branch.shape.keep), 1)) for _ in range(2)))
    pool = Pool(np.empty((1, hopes.WIDTH + hopes.TAIL)), np.empty((1, NUM_LINKS), np.int64))
    found = np.zeros((len(branch.shape.keep), 3), dtype=np.int64)
    return (
        ahead.Call(walk.walk, (ladder, Aim(ENERGY, math.inf, math.inf), bounds, pool, found)),
        ahead.Call(hopes.hopes, (ladder, *bounds)),
    )


def choices(task: Task) -> list[Kept]:
    """What the levels may keep: every subset of the operands that may bypass, left out."""
    inner = (kept_choices(level, task) for level in task.accelerator.levels[:-1])
    return [(*kept, frozenset(OPERANDS)) for kept in itertools.product(*inner)]


def _paddings(chip: Accelerator, dims: Dims) -> list[tuple[Dims, Padded]]:
    """The dims, and variants in which one dim per axis, each on one axis alone, is padded to fill it; and which."""
    options: list[list[tuple[str, DimName, int] | None]] = []
    for axis in chip.axes:
        found: list[tuple[str, DimName, int] | None] = [None]
        for dim in axis.dims:
            found += [(axis.name, dim, bound) for bound in padded_bounds(dims[dim], axis.size)]
        options.append(found)
    variants: list[tuple[Dims, Padded]] = []
    for combination in itertools.product(*options):
        chosen = [item for item in combination if item]
        if len({dim for _, dim, _ in chosen}) == len(chosen):
            larger = replace(dims, **{dim: bound for _, dim, bound in chosen})
            variants.append((larger, tuple((axis, (dim, dims[dim])) for axis, dim, _ in chosen)))
    return variants


def _mapping(chip: Accelerator, ladder: Ladder, kept: Kept, found: np.ndarray) -> Mapping:
    """The mapping whose tiles, splits and orders the walk found."""
    levels, inside = [], np.ones(8, dtype=np.int64)
    for index, level in enumerate(chip.levels):
        tile, split, order = found[index].tolist()
        reached = ladder.tiles.vectors[tile]
        factors = reached // (inside * ladder.splits.whole[split])
        levels.append(
            LevelMapping(
                name=level.name,
                temporal=ordered(factors, ladder.shape.orders[index, order]),
                spatial=axis_loops(chip.axes, ladder.splits.on_axes[split]),
                keeps=in_order(kept[index]),
            )
        )
        inside = reached
    return Mapping(levels=tuple(levels))
