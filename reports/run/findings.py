"""What a search found, in a sentence."""

from __future__ import annotations

import math

from reports.run.candidates import front_rows
from reports.run.folder import Run
from reports.run.metrics import interval_of, known_costs, scored_text
from search.front.objective import first_cost, resolve_objectives


def finding(run: Run) -> str:
    """One sentence on what the search found; what the images do not tell apart is called a tie."""
    candidates, picked = run.candidates, run.picked_row
    failed = int((candidates["status"] == "failed").sum())
    scored = f"{candidates['number'].nunique() - failed} scores of {candidates['key'].nunique()} configurations"
    tail = f", {failed} failed" if failed else ""
    if picked is None:
        return f"{scored}{tail}. No configuration is picked yet."
    text = f"{scored}{tail}; {len(front_rows(candidates))} on the front. Picked: candidate {int(picked['number'])}"
    return f"{text}{_beside_float(run)}.{_ties(run)}{_beside_uniform(run)}"


def _beside_float(run: Run) -> str:
    """The pick against the float model, on the validation split."""
    picked, score = run.picked_row, run.float_accuracy
    own = interval_of(picked, "accuracy")
    if score is None or own is None:
        return ""
    both = f"{scored_text(picked, 'accuracy')} against {score.value * 100:.2f} % ({score.interval})"
    gap = picked["accuracy"] - score.value
    if own.overlaps(score.interval):
        return f", a tie with the float model: {both}"
    side = "above" if gap > 0 else "below"
    return f", {abs(gap) * 100:.2f} points {side} the float model: {both}"


def _beside_uniform(run: Run) -> str:
    """The pick against the uniform candidate of nearest cost, on the test split where both were tested."""
    picked, rival = run.picked_row, run.rival_row
    if rival is None:
        return ""
    is_tested = all(math.isfinite(row["test_accuracy"]) for row in (picked, rival))
    name, column, where = ("test", "test_accuracy", "test") if is_tested else ("accuracy",) * 2 + ("validation",)
    first, second = interval_of(picked, name), interval_of(rival, name)
    gap = (picked[column] - rival[column]) * 100
    what = f"{abs(gap):.2f} points {'above' if gap > 0 else 'below'}"
    if first is None or second is None or first.overlaps(second):
        what = "a tie with"
    key = first_cost(resolve_objectives(run.objectives)).key
    cost = next(cost for cost in known_costs(run.candidates) if cost.key == key)
    unit = " bit" if cost.shown[0] == "bit" else ""
    costs = f"at {cost.written(picked[key])} against {cost.written(rival[key])}{unit}"
    both = f"{scored_text(picked, name)} against {scored_text(rival, name)}"
    return f" On {where} it is {what} uniform {run.rival_name}, finetuned alike, {costs}: {both}."


def _ties(run: Run) -> str:
    """Which of the front tie with the pick."""
    numbers = [str(number) for number in run.candidates.loc[run.candidates["tie"], "number"].unique()]
    if not numbers:
        return ""
    return f" In accuracy it ties with {', '.join(numbers)} of the front."
