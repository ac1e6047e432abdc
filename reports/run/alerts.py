"""What must be read before the deciding sentence: each alert is one sentence, from what the run holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hwmodel.network.graph import LayerGraph, Port, Tensor
from reports import units
from reports.run.candidates import front_rows
from reports.run.folder import Run
from reports.run.frames import records
from reports.run.metrics import interval_of, known_costs
from search.front.objective import ACCURACY

#: Numbers of candidates that a sentence lists before it counts the rest.
LISTED = 6


def alerts(run: Run) -> list[str]:
    """Float at chance, a saturated baseline, ties, a pick that was not finetuned, and limits that it misses.

    What else limits a run is in `run.warnings`: a priced total that is a LOWER BOUND and zeros that the chip cannot
    use are among the notes of its cost.
    """
    found = [_at_chance(run), _lower_bound(run)]
    if run.picked_row is not None:
        saturated = _saturated(run)
        found += [saturated, "" if saturated else _ties(run), _not_finetuned(run), _limits_missed(run)]
    return [text for text in found if text]


def num_classes(graph: LayerGraph) -> int | None:
    """Size of the last dimension of what the model gives out; None where the graph does not say."""
    ends = [node.name for node in graph.nodes if isinstance(node, Port) and node.kind == "output"]
    edges: list[tuple[str, str, Tensor]] = list(graph.digraph.in_edges(ends, data="tensor"))
    shapes = [tensor.shape for _, _, tensor in edges]
    return int(shapes[0][-1]) if len(shapes) == 1 and shapes[0] else None


def _lower_bound(run: Run) -> str:
    """Where nothing is priced; the notes of a cost say it themselves."""
    if run.cost is not None or not run.graph.is_lower_bound:
        return ""
    ops = ", ".join(dict.fromkeys(item.op for item in run.graph.uncounted))
    return f"Costs are a LOWER BOUND: {ops} has no rule and is not counted. Register one (docs/explain/tracing.md)."


def _at_chance(run: Run) -> str:
    score, classes = run.float_accuracy, num_classes(run.graph)
    if score is None or classes is None or classes < 2 or score.interval.low > 1 / classes:
        return ""
    return (
        f"The float model is at chance: {score} on the validation split, and guessing among {classes} classes "
        f"gives {units.percent(1 / classes)}. Nothing can be lost, so no saving says anything: train it longer."
    )


def _saturated(run: Run) -> str:
    """Float and the whole front tie: accuracy decides nothing."""
    score = run.float_accuracy
    rows = records(front_rows(run.candidates).drop_duplicates("number"))
    intervals = [interval_of(row, "accuracy") for row in rows]
    known = [interval for interval in intervals if interval is not None]
    if score is None or len(rows) < 2 or len(known) < len(rows):
        return ""
    if not all(interval.overlaps(score.interval) for interval in known):
        return ""
    return (
        f"The baseline is saturated: all {len(rows)} candidates of the front tie with the float model "
        f"({units.percent(score.value)}), so accuracy does not tell them apart, and the cheapest is as good as "
        "any as far as measured. More validation images, a harder task or fewer bits would tell."
    )


def _ties(run: Run) -> str:
    numbers = [f"#{number}" for number in run.candidates.loc[run.candidates["tie"], "number"].unique()]
    if not numbers:
        return ""
    rest = len(numbers) - LISTED
    listed = ", ".join(numbers[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
    return f"In accuracy the pick ties with {listed} of the front: their 95 % intervals overlap."


def _not_finetuned(run: Run) -> str:
    if run.picked_row["stage"] == "qat":
        return ""
    return (
        f"Candidate #{run.picked_row['number']} was quantized after training only (PTQ), not finetuned: finetuning "
        "may raise its accuracy, and the order of the front may change."
    )


def _limits_missed(run: Run) -> str:
    """Limits of the search that the pick does not keep."""
    row: Mapping[str, Any] = run.picked_row
    costs = {cost.key: cost for cost in known_costs(run.candidates)}
    missed = [
        f"{limit} (it has {costs[limit.objective.key].in_full(row[limit.objective.key])})"
        for limit in run.limits.costs
        if limit.objective.key in costs and not bool(limit.holds(row[limit.objective.key]))
    ]
    accuracy = row["believed"] if math.isfinite(row["believed"]) else row["accuracy"]
    if accuracy < run.limits.floor:
        missed.append(f"{ACCURACY.name} >= {units.percent(run.limits.floor)} (it has {units.percent(accuracy)})")
    return f"Candidate #{row['number']} misses limits of the search: {'; '.join(missed)}." if missed else ""
