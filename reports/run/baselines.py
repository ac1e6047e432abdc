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
    widths = _widths(first)
    return best, f"uniform {widths[0]}-bit" if widths else "uniform"


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
    widths = _widths(nearest)
    if nearest.key == picked.key or widths is None:
        return None, ""
    return nearest, "W{}A{}".format(*widths)


def _widths(result: Result) -> tuple[int, int] | None:
    """Weight and activation bits of most layers."""
    found = Counter(
        (layer.get("w_bits"), layer.get("a_bits")) for layer in result.config.get("layers", {}).values()
    )
    return found.most_common(1)[0][0] if found else None
