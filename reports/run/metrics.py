"""Costs and accuracies of candidates as people read them. Which costs there are says `search.front.costs`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports import units
from search.front.costs import Cost, costs_of
from workloads.training.accuracy import Interval

if TYPE_CHECKING:
    import pandas as pd

    from search.finaltest import FinalSummary


def known_costs(candidates: pd.DataFrame) -> list[Cost]:
    """The costs with a column in tables that the candidates carry, objectives first."""
    shown = [cost for cost in costs_of(candidates.columns) if cost.role != "file"]
    return [cost for cost in shown if candidates[cost.key].notna().any()]


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


def interval_of(row: Mapping[str, Any], name: str) -> Interval | None:
    """The 95 % interval of `accuracy` or `test` in a row of candidates; None where there is none."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return Interval(low=low, high=high) if math.isfinite(low) else None


def interval_text(row: Mapping[str, Any], name: str) -> str:
    """`95.1 to 97.4`, the 95 % interval of an accuracy [%]; "" where there is none."""
    interval = interval_of(row, name)
    return "" if interval is None else str(interval)


def scored_text(row: Mapping[str, Any], name: str) -> str:
    """`96.11 % (95 %: 95.1 to 97.4)`, or what is known of it."""
    interval = interval_text(row, name)
    value = units.percent(row["test_accuracy" if name == "test" else name])
    return f"{value} (95 %: {interval})" if interval else value


def picked_text(row: Mapping[str, Any]) -> str:
    """The accuracy by which a candidate is on the front and was picked, beside what was measured.

    `96.11 % measured (95 %: 95.1 to 97.4), believed 95.87 %`; where nothing is believed as `scored_text`.
    """
    if not math.isfinite(row["believed"]):
        return scored_text(row, "accuracy")
    interval = interval_text(row, "accuracy")
    measured = f"{units.percent(row['accuracy'])} measured" + (f" (95 %: {interval})" if interval else "")
    return f"{measured}, {units.percent(row['believed'])} believed"


def float_test_text(test: FinalSummary) -> str:
    """The float model on the test split: `98.89 % (95 %: 97.2 to 99.6)`."""
    return f"{units.percent(test.mean)} (95 %: {test.interval})"


def seeds_text(row: Mapping[str, Any]) -> str:
    """`3 seeds, sd 0.42`: how much finetuning with another seed moves the test accuracy; "" for one seed."""
    if not math.isfinite(row["test_sd"]):
        return ""
    spread = f"sd {row['test_sd'] * 100:.2f}" if row["test_sd"] else "all equal"
    return f"{int(row['test_runs'])} seeds, {spread}"


def bits_text(bits: float) -> str:
    """A width [bit]; 32 is float."""
    return "float" if bits == 32 else str(int(bits))


def share_text(value: float, total: float) -> str:
    """A part of a total, as `12.5 %`."""
    return f"{value / total * 100:.1f} %" if total else units.MISSING
