"""A checkpoint at a list of widths, as rows and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwmodel.network.choice import FLOAT_BITS
from reports import units
from reports.terminal.tables import new_table, safe_text
from workloads.compress import CompressionConfig, average_precision
from workloads.training import Accuracy

if TYPE_CHECKING:
    from rich.table import Table

    from hwmodel.network.graph import LayerGraph
    from workloads.training import MetricValue, WidthScore


def ladder_rows(
    graph: LayerGraph, full: Accuracy | MetricValue, steps: Sequence[WidthScore]
) -> list[dict[str, Any]]:
    """Plain values, the float model first: widths, average bits, the score with its interval, and what it lost.

    Args:
        graph: of the model.
        full: score of the float model, on the same split.
        steps: of `workloads.training.ladder`.
    """
    rows = [_row(FLOAT_BITS, FLOAT_BITS, average_precision(graph, CompressionConfig({})), full, full)]
    rows += [
        _row(step.w_bits, step.a_bits, average_precision(graph, step.config), step.score, full) for step in steps
    ]
    return rows


def _row(
    w_bits: int, a_bits: int, average: float, score: Accuracy | MetricValue, full: Accuracy | MetricValue
) -> dict[str, Any]:
    row = {"w_bits": w_bits, "a_bits": a_bits, "average_bits": average, "score": score.value, "total": score.total}
    lost = {"lost": full.value - score.value}
    if not isinstance(score, Accuracy) or not isinstance(full, Accuracy):
        return {**row, **lost}
    interval = score.interval
    ends = {"low": interval.low, "high": interval.high, "correct": score.correct}
    return {**row, **ends, **lost, "tie": interval.overlaps(full.interval)}


def ladder_table(rows: Sequence[Mapping[str, Any]], width: int = 80) -> Table:
    """A line per width; accuracies in per cent, losses in points."""
    counted = "low" in rows[0]
    table = new_table(
        "Weights", "Inputs", "Average", "Accuracy" if counted else "Score", "95 %", "Lost", width=width
    )
    for row in rows:
        cells = [_bits(row["w_bits"]), _bits(row["a_bits"]), units.number(row["average_bits"])]
        if counted:
            cells += [units.percent(row["score"]), f"{row['low'] * 100:.1f} to {row['high'] * 100:.1f}"]
        else:
            cells += [units.number(row["score"], 4), units.MISSING]
        table.add_row(*map(safe_text, (*cells, _lost(row, rows[0]))))
    return table


def _bits(bits: int) -> str:
    return "float" if bits == FLOAT_BITS else str(bits)


def _lost(row: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """Of an accuracy in points; what the intervals do not tell apart is a tie."""
    if row is first:
        return units.MISSING
    if "tie" not in row:
        return units.number(row["lost"], 4)
    return f"{row['lost'] * 100:.2f}{' (tie)' if row['tie'] else ''}"
