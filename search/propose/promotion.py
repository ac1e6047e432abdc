"""Which PTQ candidates earn a QAT run.

Accuracy without training collapses at few bits, where finetuning recovers most of it: taking the most
accurate, or the PTQ front alone, would starve exactly the candidates that the search is for. The rule:

1. Cut the range of the first cost into as many bins of equal width as there are places.
2. In each bin, the candidates within the 95 % interval of the bin's best accuracy count as equal and
   come first (a score without a count has no interval: only what equals it counts as equal), ordered by the
   drop that the sensitivities predict (where every accuracy is near chance it still tells candidates apart),
   then by cost. The others follow by their non-dominated rank over all objectives within the bin, then by
   accuracy. The number decides what is left.
3. The cheapest candidate of all comes first: it ends the front. The most expensive of the uniform ones comes
   second: it is what the reports compare with. Then go through the bins from the most precise to the cheapest
   and take the first of each, then the second of each, until the places are filled.

It depends on the PTQ results alone, so a resumed run promotes what an uninterrupted one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from search.front.objective import Objective, first_cost, losses_of
from search.front.pareto import ranks
from search.front.results import Result


def promote(
    results: Sequence[Result],
    objectives: Sequence[Objective],
    count: int,
    predicted_drop: Callable[[Result], float] = lambda result: 0.0,
) -> list[Result]:
    """The PTQ results to finetune, in the order of finetuning.

    Args:
        results: of the first stage; failed ones are left out.
        objectives: of the study.
        count: places.
        predicted_drop: of a result's configuration, as a tie-break.
    """
    done = [result for result in results if result.is_done]
    if not done or count <= 0:
        return []
    cost = first_cost(objectives)
    bins = _bins([cost.value(result) for result in done], count)
    ordered = [
        _by_promise([done[index] for index in members], objectives, cost, predicted_drop) for members in bins
    ]
    rounds = max(len(members) for members in ordered)
    picked = [members[turn] for turn in range(rounds) for members in ordered if turn < len(members)]
    if count > 1:
        picked = list({result.number: result for result in [*_ends(done, cost), *picked]}.values())
    return picked[:count]


def _ends(done: Sequence[Result], cost: Objective) -> list[Result]:
    """The cheapest candidate, and the most expensive of the uniform ones where there are any."""
    cheapest = min(done, key=lambda result: (cost.value(result), -result.accuracy, result.number))
    uniform = [result for result in done if result.origin == "uniform"]
    return [cheapest, *([max(uniform, key=lambda result: (cost.value(result), -result.number))] if uniform else [])]


def _bins(costs: Sequence[float], count: int) -> list[list[int]]:
    """Indices by bin of equal width, most expensive bin first; empty bins are left out."""
    low, high = min(costs), max(costs)
    width = (high - low) / count
    bins: list[list[int]] = [[] for _ in range(count)]
    for index, value in enumerate(costs):
        bins[min(count - 1, int((value - low) / width)) if width > 0 else 0].append(index)
    return [members for members in reversed(bins) if members]


def _by_promise(
    members: Sequence[Result],
    objectives: Sequence[Objective],
    cost: Objective,
    predicted_drop: Callable[[Result], float],
) -> list[Result]:
    levels = ranks(losses_of(members, objectives))
    best = max(members, key=lambda result: result.accuracy)
    floor = best.accuracy if best.interval is None else best.interval.low

    def promise(index: int) -> tuple[float, ...]:
        result = members[index]
        if result.accuracy >= floor:
            return (0.0, predicted_drop(result), cost.value(result), result.number)
        return (1.0, float(levels[index]), -result.accuracy, result.number)

    return [members[index] for index in sorted(range(len(members)), key=promise)]
