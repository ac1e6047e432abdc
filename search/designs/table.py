"""Costs of configurations on every design of a chip file with ranges.

Of a configuration a sampler sees the costs on its *reference design*: of the designs within all limits the one with
the least product of the cost objectives, the first of equals. With one cost objective that is the least of it; with
several it is a point of the configuration's own front over the designs, whatever their units. Where no design is
within the limits it is the one that exceeds them least, and the configuration is outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hwmodel.chip.sweep.designs import Designs
from hwmodel.errors import ConfigError
from hwmodel.mapper.kin.library import Library
from hwmodel.mapper.shared import sharing_chips
from hwmodel.network.choice import Choice
from hwmodel.network.graph import LayerGraph
from hwmodel.table import CostTable
from search.front.costs import COSTS
from search.front.limits import Limits
from search.front.pareto import non_dominated

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
#: Configurations times designs that are priced before anything is left out.
AT_ONCE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """The designs that are worth something for one configuration, and its costs on them.

    Attributes:
        designs: numbers, rising. Shape (m,).
        costs: `Cost.key` -> (m,).
    """

    designs: NDArray[np.int64]
    costs: Mapping[str, Floats]


class DesignTable:
    """A `Table` of many designs.

    Args:
        designs: of the chip.
        tables: of each, over the same choices.
        objectives: keys of the cost objectives.
        limits: hard ones.
        library: of the mappings that the designs share.
    """

    def __init__(
        self,
        designs: Designs,
        tables: Sequence[CostTable],
        objectives: Sequence[str],
        limits: Limits,
        library: Library | None = None,
    ) -> None:
        self.designs, self.tables = designs, tuple(tables)
        self.objectives, self.limits = tuple(objectives), limits
        self.modules, self.choices = tables[0].modules, tables[0].choices
        self._library = library or Library()
        self._known: dict[bytes, Options] = {}

    @classmethod
    def build(
        cls,
        graph: LayerGraph,
        designs: Designs,
        choices: Mapping[str, Sequence[Choice]],
        *,
        objectives: Sequence[str],
        limits: Limits | None = None,
        fuse: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Price every module at every choice on every design.

        Args:
            graph, choices, fuse: as for `CostTable.build`.
            designs: of the chip.
            objectives: keys of the cost objectives.
            limits: hard ones.
            progress: called with (designs done, designs in all).

        Raises:
            ConfigError, MappingError: as `CostTable.build`; an objective or a limit is an area that is not known.
        """
        bounds = limits or Limits()
        wanted = [*objectives, *(limit.objective.key for limit in bounds.costs)]
        check_areas(designs, wanted)
        tables = []
        library = Library()
        with sharing_chips(library):
            for design in designs:
                tables.append(CostTable.build(graph, design.accelerator, choices, fuse=fuse))
                if progress is not None:
                    progress(len(tables), len(designs))
        return cls(designs, tables, objectives, bounds, library)

    # ---- as a table of one accelerator ---------------------------------------------------------

    def price(self, choices: Mapping[str, Choice]) -> Any:
        """Costs of one candidate on its reference design: as `hwmodel.table.Totals`, and `area_mm2` where known."""
        found = self.totals(self.tables[0].indices([choices]))
        return SimpleNamespace(**{name: float(column[0]) for name, column in found.items()})

    def totals(self, indices: Indices) -> dict[str, Floats]:
        """As `CostTable.totals`, each candidate on its reference design; with `area_mm2` where that is known."""
        best: dict[str, Floats] = {}
        rank = np.full((2, len(indices)), np.inf)  # outside the limits, then what is to be least
        for found in self._on_each(indices):
            mine = self._rank(found)
            better = (mine[0] < rank[0]) | ((mine[0] == rank[0]) & (mine[1] < rank[1]))
            rank = np.where(better, mine, rank)
            best = {name: np.where(better, column, best.get(name, column)) for name, column in found.items()}
        return best

    def least(self, indices: Indices, key: str) -> Floats:
        """The least of one cost over the designs, others left alone. Shape (n,)."""
        return np.asarray(np.min([found[key] for found in self._on_each(indices)], axis=0))

    def _on_each(self, indices: Indices) -> Iterator[dict[str, Floats]]:
        """Totals on each design in turn."""
        for design, table in zip(self.designs, self.tables, strict=True):
            with sharing_chips(self._library):
                found = table.totals(indices)
            if design.area_mm2 is not None and self.designs.has_area:
                found["area_mm2"] = np.full(len(indices), design.area_mm2)
            yield found

    def _rank(self, totals: Mapping[str, Floats]) -> Floats:
        """Rows: outside the limits (0 or 1), and what is to be least. Shape (2, n)."""
        count = len(totals["macs"])
        product, excess = np.ones(count), np.zeros(count)
        within = np.ones(count, dtype=np.bool_)
        for key in self.objectives:
            product = product * totals[key]
        for limit in self.limits.costs:
            cost = totals[limit.objective.key]
            within &= limit.holds(cost)
            excess = np.maximum(excess, cost / limit.most if limit.most > 0 else cost)
        return np.stack((np.where(within, 0.0, 1.0), np.where(within, product, excess)))

    # ---- every design --------------------------------------------------------------------------

    def costs(self, assignments: Sequence[Mapping[str, Choice]]) -> dict[str, Floats]:
        """Every cost that is known, by `Cost.key`, of every candidate on every design. Each (n, num_designs)."""
        rows = self.tables[0].indices(assignments)
        found: dict[str, list[Floats]] = {}
        for totals in self._on_each(rows):
            seen = SimpleNamespace(**totals)
            for cost in COSTS:
                if cost.is_known(seen):
                    found.setdefault(cost.key, []).append(_column(cost.compute, totals, cost.key))
        return {key: np.stack(columns, axis=1) for key, columns in found.items()}

    def options(self, assignments: Sequence[Mapping[str, Choice]]) -> list[Options]:
        """Of each candidate the designs within all limits that no other of them beats in the cost objectives.

        Of designs that cost the same the first stays. None where no design is within the limits.
        """
        keys = [row.tobytes() for row in self.tables[0].indices(assignments)]
        missing = list({key: n for n, key in enumerate(keys) if key not in self._known}.values())
        step = max(1, AT_ONCE // len(self.designs))
        for start in range(0, len(missing), step):
            chunk = missing[start : start + step]
            costs = self.costs([assignments[n] for n in chunk])
            for row, n in enumerate(chunk):
                self._known[keys[n]] = self._worth({key: column[row] for key, column in costs.items()})
        return [self._known[key] for key in keys]

    def _worth(self, costs: Mapping[str, Floats]) -> Options:
        within = np.ones(len(self.designs), dtype=np.bool_)
        for limit in self.limits.costs:
            within &= limit.holds(costs[limit.objective.key])
        kept = np.flatnonzero(within)
        if len(kept):
            losses = np.stack([costs[key][kept] for key in self.objectives], axis=1)
            _, first = np.unique(losses, axis=0, return_index=True)
            alive = np.zeros(len(kept), dtype=np.bool_)
            alive[first] = True
            kept = kept[alive & non_dominated(losses)]
        return Options(designs=kept, costs={key: column[kept] for key, column in costs.items()})


def check_areas(designs: Designs, keys: Sequence[str]) -> None:
    """Refuse an area that is asked for and not known.

    Raises:
        ConfigError: so it is; with the parts whose area is not stated.
    """
    if "area_mm2" not in keys or designs.has_area:
        return
    raise ConfigError(
        f"area: needs the area of every part of {designs.name!r}, but there is none of "
        f"{', '.join(designs.area_unknown)}. Write `area:` there, or leave area out."
    )


def _column(compute: Callable[[Any], float] | None, totals: Mapping[str, Floats], key: str) -> Floats:
    if compute is None:
        return totals[key]
    rows = zip(*totals.values(), strict=True)
    return np.array([compute(SimpleNamespace(**dict(zip(totals, row, strict=True)))) for row in rows])
