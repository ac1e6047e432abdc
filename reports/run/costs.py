"""The costs of candidates as people read them: which a frame holds, and how a value is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import units
from search.front.costs import Cost, in_tables

if TYPE_CHECKING:
    import pandas as pd


def known_costs(candidates: pd.DataFrame) -> list[Cost]:
    """The costs that tables show and these candidates carry, objectives first."""
    return [cost for cost in in_tables() if cost.key in candidates.columns and candidates[cost.key].notna().any()]


def write_cost(cost: Cost, value: float | None) -> str:
    """`4.10 mJ`; bits and counts without a unit."""
    unit, factor = cost.shown
    if unit == "bit":
        return units.number(value, 3)
    return units.quantity(None if value is None else value * factor, unit) if unit else units.count(value)
