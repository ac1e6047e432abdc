"""What a run folder holds, as frames: candidates with their front, and the picked configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from search.front.costs import in_tables

if TYPE_CHECKING:
    import pandas as pd

    from search.front.results import Result

#: Columns that figures and tables may rely on, with what stands where nothing is known.
COLUMNS: dict[str, Any] = {
    "number": -1, "stage": "ptq", "origin": "", "status": "done", "accuracy": math.nan, "standard_error": math.nan,
    "seed": 0, "key": "", "error": "", "front": False, "picked": False, "ptq_accuracy": math.nan,
    "qat_accuracy": math.nan, "test_accuracy": math.nan, "test_sd": math.nan, "test_runs": 0,
}  # fmt: skip


def results_to_frame(results: Sequence[Result], objectives: Sequence[str], picked: int = -1) -> pd.DataFrame:
    """Results as a frame, the front over `objectives` marked.

    The front is that of the highest fidelity reached: QAT results if there are any, else PTQ results.

    Args:
        results: of one study.
        objectives: names, accuracy among them.
        picked: number of the candidate that was picked.
    """
    from search.front.pareto import pareto_front
    from search.front.results import results_frame

    frame = completed(results_frame(results))
    final = [r for r in results if r.is_done and r.stage == "qat"] or [r for r in results if r.is_done]
    front = {result.number for result in pareto_front(final, objectives, unique=True)}
    frame["front"] = frame["number"].isin(front)
    frame["picked"] = frame["number"] == picked
    for stage in ("ptq", "qat"):
        best = _best_accuracy(r for r in results if r.is_done and r.stage == stage)
        frame[f"{stage}_accuracy"] = frame["key"].map(best).astype(float)
    return frame


def _best_accuracy(results: Iterable[Result]) -> dict[str, float]:
    """Configuration key -> its accuracy; the last result counts where it was scored more than once."""
    return {result.key: result.accuracy for result in results}


def completed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column of `COLUMNS`."""
    complete = frame.copy()
    complete.attrs = dict(frame.attrs)
    for name, default in COLUMNS.items():
        if name not in complete.columns:
            complete[name] = default
    return complete


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column name to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict(orient="records")]


def front_rows(candidates: pd.DataFrame) -> pd.DataFrame:
    """The rows of the front, cheapest first."""
    front = candidates[candidates["front"]]
    cost = next((cost.key for cost in in_tables() if cost.key in front.columns), "number")
    return front.sort_values([cost, "accuracy"])
