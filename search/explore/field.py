"""All designs of an exploration as arrays: their bounds, what was ruled out, and the front so far.

A design is ruled out when a priced one is no worse than its lower bounds in every axis of a front, and better in
one or preferred among equals, for every front. Of designs that are equal in all axes the one with the widest ports
is preferred, then the first one. Lower bounds of a design that is not priced yet rise with what is:

- its own (`hwmodel.place.lower`), the area being exact;
- the costs of a *kin*, equal but for wider ports: where mappings minimise energy it takes as much energy, and no
  more cycles; where they minimise latency, no more cycles;
- the energy of one with larger memories, where mappings minimise energy and nothing else enters it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwmodel.mapper.free import Objective
from hwmodel.place.lower import Least
from search.explore.axes import Axes, Floats
from search.explore.pricing import Look, Price
from search.front.pareto import non_dominated

Rows = NDArray[np.int64]
#: What became of a design.
OPEN, PRICED, RULED_OUT, OUTSIDE, NO_CHIP, NO_AREA, FAILED = range(7)
#: What rounding may take from a bound that another design gives.
NEARLY = 1 - 1e-12


class Field:
    """Designs, one row each.

    Args:
        axes: that they are compared in.
        optimize: what mappings minimise.
    """

    def __init__(self, axes: Axes, optimize: Objective) -> None:
        self.axes, self.optimize = axes, optimize
        count = len(axes.models)
        self.looks: list[Look] = []
        self.errors: dict[int, str] = {}
        self.row_of: dict[int, int] = {}
        self.state: NDArray[np.int8] = np.zeros(0, dtype=np.int8)
        self.energy: Floats = np.zeros((0, count))
        self.cycles: Floats = np.zeros((0, count))
        self.clock: Floats = np.zeros(0)
        self.area: Floats = np.zeros(0)
        self._kin: dict[str, list[int]] = {}
        self._family: dict[str, list[int]] = {}
        self._ranks: Rows = np.zeros(0, dtype=np.int64)
        self._priced: set[int] = set()

    def __len__(self) -> int:
        return len(self.looks)

    @property
    def num_priced(self) -> int:
        """Designs whose costs are known, within the limits or not."""
        return len(self._priced)

    def add(self, looks: Sequence[Look], leasts: Sequence[Sequence[Least]]) -> None:
        """Designs and the bounds of each; those that are no chip have none."""
        states = []
        for look in looks:
            self.row_of[look.number] = len(self.looks)
            if look.kin:
                self._kin.setdefault(look.kin, []).append(len(self.looks))
            if look.family:
                self._family.setdefault(look.family, []).append(len(self.looks))
            error = look.error or self._lacks(look)
            if error:
                self.errors[look.number] = error
            states.append(OPEN if not error else NO_CHIP if look.error else NO_AREA)
            self.looks.append(look)
        count = len(self.axes.models)
        pairs = np.array([found or [Least(0.0, 0.0)] * count for found in leasts], dtype=np.float64)
        pairs = pairs.reshape(len(looks), count, 2)
        self.state = np.append(self.state, states).astype(np.int8)
        self.energy = np.concatenate((self.energy, pairs[:, :, 0]))
        self.cycles = np.concatenate((self.cycles, pairs[:, :, 1]))
        self.clock = np.append(self.clock, [look.clock_hz for look in looks])
        area = [np.nan if look.area_mm2 is None else look.area_mm2 for look in looks]
        self.area = np.append(self.area, area)
        order = sorted(
            range(len(self.looks)),
            key=lambda row: (tuple(-width for width in self.looks[row].ports), self.looks[row].number),
        )
        self._ranks = np.empty(len(order), dtype=np.int64)
        self._ranks[order] = np.arange(len(order))

    def _lacks(self, look: Look) -> str:
        """What is asked of a design and not known."""
        bounded = (limit.objective.name for limit in self.axes.limits.costs)
        if look.area_mm2 is None and "area" in {*self.axes.names, *bounded}:
            return f"no area is stated for {', '.join(look.unknown)}"
        return ""

    # ---- values --------------------------------------------------------------------------------

    def rows(self, state: int) -> Rows:
        """The rows of that state."""
        return np.flatnonzero(self.state == state)

    def latency(self, rows: Rows) -> Floats:
        """Of every network [s], exact or least. (n, num_models)"""
        found: Floats = self.cycles[rows] / self.clock[rows][:, None]
        return found

    def losses(self, rows: Rows) -> Floats:
        """As `Axes.losses`; of designs that are not priced lower bounds."""
        return self.axes.losses(self.energy[rows], self.latency(rows), self.area[rows])

    def front(self, columns: Sequence[int]) -> Rows:
        """The priced rows that no other priced one dominates, of equals the preferred one; preferred ones first."""
        rows = self.rows(PRICED)
        if not len(rows):
            return rows
        rows = rows[np.argsort(self._ranks[rows])]
        values = self.losses(rows)[:, list(columns)]
        _, first = np.unique(values, axis=0, return_index=True)
        kept = np.zeros(len(rows), dtype=np.bool_)
        kept[first] = True
        kept &= non_dominated(values)
        return rows[kept]

    def rows_on_fronts(self) -> Rows:
        """The rows on some front."""
        return np.unique(np.concatenate([self.front(view.columns) for view in self.axes.views]))

    # ---- what is known by and by ---------------------------------------------------------------

    def check_limits(self) -> None:
        """Open designs whose bounds are outside of the limits need no price."""
        rows = self.rows(OPEN)
        inside = self.axes.within(self.energy[rows], self.latency(rows), self.area[rows])
        self.state[rows[~inside]] = OUTSIDE

    def take(self, prices: Sequence[Price]) -> None:
        """Prices of open designs, and what follows from them for the others."""
        taken = []
        for price in prices:
            row = self.row_of[price.number]
            if price.error:
                self.state[row], self.errors[price.number] = FAILED, price.error
                continue
            self.energy[row], self.cycles[row] = price.energy_pj, price.cycles
            self.state[row] = PRICED
            self._priced.add(row)
            taken.append(row)
            self._raise_bounds(row)
        rows = np.array(taken, dtype=np.int64)
        inside = self.axes.within(self.energy[rows], self.latency(rows), self.area[rows])
        self.state[rows[~inside]] = OUTSIDE
        self.check_limits()
        self.rule_out(rows[inside])

    def rule_out(self, by: Rows, among: Rows | None = None) -> None:
        """Rule out what priced rows leave without use: open rows, or those of them that are given."""
        rows = self.rows(OPEN) if among is None else among
        bounds, points = self.losses(rows), self.losses(by)
        useless = np.ones(len(rows), dtype=np.bool_)
        for view in self.axes.views:
            columns = list(view.columns)
            useless &= _covered(bounds[:, columns], self._ranks[rows], points[:, columns], self._ranks[by])
        self.state[rows[useless]] = RULED_OUT

    def _raise_bounds(self, row: int) -> None:
        """What a price says about designs of the same kind."""
        look = self.looks[row]
        for other in self._kin.get(look.kin, ()):
            if self.state[other] == OPEN and _holds(look.ports, self.looks[other].ports):
                if self.optimize == "energy":
                    self.energy[other] = np.maximum(self.energy[other], self.energy[row])
                if self.optimize != "edp":
                    self.cycles[other] = np.maximum(self.cycles[other], self.cycles[row])
        if self.optimize != "energy" or not look.family:
            return
        for other in self._family.get(look.family, ()):
            if self.state[other] == OPEN and _holds(look.sizes, self.looks[other].sizes):
                self.energy[other] = np.maximum(self.energy[other], self.energy[row] * NEARLY)

    # ---- what is next --------------------------------------------------------------------------

    def promising(self) -> Rows:
        """Open rows that must be priced whatever the others cost, or are as promising: most promising first.

        Of kin the one with the widest ports goes first, and alone. Of these no other open one may be better in
        every axis, as far as bounds tell.
        """
        rows = self.rows(OPEN)
        heads: dict[str, int] = {}
        for row in rows[np.argsort(self._ranks[rows])].tolist():
            look = self.looks[row]
            heads.setdefault(look.kin or str(look.number), row)
        rows = np.array(sorted(heads.values()), dtype=np.int64)
        if not len(rows):
            return rows
        losses = self.losses(rows)
        best = np.zeros(len(rows), dtype=np.bool_)
        for view in self.axes.views:
            best |= non_dominated(losses[:, list(view.columns)])
        rows, losses = rows[best], losses[best]
        promise = np.log(np.maximum(losses, 1e-300)).sum(axis=1)
        return rows[np.lexsort((self._ranks[rows], promise))]


def _covered(bounds: Floats, ranks: Rows, points: Floats, point_ranks: Rows) -> NDArray[np.bool_]:
    """Which bounds (n, c) some point (m, c) makes useless."""
    found = np.zeros(len(bounds), dtype=np.bool_)
    for point, rank in zip(points, point_ranks, strict=True):
        no_better = (point <= bounds).all(axis=1)
        found |= no_better & ((point < bounds).any(axis=1) | (rank < ranks))
    return found


def _holds(larger: Sequence[float], smaller: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(larger, smaller, strict=True))
