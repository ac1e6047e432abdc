"""What the pick of a run stands beside: the most precise uniform candidate, and the uniform one of nearest cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from search.front.objective import Objective, first_cost
from search.front.results import LESS, Result


def most_precise(results: Sequence[Result], picked: Result | None) -> tuple[Result | None, str]:
    """The most precise uniform candidate, finetuned if it was, and its name; none where it is the pick."""
    done = [r for r in results if r.is_done and r.stage not in LESS and "avg_w_bits" in r.costs]
    uniform = [result for result in done if result.origin == "uniform"]
    pool = uniform or done
    if not pool:
        return None, ""
    first = max(pool, key=lambda result: result.costs["avg_w_bits"])
    same = [result for result in done if result.key == first.key]
    best = next((result for result in reversed(same) if result.stage == "qat"), first)
    if picked is not None and best.key == picked.key:
        return None, ""
    if not uniform:
        return best, "the most precise candidate"
    widths = _common(first, "w_bits")
    return best, f"uniform {widths}-bit" if widths else "uniform"


def nearest_uniform(
    results: Sequence[Result], picked: Result | None, objectives: Sequence[Objective]
) -> tuple[Result | None, str]:
    """The finetuned uniform candidate whose first cost has the least ratio to the pick's, and its name, `W2A4`.

    None where none was finetuned, or it is the pick.
    """
    rivals = [result for result in results if result.is_baseline]
    if picked is None or not rivals:
        return None, ""
    cost = first_cost(objectives)

    def ratio(result: Result) -> float:
        return abs(math.log(cost.value(result) / cost.value(picked)))

    nearest = min(rivals, key=ratio)
    if nearest.key == picked.key:
        return None, ""
    return nearest, f"W{_chosen(nearest, 'w_bits')}A{_chosen(nearest, 'a_bits')}"


def _chosen(result: Result, axis: str) -> int | None:
    """The width that its groups have; frozen layers have others."""
    values = Counter(value for name, value in result.point.items() if name.endswith(f".{axis}"))
    return values.most_common(1)[0][0] if values else _common(result, axis)


def _common(result: Result, axis: str) -> int | None:
    """The width that most layers have."""
    values = Counter(layer.get(axis) for layer in result.config.get("layers", {}).values())
    return values.most_common(1)[0][0] if values else None
