"""Choosing one candidate of a front: by a rule, by a bound, or by number."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence

from hwmodel.errors import ConfigError, did_you_mean
from search.front.objective import Objective, first_cost, losses_of, objective_named
from search.front.pareto import knee
from search.front.results import Result

RULES = ("knee", "accurate", "cheapest")
#: A rule, bounds such as `{"accuracy": ">=0.95"}` or `"accuracy>=0.95"`, or the number of a candidate.
Rule = str | int | Mapping[str, str | float]

_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def pick(front: Sequence[Result], objectives: Sequence[Objective], rule: Rule = "knee") -> Result:
    """One candidate of a front.

    Args:
        front: results that do not dominate each other.
        objectives: of the study, accuracy among them.
        rule: `knee` (farthest from the chord between the ends); `accurate` (highest accuracy, then the
            cheapest); `cheapest` (lowest first cost, then the most accurate); bounds: of the candidates
            that meet them all the cheapest if accuracy is bounded, else the most accurate; a number.

    Raises:
        ConfigError: the front is empty, the rule unknown, the number not on the front, or no
            candidate meets the bounds (the nearest value is shown).
    """
    if not front:
        raise ConfigError("pick: the front is empty: no candidate was scored. Run the study first.")
    cost = first_cost(objectives)
    if isinstance(rule, Mapping):
        return _bounded(front, cost, rule)
    if isinstance(rule, int) or rule.isdecimal():
        return _numbered(front, int(rule))
    if any(sign in rule for sign in "<>"):
        return _bounded(front, cost, _parse(rule))
    if rule not in RULES:
        raise ConfigError(
            f"pick: must be {', '.join(RULES)}, a bound such as 'accuracy>=0.95' or a candidate's number, "
            f"but got {rule!r}.{did_you_mean(rule, RULES)}"
        )
    if rule == "knee":
        return front[knee(losses_of(front, objectives))]
    if rule == "accurate":
        return max(front, key=lambda result: (result.accuracy, -cost.value(result), -result.number))
    return min(front, key=lambda result: (cost.value(result), -result.accuracy, result.number))


def _parse(rule: str) -> dict[str, str]:
    """`accuracy>=0.95, energy<1e6` as a mapping."""
    bounds = {}
    for part in rule.split(","):
        name = re.split("[<>]", part, maxsplit=1)[0]
        bounds[name.strip()] = part[len(name) :]
    return bounds


def _numbered(front: Sequence[Result], number: int) -> Result:
    for result in front:
        if result.number == number:
            return result
    numbers = ", ".join(str(result.number) for result in front)
    raise ConfigError(f"pick: candidate {number} is not on the front, which holds {numbers}.")


def _bounded(front: Sequence[Result], cost: Objective, bounds: Mapping[str, str | float]) -> Result:
    left = list(front)
    is_accuracy_bound = False
    for name, bound in bounds.items():
        objective = objective_named(name)
        sign, limit = _bound(objective, bound)
        kept = [result for result in left if _COMPARE[sign](objective.value(result), limit)]
        if not kept:
            values = [objective.value(result) for result in left]
            best = max(values) if objective.direction == "maximize" else min(values)
            raise ConfigError(
                f"pick: none of {len(left)} candidates has {objective.name} {sign} {limit:g}; "
                f"the best has {best:.6g}."
            )
        left = kept
        is_accuracy_bound |= objective.name == "accuracy"
    if is_accuracy_bound:
        return min(left, key=lambda result: (cost.value(result), -result.accuracy, result.number))
    return max(left, key=lambda result: (result.accuracy, -cost.value(result), -result.number))


def _bound(objective: Objective, bound: str | float) -> tuple[str, float]:
    """Sign and limit; a bare number means at least for accuracy, at most for a cost."""
    if isinstance(bound, (int, float)):
        return (">=" if objective.direction == "maximize" else "<="), float(bound)
    match = _BOUND.fullmatch(bound)
    try:
        if match:
            return match[1], float(match[2])
    except ValueError:
        pass
    raise ConfigError(f"pick: {objective.name} must be bounded as in '>=0.95', but got {bound!r}.")
