"""How much accuracy each single decision costs: one parameter changed, all others at their most precise value.

The drops are of accuracy without training (the first fidelity), on the validation split. A group with several
axes (bits of weights, bits of activations, density) is measured axis by axis, and the drops of its
axes are added like those of the groups: n values cost n - 1 scores instead of their product.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodel.chip.records import read_record
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.front.objective import Objective
from search.groups import AXES, AxisValue, Group
from search.guard.seal import seal, unseal
from search.propose.knapsack import Option, budget_path, spread
from search.propose.pricing import Pricer
from search.scoring import Outcome, accuracy_fields, accuracy_of
from search.space import Point, Space
from workloads.compress.config import CompressionConfig

if TYPE_CHECKING:
    import pandas as pd

FILE = "sensitivity.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class _Score:
    """A line of the file: `Outcome` of the configuration `key`, and what was changed for it."""

    key: str
    parameter: str
    value: AxisValue | None
    correct: int
    total: int
    score: float | None = None
    error: str
    wall_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.total:
            raise ConfigError(f"`0 <= correct <= total` must hold, but got {self.correct} of {self.total}.")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ConfigError(f"score must lie in [0, 1], but got {self.score}.")
        if not self.error and not self.total and self.score is None:
            raise ConfigError(f"{self.key} must hold an accuracy or an error.")

    @property
    def outcome(self) -> Outcome:
        accuracy = None if self.error else accuracy_of(asdict(self))
        return Outcome(accuracy=accuracy, error=self.error, wall_s=self.wall_s)


class ScoreCache:
    """Scores by configuration key in a JSON file, written whole after each: an interrupted run loses none.

    Args:
        path: the file; made with the first score.

    Raises:
        ConfigError: the file is not one of these.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, _Score] = {}
        if path.exists():
            try:
                data = unseal(json.loads(path.read_text(encoding="utf-8")), "the file", "")[0]
                if data["schema"] != SCHEMA_VERSION:
                    raise ValueError(f"schema must be {SCHEMA_VERSION}, but is {data['schema']!r}")
                scores = [read_record(_Score, item) for item in data["scores"]]
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise ConfigError(f"{path}: is damaged: {error} Delete it: it is measured again.") from error
            self._entries = {score.key: score for score in scores}

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Outcome | None:
        """The outcome of a configuration, or None."""
        item = self._entries.get(key)
        return None if item is None else item.outcome

    def put(self, key: str, outcome: Outcome, parameter: str, value: AxisValue | None) -> None:
        """Keep an outcome, with what was changed for the reader of the file."""
        self._entries[key] = _Score(
            key=key,
            parameter=parameter,
            value=value,
            **accuracy_fields(outcome.accuracy),
            error=outcome.error,
            wall_s=outcome.wall_s,
        )
        data = {"schema": SCHEMA_VERSION, "scores": [asdict(score) for score in self._entries.values()]}
        write_atomic(self._path, json.dumps(seal(data), indent=1) + "\n")


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Accuracy drops of single changes.

    Attributes:
        reference: accuracy of the most precise point.
        drops: parameter -> value -> drop in accuracy, 0 for the most precise value; negative where the
            change helped. A configuration that could not be scored drops the whole accuracy.
    """

    reference: float
    drops: Mapping[str, Mapping[AxisValue, float]]

    def predicted_drop(self, point: Point) -> float:
        """Sum of the drops of a point's values."""
        return sum(self.drops[name][value] for name, value in point.items())

    def to_dataframe(self) -> pd.DataFrame:
        """One row per parameter and value: parameter, value, drop."""
        import pandas as pd

        rows = [
            {"parameter": name, "value": value, "drop": drop}
            for name, values in self.drops.items()
            for value, drop in values.items()
        ]
        return pd.DataFrame(rows, columns=["parameter", "value", "drop"])


def single_changes(space: Space) -> Iterator[tuple[str, AxisValue | None, dict[str, AxisValue]]]:
    """(parameter, value, point) of the reference ("", None) and of every single change from it."""
    reference = space.most_precise
    yield "", None, reference
    for parameter in space.parameters:
        for value in parameter.values[:-1]:
            yield parameter.name, value, {**reference, parameter.name: value}


def measure_sensitivity(
    space: Space,
    score: Callable[[CompressionConfig], Outcome],
    cache: ScoreCache,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sensitivity:
    """Score every single change that the cache does not hold.

    Args:
        space: the candidates.
        score: the first fidelity.
        cache: in the run folder.
        progress: called with (done, total).

    Raises:
        ConfigError: the most precise configuration cannot be scored, so nothing can.
    """
    changes = list(single_changes(space))
    accuracy: list[float | None] = []
    for done, (parameter, value, point) in enumerate(changes, start=1):
        config = space.config(point)
        outcome = cache.get(config.key)
        if outcome is None:
            outcome = score(config)
            if parameter or outcome.accuracy is not None:
                cache.put(config.key, outcome, parameter, value)
        if outcome.accuracy is None and not parameter:
            raise ConfigError(f"sensitivity: the most precise configuration cannot be scored: {outcome.error}")
        accuracy.append(outcome.value)
        progress(done, len(changes))
    reference = accuracy[0] or 0.0
    drops: dict[str, dict[AxisValue, float]] = {p.name: {p.values[-1]: 0.0} for p in space.parameters}
    for (parameter, value, _), found in zip(changes[1:], accuracy[1:], strict=True):
        if value is not None:
            drops[parameter][value] = reference - (found or 0.0)
    return Sensitivity(reference=reference, drops=drops)


def knapsack_points(
    space: Space, sensitivity: Sensitivity, pricer: Pricer, costs: Sequence[Objective], count: int
) -> list[dict[str, AxisValue]]:
    """Points along the whole range of each cost, optimal at their own cost if drops and costs add up.

    The costs of the groups are their marginal costs from the most precise point: exact for average bits,
    energy and latency, which add over layers; an estimate for memory, whose activation part is a peak.

    Args:
        costs: the objectives to minimise; they take turns.
        count: at most so many points.
    """
    if not space.groups:
        return []
    marginal = [_marginal_costs(space, group, pricer) for group in space.groups]
    drops = [_drops(space, group, sensitivity) for group in space.groups]
    lists = []
    for objective in costs:
        groups = [
            [Option(cost=prices[objective.key], drop=drop) for prices, drop in zip(*pair, strict=True)]
            for pair in zip(marginal, drops, strict=True)
        ]
        lists.append([_point(space, item.picks) for item in spread(budget_path(groups), count)])
    turns = [point for turn in itertools.zip_longest(*lists) for point in turn if point is not None]
    return [point for index, point in enumerate(turns) if point not in turns[:index]][:count]


def _changes(space: Space, group: Group) -> Iterator[dict[str, AxisValue]]:
    """The values of the group's parameters, combination by combination."""
    names = {parameter.name for parameter in space.parameters}
    for combination in group.combinations:
        yield {name: value for name, value in _named(group, combination) if name in names}


def _marginal_costs(space: Space, group: Group, pricer: Pricer) -> list[dict[str, float]]:
    """Cost of every combination of one group above that of the most precise point, by cost key."""
    reference = space.most_precise
    base = pricer.costs(space.config(reference))
    prices = [pricer.costs(space.config({**reference, **change})) for change in _changes(space, group)]
    return [{key: price[key] - base[key] for key in price} for price in prices]


def _drops(space: Space, group: Group, sensitivity: Sensitivity) -> list[float]:
    return [sensitivity.predicted_drop(change) for change in _changes(space, group)]


def _named(group: Group, combination: Sequence[AxisValue]) -> Iterator[tuple[str, AxisValue]]:
    return ((f"{group.name}.{axis}", value) for axis, value in zip(AXES, combination, strict=True))


def _point(space: Space, picks: Sequence[int]) -> dict[str, AxisValue]:
    """The point that picks one combination per group."""
    point: dict[str, AxisValue] = {}
    for group, pick in zip(space.groups, picks, strict=True):
        point.update(list(_changes(space, group))[pick])
    return point
