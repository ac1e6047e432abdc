"""Access counts of given mappings against Timeloop's: reads, fills, updates, tile and instances, in words."""

from __future__ import annotations

from typing import Any, cast

from benchmarks.replays.case import Case
from benchmarks.replays.timeloop import OPERAND, case_of
from hwmodel import count_accesses

FIELDS = {
    "Scalar reads (per-instance)": "reads",
    "Scalar fills (per-instance)": "fills",
    "Scalar updates (per-instance)": "updates",
    "Utilized capacity": "tile",
    "Utilized instances (max)": "instances",
}


def replay(data: object) -> list[Case]:
    """Every count of every case that is not zero on both sides; a zero on one side counts from 1."""
    cases: list[Case] = []
    for item in cast(list[dict[str, Any]], data):
        counts = count_accesses(*case_of(item))
        for level, operands in item["counts"].items():
            for name, values in operands.items():
                if name in OPERAND:
                    count = counts[level, OPERAND[name]]
                    cases += _cases(f"{item['layer']} {level} {name}", values, count)
    return cases


def _cases(place: str, values: dict[str, float], count: object) -> list[Case]:
    found = []
    for field, ours in FIELDS.items():
        reference, prediction = float(values[field]), float(getattr(count, ours))
        if reference == 0 and prediction == 0:
            continue
        if reference == 0:
            reference, prediction = 1.0, prediction + 1.0
        found.append(Case(name=f"{place} {ours}", reference=reference, prediction=prediction))
    return found
