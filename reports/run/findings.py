"""What a search found: the sentence that decides, and the one that explains it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reports import units
from reports.run.candidates import front_rows
from reports.run.folder import Run
from reports.run.frames import records
from reports.run.metrics import interval_of, known_costs, scored_text
from search.finaltest import FinalSummary
from search.front.costs import Cost
from search.front.objective import first_cost, resolve_objectives
from search.front.picking import NoCandidateError, parse_rule, pick
from search.front.results import Result


def decision(run: Run) -> str:
    """What to deploy, what it costs, how sure its accuracy is, and what else: the first thing that anybody reads.

    `Deploy #60: 1.61 µJ (−26 %), 47.0 µs (−3 %), against uniform 8-bit; accuracy 98.20 % on the test split (95 %:
    96.4 to 99.2), within noise of float (98.90 %). Next best by the same rule (knee): #44, 1.40 µJ, 44.0 µs, ...`
    """
    row = run.picked_row
    if row is None:
        return "There is nothing to deploy yet: no configuration is picked."
    verb = "Deploy" if run.has_config else "The run goes on; so far its knee is"
    costs = [_cost_text(run, cost) for cost in _decided_costs(run)]
    reference = f", against {run.baseline_name}" if run.baseline_row is not None and costs else ""
    paid = f"{', '.join(costs)}{reference}" if costs else "no cost was an objective"
    return f"{verb} #{row['number']}{_design_text(run)}: {paid}; accuracy {_accuracy_text(run)}.{_next_best(run)}"


def _decided_costs(run: Run) -> list[Cost]:
    """Those that the search optimised, those with a unit first."""
    costs = [cost for cost in known_costs(run.candidates) if cost.name in run.objectives]
    return sorted(costs, key=lambda cost: cost.shown[0] == "bit")


def _amount(cost: Cost, value: float) -> str:
    return f"{cost.written(value)}{' bits' if cost.shown[0] == 'bit' else ''}"


def _cost_text(run: Run, cost: Cost) -> str:
    """`1.61 µJ (−26 %)`."""
    text = _amount(cost, run.picked_row[cost.key])
    before = math.nan if run.baseline_row is None else run.baseline_row[cost.key]
    if not before > 0:
        return text
    share = round((run.picked_row[cost.key] / before - 1) * 100)
    return f"{text} ({'−' if share < 0 else '+'}{abs(share)} %)"


def _design_text(run: Run) -> str:
    return f" on design {int(run.picked_row['design'])}" if "design" in run.candidates.columns else ""


def _accuracy_text(run: Run) -> str:
    """`98.20 % on the test split (95 %: 96.4 to 99.2), within noise of float (98.89 %)`; else on validation."""
    row = run.picked_row
    is_tested = math.isfinite(row["test_accuracy"])
    name, split = ("test", "test") if is_tested else ("accuracy", "validation")
    value, own = row["test_accuracy" if is_tested else "accuracy"], interval_of(row, name)
    text = f"{units.percent(value)} on the {split} split" + (f" (95 %: {own})" if own is not None else "")
    score = run.float_test if is_tested else run.float_accuracy
    if score is None:
        return text
    reference = score.mean if isinstance(score, FinalSummary) else score.value
    float_text = f"float ({units.percent(reference)})"
    if own is not None and own.overlaps(score.interval):
        return f"{text}, within noise of {float_text}"
    side = "above" if value > reference else "below"
    sure = "how sure is not known" if own is None else "beyond noise"
    return f"{text}, {abs(value - reference) * 100:.2f} points {side} {float_text}: {sure}"


def _next_best(run: Run) -> str:
    """What the same rule picks of the rest of the front; the knee where it was a number or none meets it."""
    number = run.picked_row["number"]
    on_front = set(front_rows(run.candidates)["number"]) - {number}
    rest = [result for result in run.results if result.number in on_front]
    if not rest:
        return " There is no other on the front."
    beliefs = {
        int(row["number"]): float(row["believed"])
        for row in records(front_rows(run.candidates))
        if math.isfinite(row["believed"])
    }
    result, rule = _picked_of(rest, run, beliefs)
    costs = [_amount(cost, result.costs[cost.key]) for cost in _decided_costs(run)]
    numbers = ", ".join([*costs, f"{units.percent(result.accuracy)} on validation"])
    return f" Next best by the same rule ({rule}): #{result.number}, {numbers}."


def _picked_of(rest: Sequence[Result], run: Run, accuracies: Mapping[int, float]) -> tuple[Result, str]:
    objectives = resolve_objectives(run.objectives)
    if isinstance(run.rule, int) or isinstance(parse_rule(run.rule), int):
        return pick(rest, objectives, "knee", accuracies), "knee"
    try:
        return pick(rest, objectives, run.rule, accuracies), _rule_text(run.rule)
    except NoCandidateError:
        return pick(rest, objectives, "knee", accuracies), "knee"


def _rule_text(rule: str | Mapping[str, str | float]) -> str:
    return rule if isinstance(rule, str) else ", ".join(f"{name} {bound}" for name, bound in dict(rule).items())


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
