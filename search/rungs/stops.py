"""When a full run is ended: where its accuracy so far, even with luck, leads below what costs no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.evaluating import Watch
from search.front.objective import Objective
from search.front.results import Result
from search.propose.fidelity import LEAST_PAIRS, Link
from search.propose.problem import accuracy_of, logit_error

#: Luck that a run is granted: so many standard deviations of the line from its accuracy so far to the last one.
LUCK = 2.0


def watch_of(
    full: Sequence[Result],
    accuracies: Mapping[int, float],
    objectives: Sequence[Objective],
    costs: Mapping[str, float],
    shares: Sequence[float],
) -> Watch:
    """The rule for one candidate.

    Args:
        full: full runs that are known.
        accuracies: number of a result -> what is believed of its accuracy; else it is as measured.
        objectives: of the study.
        costs: of the candidate.
        shares: of a full run, after which it is looked at.
    """
    keys = [objective.key for objective in objectives if objective.key]
    done = [result for result in full if result.is_done]
    rivals = [result for result in done if all(result.costs[key] <= costs[key] for key in keys)]
    if not rivals:
        return Watch(least=dict.fromkeys(shares, 0.0))
    level = max(accuracies.get(result.number, result.accuracy) for result in rivals)
    return Watch(least={share: _least(done, share, level) for share in shares})


def _least(done: Sequence[Result], share: float, level: float) -> float:
    """Accuracy after a share of the run that `level` is still in reach of; 0 until enough runs were seen there."""
    name = f"{share:g}"
    seen = [result for result in done if name in result.curve]
    if len(seen) < LEAST_PAIRS:
        return 0.0
    low = [float(logit_error(result.curve[name], result.total)) for result in seen]
    last = [float(logit_error(result.accuracy, result.total)) for result in seen]
    return float(accuracy_of(Link.fitted(low, last).worst_low(float(logit_error(level)), LUCK)))
