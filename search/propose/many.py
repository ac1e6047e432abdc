"""Costs of many candidates of a space at once, as columns of picks.

Picks of a space: (n, num_groups), for each group the index of its combination (`Group.combinations`; `layout_of`).
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
from search.groups import AXES
from search.propose.pricing import Pricer
from search.propose.problem import Floats, Layout, Picks
from search.space import Space

#: Candidates that a table prices in one call.
AT_ONCE = 8192


def layout_of(space: Space) -> Layout:
    """Groups as decisions, their combinations as options; an axis of a single value is no parameter."""
    names = {parameter.name for parameter in space.parameters}
    return Layout(
        [
            [
                {f"{group.name}.{axis}": value for axis, value in zip(AXES, combination, strict=True)
                 if f"{group.name}.{axis}" in names}
                for combination in group.combinations
            ]
            for group in space.groups
        ]
    )  # fmt: skip


class ManyCosts:
    """Costs of picks, equal to those of `Pricer.costs`.

    Args:
        pricer: of the graph.
        space: the candidates.
        keys: the cost keys wanted, in order.
    """

    def __init__(self, pricer: Pricer, space: Space, keys: Sequence[str]) -> None:
        self._pricer, self._space, self._keys = pricer, space, tuple(keys)
        self._layout = layout_of(space)
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
        space = self._space
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
        return np.array([self._cost_of(row.tolist())[key] for row in picks])

    def _cost_of(self, row: Sequence[int]) -> dict[str, float]:
        return self._pricer.costs(self._space.config(self._layout.params(row)))

    # ---- without -------------------------------------------------------------------------------

    @cached_property
    def _parts(self) -> tuple[dict[str, float], list[dict[str, Floats]]]:
        """What the most precise candidate costs, and per group what each combination adds to that."""
        graph, space = self._pricer.graph, self._space
        base = self._cost_of([size - 1 for size in self._layout.sizes])
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
