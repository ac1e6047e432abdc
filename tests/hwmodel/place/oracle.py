"""The best placement of a network, found from the last node back: a plain recursion over sets of tensors.

Independent of the compiled placement: no masks, no slots, no blocks of candidates. What it shares with it
is the price of one layer in one situation (`layer_cost`), which has tests of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from hwmodel import LayerGraph
from hwmodel.chip.accelerator import Accelerator
from hwmodel.cost import layer_cost
from hwmodel.errors import MappingError
from hwmodel.nest.task import ROOMS, Stay
from hwmodel.place.groups import Group, Stripes
from hwmodel.place.plan import Plan
from tests.hwmodel.place.test_placement import vector_by_hand, width_of

Tensors = frozenset[int]
NOWHERE = (math.inf, math.inf)


class Oracle:
    """All placements of a network on a chip with a resident memory.

    Args:
        graph: every layer of it with its bits.
        accelerator: with such a memory.
        optimize: energy or latency.
        fuse: as `evaluate`'s.
        always: try groups of layers everywhere, not only where their tensors do not fit as they are.
    """

    def __init__(
        self, graph: LayerGraph, accelerator: Accelerator, optimize: str, *, fuse: bool = True, always: bool = False
    ) -> None:
        self.graph, self.accelerator, self.optimize, self.always = graph, accelerator, optimize, always
        self.plan = Plan.of(graph, accelerator, fuse=fuse)
        self.keeper, self.outer = accelerator.keeper, accelerator.levels[-1].memories[0]
        self.at_step = {work.step: n for n, work in enumerate(self.plan.works)}
        self.names = {tensor.name: width_of(graph, tensor.name) for tensor in self.plan.tensors}
        self.width = list(self.names.values())
        self.bits = [t.elements * width for t, width in zip(self.plan.tensors, self.width, strict=True)]
        self.movable = [n for n, tensor in enumerate(self.plan.tensors) if tensor.inside]
        self.best = cache(self._best)
        self.layer = cache(self._layer)

    def least(self) -> float:
        """The score of the best placement."""
        return self.best(0, frozenset())

    def everywhere(self) -> Iterator[tuple[float, Tensors]]:
        """(score, tensors inside) of every placement without groups, one by one."""
        for inside in _subsets(self.movable):
            if all(self.taken(inside & set(alive)) <= self.keeper.size_bits for alive in self.plan.alive.steps):
                yield sum(self.at(step, inside) for step in range(len(self.plan.alive.steps))), inside

    def taken(self, tensors: Tensors) -> int:
        return sum(self.bits[n] for n in tensors)

    def _best(self, step: int, inside: Tensors) -> float:
        """The least that the nodes from one on cost, where these tensors lie inside before it."""
        if step == len(self.plan.alive.steps):
            return 0.0
        found = [math.inf]
        for born in _subsets([n for n in self.movable if self.plan.tensors[n].birth == step]):
            now = inside | born
            if self.taken(now) <= self.keeper.size_bits and (score := self.at(step, now)) < math.inf:
                found.append(score + self.best(step + 1, self.left(now, step, step)))
        for group, stripes in self.plan.options:
            if group.begin == step:
                found += self.jumps(group, stripes, inside)
        return min(found)

    def left(self, inside: Tensors, first: int, last: int) -> Tensors:
        """Those of them that are read after some steps."""
        return frozenset(n for n in inside if not first <= self.plan.tensors[n].death <= last)

    def at(self, step: int, inside: Tensors) -> float:
        """The score of one node."""
        score = 0.0
        if step in self.at_step:
            free = self.keeper.size_bits - self.taken(inside & set(self.plan.alive.steps[step]))
            n = self.at_step[step]
            score = self.score(*self.layer(n, self.operands(n, inside), free, 0))
        return score + self.operations(step, step, inside)

    def operands(self, n: int, inside: Tensors) -> str:
        work = self.plan.works[n]
        reads = bool(work.inputs) and set(work.inputs) <= inside
        return "I" * reads + "O" * (work.output in inside)

    def score(self, energy: float, cycles: float) -> float:
        return energy if self.optimize == "energy" else cycles

    def _layer(self, n: int, resident: str, free: float, rows: int) -> tuple[float, float]:
        """Energy and cycles of a layer."""
        work, size = self.plan.works[n], self.keeper.size_bits
        layer = self.plan.layers[n]
        room = max(part * size for part in ROOMS if part * size <= free)
        stored = max((self.width[t] for t in work.inputs), default=layer.bits.i)
        output = layer.bits.out if work.output is None else self.width[work.output]
        stay = Stay(
            resident=tuple(resident),
            room_bits=room if room < size else None,
            i_bits=stored if stored != layer.bits.i else None,
        )
        sized = layer.with_bits(replace(layer.bits, o=output))
        how = {"stay": stay, "unwritten": work.unwritten, "rows": rows}
        try:
            cost = layer_cost(sized, self.accelerator, self.optimize, **how)
        except MappingError:
            return NOWHERE
        return cost.energy_pj, float(cost.cycles)

    def operations(self, first: int, last: int, inside: Tensors) -> float:
        """The score of the operations without MACs of some steps."""
        return sum(
            self.score(*vector_by_hand(self.plan, self.accelerator, vector, inside, self.names))
            for vector in self.plan.vectors
            if first <= vector.step <= last
        )

    def jumps(self, group: Group, stripes: Stripes, inside: Tensors) -> Iterator[float]:
        """Scores of a group in so many stripes, and of all that follows."""
        size, plan = self.keeper.size_bits, self.plan
        pairs = [self.taken(frozenset(group.inner[max(k - 1, 0) : k + 1])) for k in range(len(group.inner))]
        if not self.always and self.taken(inside) + max(pairs) <= size:
            return
        lines = sum(n * self.width[t] for t, n in zip(group.inner, stripes.lines, strict=True))
        members = range(group.first, group.last + 1)
        for output in ([], [group.output]) if group.output in self.movable else ([],):
            now = inside | set(output)
            for weights in ("", "W") if "W" in self.keeper.holds else ("",):
                free = size - self.taken(now) - lines
                if weights:
                    layers = [plan.layers[n] for n in members]
                    free -= sum(layer.elements("W") * layer.bits.w for layer in layers)
                if free < 0:
                    continue
                score = self.operations(group.begin, group.end, now)
                for n, rows in zip(members, stripes.rows, strict=True):
                    reads = n > group.first or "I" in self.operands(n, now)
                    writes = n < group.last or bool(output)
                    score += self.score(*self.layer(n, weights + "I" * reads + "O" * writes, free, rows))
                if score < math.inf:
                    yield score + self.best(group.end + 1, self.left(now, group.begin, group.end))


def _subsets(tensors: list[int]) -> Iterator[Tensors]:
    for count in range(len(tensors) + 1):
        yield from map(frozenset, itertools.combinations(tensors, count))
