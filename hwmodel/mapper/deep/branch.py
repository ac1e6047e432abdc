"""One way to begin a search: (padded) dims, who keeps what, when outputs that stay are finished."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwmodel.chip.accelerator import Accelerator
from hwmodel.errors import MappingError
from hwmodel.mapper.deep import hopes, walk
from hwmodel.mapper.deep.labels import NUM_LINKS
from hwmodel.mapper.deep.ladder import Kept, Ladder, Shape, build, capacity_of, gaps, shape
from hwmodel.mapper.deep.lattice import Lattice, lattice
from hwmodel.mapper.deep.measures import needs_of
from hwmodel.mapper.deep.metrics import without_energy
from hwmodel.mapper.deep.splits import Padded, Splits, only, splits
from hwmodel.mapper.deep.states import Aim, Bounds, Needs, Pool
from hwmodel.mapper.free import Objective, in_order, ordered
from hwmodel.mapper.scores import ENERGY, LATENCY, SLACK
from hwmodel.mapper.space.hierarchy import kept_choices
from hwmodel.mapper.space.unrolling import axis_loops, padded_bounds
from hwmodel.nest.mapping import LevelMapping, Mapping
from hwmodel.nest.task import Task
from hwmodel.network.layer import OPERANDS, DimName, Dims
from hwmodel.price.lines.line import whole
from hwmodel.price.sparsity import Skips

#: Labels that there is room for at first, and at most (of energy alone; lines take more room each).
ROOM, MOST_ROOM = 1 << 18, 1 << 23
#: Limits over the lowest bound, tried one after the other: what is found first is the best, and close to the bound.
#: Then so many labels per level show a limit that something is within.
BUDGETS = (1.003, 1.01, 1.03)
NARROW = 256
#: Places along each axis, per level.
Places = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Rules:
    """What a search leaves out, for comparisons with searches that know less.

    Attributes:
        pads: bounds may be padded to fill an axis.
        ends_at_splits: reuse ends at a level that has no loop but whose places need different words.
        one_window: where operands have tiles of their own, a loop slides a window over one tile of I alone.
    """

    pads: bool = True
    ends_at_splits: bool = False
    one_window: bool = False


EVERYTHING = Rules()


class Branch:
    """One set of (padded) dims, what the levels keep, and when sums are finished.

    Args:
        whole_sums: outputs that stay are finished when they get where they lie.
        finished: as of `hwmodel.mapper.deep.ladder.shape`.
    """

    def __init__(
        self, task: Task, dims: Dims, padded: Padded, kept: Kept, whole_sums: bool, finished: frozenset[int] | None,
        rules: Rules,
    ) -> None:  # fmt: skip
        self.task, self.dims, self.padded, self.kept = task, dims, padded, kept
        self.whole_sums, self.finished, self.rules = whole_sums, finished, rules
        self.tiles: Lattice = lattice(dims)
        self.parted: Splits = splits(task.accelerator, dims, padded)

    def with_sums(self, *, whole_sums: bool, finished: frozenset[int] | None) -> Branch:
        """The same with sums that are finished elsewhere."""
        return Branch(self.task, self.dims, self.padded, self.kept, whole_sums, finished, self.rules)

    @cached_property
    def shape(self) -> Shape:
        return self._shape(self.parted)

    def _shape(self, parted: Splits) -> Shape:
        return shape(
            self.task, self.dims, self.kept, parted,
            whole_sums=self.whole_sums, finished=self.finished, ends_at_splits=self.rules.ends_at_splits,
        )  # fmt: skip

    @cached_property
    def ladder(self) -> Ladder:
        """Of energy alone, wherever the axes have how many places."""
        return build(self.task, self.dims, self.shape, self.tiles, self.parted)

    @cached_property
    def needs(self) -> Needs:
        """What the hops out of the levels move at least."""
        return needs_of(self.ladder, self.dims)

    @cached_property
    def bounds(self) -> Bounds:
        """Of energy alone."""
        return self._bounds(self.ladder, self.needs)

    @cached_property
    def least_energy(self) -> float:
        """A lower bound [pJ], infinite where nothing fits."""
        return self._root(self.ladder, self.bounds, ENERGY)

    def least_in(self, task: Task, optimize: Objective) -> float:
        """A lower bound of the energy [pJ], or the cycles, of a task that differs in the sizes of memories alone.

        Cycles are those of the array, with as many PEs as divide the layer.
        """
        capacity = capacity_of(task, whole_sums=self.whole_sums)
        ladder = self.ladder._replace(shape=self.shape._replace(capacity=capacity))
        bounds = self._bounds(ladder, needs_of(ladder, self.dims, like=self.needs))
        energy = self._root(ladder, bounds, ENERGY)
        return energy if optimize == "energy" or energy == math.inf else self.fewest_cycles()

    def fewest_cycles(self) -> float:
        """Cycles of the array with as many PEs as divide the layer."""
        spans = itertools.pairwise(self.parted.spans.tolist())
        return self._compute(math.prod(self.parted.total[begin:end].max() for begin, end in spans))

    def search(self, aim: Aim, places: Places | None = None) -> Mapping | None:
        """The best mapping within an aim, None where there is none; with lines where the places are given."""
        if places is None:
            return self._search(self.ladder, self.bounds, aim)
        parted = only(self.parted, places)
        ladder = build(
            self.task, self.dims, self._shape(parted), self.tiles, parted, timed=True, compute=self.compute(places)
        )
        if aim.objective == LATENCY:
            ladder = ladder._replace(costs=without_energy(ladder.costs), tie=0.0)
        return self._search(ladder, self._bounds(ladder, self.needs), aim)

    def _bounds(self, ladder: Ladder, needs: Needs) -> Bounds:
        size = (len(ladder.costs.kind), len(ladder.shape.keep), len(self.tiles.vectors))
        bounds = Bounds(needs, np.empty(size), np.empty(size))
        hopes.hopes(ladder, bounds)
        return bounds

    def _search(self, ladder: Ladder, bounds: Bounds, aim: Aim) -> Mapping | None:
        least = self._root(ladder, bounds, aim.objective)
        for growth in BUDGETS:
            if least > aim.limit or least == math.inf:
                return None
            limit = min(least * growth, aim.limit) if least > 0 else aim.limit
            found, least = self._walk(ladder, aim._replace(limit=float(limit)), bounds)
            if found is not None:
                return found
        if least > aim.limit or least == math.inf:
            return None
        if aim.limit == math.inf:
            good, reached = self._walk(ladder, aim._replace(width=NARROW), bounds)
            aim = aim if good is None else aim._replace(limit=reached * (1 + SLACK))
        return self._walk(ladder, aim, bounds)[0]

    def _walk(self, ladder: Ladder, aim: Aim, bounds: Bounds) -> tuple[Mapping | None, float]:
        """The best mapping within an aim, and the least that any may come to where there is none."""
        columns = len(ladder.costs.kind) * hopes.WIDTH + hopes.TAIL
        found, room = np.zeros((len(ladder.shape.keep), 3), dtype=np.int64), ROOM
        while True:
            pool = Pool(np.empty((room, columns)), np.empty((room, NUM_LINKS), np.int64))
            score, beyond, count = walk.walk(ladder, aim, bounds, pool, found)
            if count <= room:
                if score == math.inf:
                    return None, beyond
                return _mapping(self.task.accelerator, ladder, self.kept, found), score
            room *= 4
            if room * columns > MOST_ROOM * hopes.WIDTH:
                raise MappingError(
                    f"{self.task.layer.name!r} on {self.task.accelerator.name!r}: more than {room // 4:,} ways to "
                    "map it are as good as each other so far. Optimize energy, or give the chip fewer levels or "
                    "axes."
                )

    def _root(self, ladder: Ladder, bounds: Bounds, objective: int) -> float:
        """A lower bound of the score."""
        least = (ladder.costs.first * ladder.shape.first_shares).sum(axis=1) + ladder.costs.base
        least += bounds.begun[:, 0, 0]
        to = int(ladder.shape.next_outputs[0])
        least -= ladder.costs.arrived[:, to] * ladder.shape.later[to] + ladder.costs.finished[:, to]
        if objective == ENERGY or least[0] == math.inf:
            return float(least[0])
        cycles = whole(float(least[1:].max()))
        return float(cycles if objective == LATENCY else least[0] * cycles)

    def has_room_for_sums(self) -> bool:
        """Where outputs stay, what unfinished ones take more fits before any tile does."""
        return bool((capacity_of(self.task, whole_sums=self.whole_sums) >= 0).all())

    def has_room(self) -> bool:
        """Where outputs stay, beside their unfinished sums, all that the level may keep fits at once."""
        whole, levels = self.needs.room[1, :, -1], self.task.accelerator.levels
        rested = [n for n, level in enumerate(levels) if any(self.task.rests("O", m) for m in level.memories)]
        return bool(whole[rested].all())

    def compute(self, places: Places) -> float:
        """Cycles of the array on so many PEs; where zeros are skipped, the fewest."""
        return self._compute(math.prod(n for level in places for n in level))

    def _compute(self, num_pes: int) -> float:
        task = self.task
        skips = Skips.of(task)
        rate = task.accelerator.precision.macs_per_cycle(task.widths.w, task.widths.i)
        steps: float | None = task.accelerator.timing.steps(task.layer)
        if steps is None:
            steps = math.prod(self.dims.values_tuple) / num_pes
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


def branches_of(task: Task, rules: Rules = EVERYTHING) -> Iterator[Branch]:
    """All of them."""
    for branch in resting(task, rules):
        outer = [level for _, level in gaps(task, branch.kept) if not branch.needs.room[1, level, -1]]
        for n in range(len(outer) + 1):
            for finished in itertools.combinations(outer, n):
                yield branch.with_sums(whole_sums=branch.whole_sums, finished=frozenset(finished))


def resting(task: Task, rules: Rules = EVERYTHING) -> Iterator[Branch]:
    """The branches by when outputs that stay are finished; other sums take as little room as they may."""
    for branch in roomiest(task, rules):
        unfinished = branch.with_sums(whole_sums=False, finished=None)
        fits = unfinished.has_room_for_sums()
        if fits:
            yield unfinished
        if branch.whole_sums and not (fits and unfinished.has_room()):
            yield branch


def roomiest(task: Task, rules: Rules = EVERYTHING) -> Iterator[Branch]:
    """For all dims and all that levels may keep, the one whose outputs that stay are finished: most fits it.

    Sums that come from the MACs are never finished.
    """
    for dims, padded in _paddings(task.accelerator, task.layer.dims) if rules.pads else [(task.layer.dims, ())]:
        for kept in choices(task):
            whole_sums = task.unfinished_bits() > 0 and any("O" in level for level in kept[:-1])
            yield Branch(task, dims, padded, kept, whole_sums, None, rules)


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
