"""What the charts of the page may be drawn over: accuracies and costs as columns of numbers in one unit each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict

from reports import units
from reports.run.folder import Run
from reports.run.metrics import known_costs
from search.front.costs import Cost
from search.front.limits import Limit

if TYPE_CHECKING:
    import pandas as pd

#: A number as the page shows it; None where nothing is known.
Value = float | None
#: Digits that tell values apart where the smallest of a column is shown.
SIGNIFICANT = 4


class Axis(TypedDict):
    """One axis.

    `label` carries the unit, `short` does not. `better` is `high` or `low`. `digits` are those after the point.
    `in_front`: a column of the table of the front. `low` and `high` are the ends of the 95 % intervals where there
    are any, `limit` the bound of the search. All values are [unit], one per candidate.
    """

    key: str
    label: str
    short: str
    unit: str
    better: str
    digits: int
    is_objective: bool
    in_front: bool
    values: list[Value]
    low: list[Value]
    high: list[Value]
    limit: Value


def axes_of(run: Run) -> list[Axis]:
    """Accuracies first, then the costs that the tables show, the objectives of the search among them first."""
    frame = run.candidates
    costs = sorted(known_costs(frame), key=lambda cost: cost.name not in run.objectives)
    return [*_accuracies(run), *(_cost_axis(frame, cost, run) for cost in costs)]


def _accuracies(run: Run) -> list[Axis]:
    named = [("accuracy", "Validation accuracy", "accuracy"), ("believed", "Believed accuracy", "believed"),
             ("test_accuracy", "Test accuracy", "test")]  # fmt: skip
    frame, floor = run.candidates, run.limits.floor
    return [
        {
            "key": key, "label": f"{name} [%]", "short": name, "unit": "%", "better": "high", "digits": 2,
            "is_objective": key == "accuracy", "in_front": True,
            "values": _scaled(frame[key], 100, 2),
            "low": _scaled(frame[f"{interval}_low"], 100, 2),
            "high": _scaled(frame[f"{interval}_high"], 100, 2),
            "limit": floor * 100 if floor and key == "accuracy" else None,
        }
        for key, name, interval in named
        if key == "accuracy" or frame[key].notna().any()
    ]  # fmt: skip


def _cost_axis(frame: pd.DataFrame, cost: Cost, run: Run) -> Axis:
    unit, factor = cost.shown
    label, scale = units.scaled_label(cost.axis, unit, float(frame[cost.key].max()) * factor, factor)
    digits = digits_of(frame[cost.key] * scale)
    limit = next((item for item in run.limits.costs if item.objective.key == cost.key), None)
    return {
        "key": cost.key, "label": label, "short": cost.label, "unit": _unit_in(label), "better": "low",
        "digits": digits, "is_objective": cost.name in run.objectives,
        "in_front": cost.role != "comparison",
        "values": _scaled(frame[cost.key], scale, digits), "low": [], "high": [],
        "limit": _limit(limit, scale, digits),
    }  # fmt: skip


def _unit_in(label: str) -> str:
    """`µJ` of `Energy [µJ]`."""
    return label[label.rfind("[") + 1 : -1] if label.endswith("]") else ""


def _limit(limit: Limit | None, scale: float, digits: int) -> Value:
    """Rounded up, so that no candidate within the bound of the search is beyond it on the page."""
    return None if limit is None else math.ceil(limit.most * scale * 10**digits) / 10**digits


def digits_of(values: Iterable[float]) -> int:
    """Digits after the point that leave the smallest value above zero `SIGNIFICANT` ones, at most six."""
    least = min((value for value in values if value > 0), default=1.0)
    return min(max(SIGNIFICANT - 1 - math.floor(math.log10(least)), 0), 6)


def _scaled(values: Iterable[float], scale: float, digits: int) -> list[Value]:
    return [round(value * scale, digits) if math.isfinite(value) else None for value in values]
