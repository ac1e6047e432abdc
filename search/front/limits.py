"""Hard limits: a candidate outside of one is never scored. `{latency: "<= 2 ms", memory: "<= 64 KiB", accuracy: ">=
90 %"}`.

Costs are exact, so a limit on one decides before any training. Accuracy is measured, so a limit on it steers: what
is below is worth nothing to the search.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwmodel.errors import ConfigError
from search.front.objective import ACCURACY, Objective, objective_named

_LIMIT = re.compile(r"\s*(<=|>=|<|>)\s*(.+?)\s*")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At most `most` of a cost, in its unit.

    Attributes:
        objective: the cost.
        most: bound.
        is_strict: the bound itself is outside.
    """

    objective: Objective
    most: float
    is_strict: bool = False

    def holds(self, value: ArrayLike) -> NDArray[np.bool_]:
        """Whether candidates of these costs are within the limit. Shape as `value`."""
        costs = np.asarray(value)
        return np.asarray(costs < self.most if self.is_strict else costs <= self.most)

    def __str__(self) -> str:
        return f"{self.objective.name} {'<' if self.is_strict else '<='} {self.objective.written(self.most)}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Those of a search.

    Attributes:
        costs: hard limits.
        floor: least accuracy that is of use; 0 is none.
    """

    costs: tuple[Limit, ...] = ()
    floor: float = 0.0

    def outside(self, costs: Mapping[str, float]) -> tuple[Limit, ...]:
        """The limits that a candidate of these costs breaks."""
        return tuple(limit for limit in self.costs if not limit.holds(costs[limit.objective.key]))

    def __str__(self) -> str:
        floor = [f"{ACCURACY.name} >= {ACCURACY.written(self.floor)}"] if self.floor else []
        return ", ".join([*map(str, self.costs), *floor])

    def to_dict(self) -> dict[str, str]:
        """As `parse_limits` reads it."""
        found = {}
        for limit in self.costs:
            sign = "<" if limit.is_strict else "<="
            found[limit.objective.name] = f"{sign} {limit.most!r} {limit.objective.unit}".rstrip()
        return found | ({ACCURACY.name: f">= {self.floor!r}"} if self.floor else {})


def parse_limits(limits: Mapping[str, str | float] | None) -> Limits:
    """Limits by the names of objectives.

    A cost is bounded from above with a unit ("<= 2 ms"; a bare number is in the unit of the tables), accuracy from
    below as a share (0.9 or "90 %").

    Raises:
        ConfigError: an unknown name, a bound that is none, or of the wrong side.
    """
    if limits is None:
        return Limits()
    if not isinstance(limits, Mapping):
        raise ConfigError(f"limits: must be bounds by name, as {{latency: '<= 2 ms'}}, but got {limits!r}.")
    found, floor = [], 0.0
    for name, bound in limits.items():
        try:
            objective = objective_named(name)
        except ConfigError as error:
            raise ConfigError(f"limits: {error}") from None
        if objective is ACCURACY:
            floor = _floor(bound)
        else:
            found.append(_limit(objective, bound))
    return Limits(costs=tuple(found), floor=floor)


def _split(name: str, bound: str | float, usual: str) -> tuple[str, str]:
    if isinstance(bound, (int, float)) and not isinstance(bound, bool):
        return usual, repr(bound)
    match = _LIMIT.fullmatch(bound) if isinstance(bound, str) else None
    if match is None:
        raise ConfigError(f"limits: {name} must be bounded as in '{usual} VALUE', but got {bound!r}.")
    return match[1], match[2]


def _limit(objective: Objective, bound: str | float) -> Limit:
    sign, text = _split(objective.name, bound, "<=")
    if sign.startswith(">"):
        raise ConfigError(f"limits: {objective.name} is a cost: bound it from above, but got {bound!r}.")
    try:
        most = objective.parsed(text)
    except ValueError as error:
        raise ConfigError(f"limits: {objective.name}: {error}") from None
    if not math.isfinite(most):
        raise ConfigError(f"limits: {objective.name} must be finite, but got {bound!r}.")
    return Limit(objective=objective, most=most, is_strict=sign == "<")


def _floor(bound: str | float) -> float:
    sign, text = _split(ACCURACY.name, bound, ">=")
    try:
        value = ACCURACY.parsed(text)
    except ValueError:
        value = math.nan
    if sign.startswith("<") or not 0 <= value <= 1:
        raise ConfigError(f"limits: accuracy must be bounded from below, as in '>= 0.9', but got {bound!r}.")
    return value
