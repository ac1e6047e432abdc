"""Choosing one candidate of a front: by a rule, by a bound, or by number.

Every rule reads the accuracies that the front was built with: where they are believed, a measured one that is
higher picks nothing.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hwmodel.errors import ConfigError, did_you_mean
from search.front.objective import (
    ACCURACY,
    AS_MEASURED,
    Accuracies,
    Objective,
    first_cost,
    losses_of,
    objective_named,
)
from search.front.pareto import knee
from search.front.results import Result

RULES = ("knee", "accurate", "cheapest")
#: A rule, bounds such as `{"accuracy": ">=0.95"}` or `"accuracy>=0.95"`, or the number of a candidate.
Rule = str | int | Mapping[str, str | float]

_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*(.+?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


class NoCandidateError(ConfigError):
    """A rule that is right picks no candidate of this front."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One bound of a rule.

    Attributes:
        objective: that is bounded.
        sign: `>=`, `<=`, `>` or `<`.
        limit: in the unit of the objective.
    """

    objective: Objective
    sign: str
    limit: float

    def holds(self, result: Result, accuracies: Accuracies = AS_MEASURED) -> bool:
        return _COMPARE[self.sign](self.objective.value(result, accuracies), self.limit)

    def __str__(self) -> str:
        return f"{self.objective.name} {self.sign} {self.objective.written(self.limit)}"


def parse_rule(rule: Rule) -> str | int | tuple[Bound, ...]:
    """A rule, checked without a front: a name among `RULES`, the number of a candidate, or bounds.

    Raises:
        ConfigError: neither; an unknown objective; a bound that is none.
    """
    if isinstance(rule, Mapping):
        return tuple(_bound(name, bound) for name, bound in rule.items()) or _unknown(rule)
    if isinstance(rule, bool) or not isinstance(rule, (int, str)):
        return _unknown(rule)
    if isinstance(rule, int) or rule.strip().isdecimal():
        return int(rule) if int(rule) >= 0 else _unknown(rule)
    if any(sign in rule for sign in "<>"):
        return tuple(_bound(*_split(part)) for part in rule.split(","))
    return rule if rule in RULES else _unknown(rule)


def pick(
    front: Sequence[Result],
    objectives: Sequence[Objective],
    rule: Rule = "knee",
    accuracies: Accuracies = AS_MEASURED,
) -> Result:
    """One candidate of a front.

    Args:
        front: results that do not dominate each other.
        objectives: of the study, accuracy among them.
        rule: `knee` (farthest from the chord between the ends); `accurate` (highest accuracy, then the
            cheapest); `cheapest` (lowest first cost, then the most accurate); bounds: of the candidates
            that meet them all the cheapest if accuracy is bounded, else the most accurate; a number.
        accuracies: that the front was built with, by number of a result; without one it counts as measured.

    Raises:
        ConfigError: the front is empty, or the rule unknown.
        NoCandidateError: the number is not on the front, or no candidate meets the bounds (the nearest value is
            shown).
    """
    wanted = parse_rule(rule)
    if not front:
        raise ConfigError("pick: the front is empty: no candidate was scored. Run the study first.")
    cost = first_cost(objectives)
    if isinstance(wanted, tuple):
        return _bounded(front, cost, wanted, accuracies)
    if isinstance(wanted, int):
        return _numbered(front, wanted)
    if wanted == "knee":
        return front[knee(losses_of(front, objectives, accuracies))]
    return (_most_accurate if wanted == "accurate" else _cheapest)(front, cost, accuracies)


def _most_accurate(front: Sequence[Result], cost: Objective, accuracies: Accuracies) -> Result:
    return max(front, key=lambda r: (ACCURACY.value(r, accuracies), -cost.value(r), -r.number))


def _cheapest(front: Sequence[Result], cost: Objective, accuracies: Accuracies) -> Result:
    return min(front, key=lambda r: (cost.value(r), -ACCURACY.value(r, accuracies), r.number))


def _unknown(rule: object) -> str:
    nearest = did_you_mean(rule, RULES) if isinstance(rule, str) else ""
    raise ConfigError(
        f"pick: must be {', '.join(RULES)}, a bound such as 'accuracy>=0.95' or a candidate's number, "
        f"but got {rule!r}.{nearest}"
    )


def _split(part: str) -> tuple[str, str]:
    """`accuracy>=0.95` as name and bound."""
    name = re.split("[<>]", part, maxsplit=1)[0]
    return name.strip(), part[len(name) :]


def _numbered(front: Sequence[Result], number: int) -> Result:
    for result in front:
        if result.number == number:
            return result
    numbers = ", ".join(str(result.number) for result in front)
    raise NoCandidateError(f"pick: candidate {number} is not on the front, which holds {numbers}.")


def _bounded(front: Sequence[Result], cost: Objective, bounds: Sequence[Bound], accuracies: Accuracies) -> Result:
    left = list(front)
    for bound in bounds:
        kept = [result for result in left if bound.holds(result, accuracies)]
        if not kept:
            best = _nearest(left, bound, accuracies)
            raise NoCandidateError(f"pick: none of {len(left)} candidates has {bound}; the best has {best}.")
        left = kept
    is_accurate = any(bound.objective is ACCURACY for bound in bounds)
    return (_cheapest if is_accurate else _most_accurate)(left, cost, accuracies)


def _nearest(front: Sequence[Result], bound: Bound, accuracies: Accuracies) -> str:
    """The value that comes nearest to a bound; of a believed accuracy also what was measured there."""
    best = (max if bound.sign.startswith(">") else min)(front, key=lambda r: bound.objective.value(r, accuracies))
    text = bound.objective.written(bound.objective.value(best, accuracies))
    is_believed = bound.objective is ACCURACY and best.number in accuracies
    return f"{text} (believed; measured {ACCURACY.written(best.accuracy)})" if is_believed else text


def _bound(name: str, bound: str | float) -> Bound:
    """A bare number means at least for accuracy, at most for a cost."""
    try:
        objective = objective_named(name)
    except ConfigError as error:
        raise ConfigError(f"pick: {error}") from None
    sign, limit = _sign_and_limit(objective, bound)
    if not math.isfinite(limit) or (objective is ACCURACY and not 0 <= limit <= 1):
        share = " Accuracy is a share: write 0.95 for 95 %." if objective is ACCURACY else ""
        raise ConfigError(f"pick: {name} cannot be {sign} {limit:g}.{share}")
    return Bound(objective=objective, sign=sign, limit=limit)


def _sign_and_limit(objective: Objective, bound: str | float) -> tuple[str, float]:
    if isinstance(bound, (int, float)) and not isinstance(bound, bool):
        return (">=" if objective.direction == "maximize" else "<="), float(bound)
    match = _BOUND.fullmatch(bound) if isinstance(bound, str) else None
    if match is None:
        raise ConfigError(f"pick: {objective.name} must be bounded as in '>=0.95', but got {bound!r}.")
    try:
        return match[1], objective.parsed(match[2])
    except ValueError as error:
        raise ConfigError(f"pick: {objective.name}: {error}") from None
