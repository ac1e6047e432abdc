"""The candidates of a study as a frame: their front, and their accuracies at every fidelity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.run.designs import DesignRow
from search.front.costs import in_tables
from search.front.objective import resolve_objectives
from search.front.results import Result, final_stage, results_frame, ties_of
from search.propose.posterior import NO_BELIEFS, Belief, believed_columns, believed_front

if TYPE_CHECKING:
    import pandas as pd

#: Columns that figures and tables may rely on, with what stands where nothing is known.
COLUMNS: dict[str, Any] = {
    "number": -1, "stage": "ptq", "origin": "", "status": "done", "accuracy": math.nan, "accuracy_low": math.nan,
    "accuracy_high": math.nan, "seed": 0, "key": "", "error": "", "front": False, "picked": False, "tie": False,
    "ptq_accuracy": math.nan, "qat_accuracy": math.nan, "test_accuracy": math.nan, "test_low": math.nan,
    "test_high": math.nan, "test_sd": math.nan, "test_runs": 0, "believed": math.nan, "believed_low": math.nan,
    "believed_high": math.nan,
}  # fmt: skip


def candidate_frame(
    results: Sequence[Result],
    objectives: Sequence[str],
    picked: int = -1,
    beliefs: Mapping[int, Belief] = NO_BELIEFS,
    pairs: Sequence[DesignRow] = (),
) -> pd.DataFrame:
    """Every result of a study as a row, the front over `objectives` marked.

    The front is that of the highest fidelity reached: QAT results if there are any, else PTQ results.

    Args:
        results: of one study.
        objectives: names, accuracy among them.
        picked: number of the candidate that was picked.
        beliefs: by number of a result; they decide the front (`search.propose.posterior`).
        pairs: the front of a finished run on several designs: a result on it has a row for each of its designs, and
            the column `design` says which; the costs of other rows are those on their reference design.

    Returns:
        The columns of `search.front.results.results_frame`, and `front`, `picked`, `tie` (on the front, with an
        accuracy not told apart from that of the picked one), `ptq_accuracy`, `qat_accuracy` (of the same
        configuration in either stage), `believed` and the ends of its interval, and the empty ones of `COLUMNS`.
    """
    front: Sequence[Result] = [pair.result for pair in pairs] or front_of(results, objectives, beliefs)
    chosen = next((result for result in results if result.number == picked), None)
    on_front = {result.number for result in front}
    if pairs:
        results = [*(result for result in results if result.number not in on_front), *front]
    frame = completed(results_frame(results))
    frame["front"] = frame["number"].isin(on_front)
    frame["picked"] = frame["number"] == picked
    if pairs:
        frame["design"] = [*([-1] * (len(results) - len(pairs))), *(pair.design for pair in pairs)]
        frame["picked"] = [*([False] * (len(results) - len(pairs))), *(pair.is_picked for pair in pairs)]
    frame["tie"] = frame["number"].isin(() if chosen is None else ties_of(chosen, front))
    for name, value in believed_columns(beliefs, frame["number"]).items():
        frame[name] = value
    for stage in ("ptq", "qat"):
        best = _best_accuracy(r for r in results if r.is_done and r.stage == stage)
        frame[f"{stage}_accuracy"] = frame["key"].map(best).astype(float)
    return frame


def front_of(
    results: Sequence[Result], objectives: Sequence[str], beliefs: Mapping[int, Belief] = NO_BELIEFS
) -> tuple[Result, ...]:
    """The front of the highest fidelity reached, over believed accuracies where there are any."""
    stage = final_stage(results)
    return believed_front(
        [result for result in results if result.stage == stage], resolve_objectives(objectives), beliefs
    )


def _best_accuracy(results: Iterable[Result]) -> dict[str, float]:
    """Configuration key -> its accuracy; the last result counts where it was scored more than once."""
    return {result.key: result.accuracy for result in results}


def completed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column of `COLUMNS`; those that it lacks say that nothing is known."""
    complete = frame.copy()
    complete.attrs = dict(frame.attrs)
    for name, default in COLUMNS.items():
        if name not in complete.columns:
            complete[name] = default
    return complete


def front_rows(candidates: pd.DataFrame) -> pd.DataFrame:
    """The rows of the front, cheapest first."""
    front = candidates[candidates["front"]]
    cost = next((cost.key for cost in in_tables() if cost.key in front.columns), "number")
    return front.sort_values([cost, "accuracy"])
