"""Costs and accuracies of candidates as people read them. Which costs there are says `search.front.costs`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports import units
from search.front.costs import Cost, in_tables

if TYPE_CHECKING:
    import pandas as pd


def known_costs(candidates: pd.DataFrame) -> list[Cost]:
    """The costs with a column in tables that the candidates carry, objectives first."""
    return [cost for cost in in_tables() if cost.key in candidates.columns and candidates[cost.key].notna().any()]


def write_cost(cost: Cost, value: float | None) -> str:
    """`4.10 mJ`; bits and counts without a unit."""
    unit, factor = cost.shown
    if unit == "bit":
        return units.number(value, 3)
    return units.quantity(None if value is None else value * factor, unit) if unit else units.count(value)


def change(value: float, reference: float) -> str:
    """`3.20× less`, `1.10× more`, `no less`; a dash where there is nothing to compare."""
    if not (value > 0 and reference > 0):
        return units.MISSING
    ratio = reference / value
    if 0.995 < ratio < 1.005:
        return "no less"
    return f"{ratio:.2f}× less" if ratio > 1 else f"{1 / ratio:.2f}× more"


def points(gap: float) -> str:
    """A difference of accuracies in percentage points."""
    return units.MISSING if math.isnan(gap) else f"{gap * 100:+.2f} points"


def test_text(row: Mapping[str, Any]) -> str:
    """`96.11 ± 0.42 %`, or a dash where the test split was not used."""
    if not math.isfinite(row["test_accuracy"]):
        return units.MISSING
    spread = f" ± {row['test_sd'] * 100:.2f}" if math.isfinite(row["test_sd"]) else ""
    return f"{row['test_accuracy'] * 100:.2f}{spread} %"


def bits_text(bits: float) -> str:
    """A width [bit]; 32 is float."""
    return "float" if bits == 32 else str(int(bits))


def share_text(value: float, total: float) -> str:
    """A part of a total, as `12.5 %`."""
    return f"{value / total * 100:.1f} %" if total else units.MISSING
