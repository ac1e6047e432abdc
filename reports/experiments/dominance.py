"""Which rows of a table are beaten by another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def dominated(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]], score: str, costs: Sequence[str]) -> str:
    """Names of the rows whose accuracy is lower and none of whose costs is; ` (a tie)` where the intervals overlap.

    Args:
        row: that may beat them.
        others: with a `name` each.
        score: column of an `Accuracy`; more is better.
        costs: columns of numbers; less is better.
    """
    return ", ".join(
        other["name"] + " (a tie)" * row[score].interval.overlaps(other[score].interval)
        for other in others
        if row[score].value > other[score].value and all(row[cost] <= other[cost] for cost in costs)
    )
