"""Costs of many candidates of a space at once, as columns of picks.

Picks of a space: (n, num_groups), for each group the index of its combination (`Group.combinations`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError
from hwmodel.network.choice import FLOAT, remove_filters, surviving_weights
from hwmodel.table import CostTable
from search.designs.table import DesignTable
from search.front.costs import COSTS
from search.groups import AXES, AxisValue
from search.propose.pricing import Pricer
from search.propose.problem import Floats, Picks
from search.space import Point, Space
from workloads.compress.config import CompressionConfig

#: Candidates that a table prices in one call.
AT_ONCE = 8192


class PicksOf:
    """Translates points of a space to picks and back.

    Args:
        space: the candidates.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.combinations = [list(group.combinations) for group in space.groups]
        self._positions = [{c: n for n, c in enumerate(found)} for found in self.combinations]
        names = {parameter.name for parameter in space.parameters}
        self._names = [[f"{group.name}.{axis}" for axis in AXES] for group in space.groups]
        self._is_free = [[name in names for name in row] for row in self._names]

    def row(self, point: Point) -> tuple[int, ...]:
        """The picks of one point."""
        return tuple(
            positions[tuple(point.get(name, last) for name, last in zip(names, combinations[-1], strict=True))]
            for positions, names, combinations in zip(self._positions, self._names, self.combinations, strict=True)
        )

    def rows(self, points: Sequence[Point]) -> Picks:
        """The picks of many points. Shape (n, num_groups)."""
        return np.array([self.row(point) for point in points], dtype=np.int64).reshape(
            len(points), len(self.combinations)
        )

    def point(self, row: Sequence[int]) -> dict[str, AxisValue]:
        """Inverse of `row`."""
        return {
            name: value
            for names, free, combinations, pick in zip(
                self._names, self._is_free, self.combinations, row, strict=True
            )
            for name, is_free, value in zip(names, free, combinations[pick], strict=True)
            if is_free
        }

    def config(self, row: Sequence[int]) -> CompressionConfig:
        """The configuration of one row."""
        return self.space.config(self.point(row))


class ManyCosts:
    """Costs of picks, equal to those of `Pricer.costs`.

    Args:
        pricer: of the graph.
        picks: of the space.
        keys: the cost keys wanted, in order.
    """

    def __init__(self, pricer: Pricer, picks: PicksOf, keys: Sequence[str]) -> None:
        self._pricer, self._picks, self._keys = pricer, picks, tuple(keys)
        self._by_key = {key: self._column(key) for key in self._keys}

    def __call__(self, picks: Picks) -> Floats:
        """Shape (n, num_keys)."""
        if not len(picks):
            return np.zeros((0, len(self._keys)))
        parts = [self._priced(picks[start : start + AT_ONCE]) for start in range(0, len(picks), AT_ONCE)]
        return np.concatenate(parts)

    def least(self, picks: Picks) -> Floats:
        """The least of each cost alone over the designs of the chip (n, num_keys); without designs the costs."""
        found = self(picks)
        for column, key in enumerate(self._keys):
            table, plain = self._pricer.table_of(key)
            if isinstance(table, DesignTable):
                found[:, column] = table.least(self._indices(table)(picks), plain)
        return found

    def _priced(self, picks: Picks) -> Floats:
        tables: dict[int, dict[str, Floats]] = {}
        found = []
        for key in self._keys:
            table, plain = self._pricer.table_of(key)
            if isinstance(table, CostTable | DesignTable):
                if id(table) not in tables:
                    tables[id(table)] = table.totals(self._indices(table)(picks))
                found.append(tables[id(table)][plain])
            elif table is None:
                found.append(self._without_chip(picks)[plain])
            else:
                found.append(self._one_by_one(picks, key))
        return np.stack(found, axis=1)

    def _column(self, key: str) -> str:
        plain = key.partition("@")[0]
        table, _ = self._pricer.table_of(key)
        for cost in COSTS:
            if cost.key == plain and (table is not None or not cost.needs_accelerator):
                if cost.needs_designs and not (isinstance(table, DesignTable) and table.designs.has_area):
                    break
                return plain
        raise ConfigError(f"costs: {key!r} cannot be priced here. Give an accelerator.")

    # ---- with a table --------------------------------------------------------------------------

    def _indices(self, table: CostTable | DesignTable) -> Callable[[Picks], NDArray[np.int64]]:
        """Picks -> indices of a table."""
        space = self._picks.space
        choices = space.choices()
        maps: list[tuple[int, NDArray[np.int64]]] = []
        groups = {module: column for column, group in enumerate(space.groups) for module in group.modules}
        for module in table.modules:
            position = {choice: n for n, choice in enumerate(table.choices[module])}
            offered = choices.get(module, table.choices[module][:1])
            missing = [choice for choice in offered if choice not in position]
            if missing:
                raise ConfigError(
                    f"table: {missing[0]} of {module!r} is not in the table. Build it with space.choices()."
                )
            maps.append(
                (groups.get(module, -1), np.array([position[choice] for choice in offered], dtype=np.int64))
            )

        def convert(picks: Picks) -> NDArray[np.int64]:
            found = np.empty((len(picks), len(maps)), dtype=np.int64)
            for column, (group, positions) in enumerate(maps):
                found[:, column] = positions[0] if group < 0 else positions[picks[:, group]]
            return found

        return convert

    def _one_by_one(self, picks: Picks, key: str) -> Floats:
        """A table of the user's own."""
        return np.array([self._pricer.costs(self._picks.config(row.tolist()))[key] for row in picks])

    # ---- without -------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> tuple[dict[str, float], list[dict[str, Floats]]]:
        """What the most precise candidate costs, and per group what each combination adds to that."""
        graph, space = self._pricer.graph, self._picks.space
        base = self._pricer.costs(self._picks.config([len(found) - 1 for found in self._picks.combinations]))
        weights = sum(layer.weights for layer in graph.weight_layers)
        first = {layer.name for layer in graph.weight_layers}
        parts = []
        for group, choices in zip(space.groups, space.group_choices, strict=True):
            own = [layer for layer in graph.layers if layer.module in group.modules]
            totals = np.zeros((len(choices), 3))
            for row, choice in zip(totals, choices, strict=True):
                for layer in own:
                    done = choice.annotate(layer)
                    bits = done.bits or FLOAT
                    row[2] += remove_filters(done).macs * bits.w * bits.i
                    if layer.name in first:
                        row[0] += layer.weights * bits.w / weights
                        row[1] += surviving_weights(done) * bits.w
            totals -= totals[-1].copy()
            parts.append(dict(zip(("avg_w_bits", "weight_bits", "bops"), totals.T, strict=True)))
        return base, parts

    def _without_chip(self, picks: Picks) -> dict[str, Floats]:
        base, parts = self._parts
        found = {}
        for name in ("avg_w_bits", "weight_bits", "bops"):
            total = np.full(len(picks), base[name])
            for column, part in enumerate(parts):
                total += part[name][picks[:, column]]
            found[name] = total
        return found
