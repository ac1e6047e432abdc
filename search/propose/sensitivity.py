"""How much each single decision costs: one group changed, all others at their most precise combination.

Measured is the accuracy without training (the first fidelity), on the validation split; what is kept is by how much
the logit of the error rises, which adds up over groups far better than the accuracy, whose drops saturate. The bits
of
weights and activations of a group are changed together, pair by pair: a narrow weight costs more under a narrow
activation. Densities are changed alone, and their rises added.

A rise is an estimate: along each axis it is made to fall as the value gets more precise (isotonic regression), and
never below 0, so that no noise is credited as a gain.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from hwmodel.chip.records import read_record
from hwmodel.errors import ConfigError
from hwmodel.files import write_atomic
from search.groups import AxisValue, Group
from search.guard.seal import seal, unseal
from search.propose.problem import Floats, logit_error
from search.scoring import Outcome, accuracy_fields, accuracy_of
from search.space import Space
from workloads.compress.config import CompressionConfig
from workloads.training.accuracy import Accuracy

if TYPE_CHECKING:
    import pandas as pd

FILE = "sensitivity.json"
SCHEMA_VERSION = 1
#: Kinds of a rise, in the order of their columns.
KINDS = ("w_bits", "a_bits", "density")
#: A score is on disk after so long at most [s]; those that take longer than this are at once.
FLUSH_S = 1.0


@dataclass(frozen=True, kw_only=True)
class _Score:
    """A line of the file: `Outcome` of the configuration `key`, and what was changed for it."""

    key: str
    parameter: str
    value: AxisValue | str | None
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
    """Scores by configuration key in a JSON file, which is written whole: `flush` it, or use it in a `with` block.

    Args:
        path: the file; made with the first score.

    Raises:
        ConfigError: the file is not one of these.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, _Score] = {}
        self._written_at = -FLUSH_S
        self._is_dirty = False
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

    def put(self, key: str, outcome: Outcome, parameter: str, value: AxisValue | str | None) -> None:
        """Keep an outcome, with what was changed for the reader of the file."""
        self._entries[key] = _Score(
            key=key,
            parameter=parameter,
            value=value,
            **accuracy_fields(outcome.accuracy),
            error=outcome.error,
            wall_s=outcome.wall_s,
        )
        self._is_dirty = True
        if time.monotonic() - self._written_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet."""
        if self._is_dirty:
            data = {"schema": SCHEMA_VERSION, "scores": [asdict(score) for score in self._entries.values()]}
            write_atomic(self._path, json.dumps(seal(data), indent=1) + "\n")
            self._written_at, self._is_dirty = time.monotonic(), False


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """Rises of single changes.

    Attributes:
        reference: logit of the error of the most precise point.
        rises: group -> (num_combinations, 3): how much the logit of the error rises where this combination replaces
            the most precise one, split into what weights, activations and density cause (`KINDS`); 0 for that one.
    """

    reference: float
    rises: Mapping[str, Floats]

    def to_dataframe(self, space: Space) -> pd.DataFrame:
        """One row per group and combination: group, w_bits, a_bits, density, rise."""
        import pandas as pd

        rows = [
            {"group": group.name, "w_bits": w, "a_bits": a, "density": d, "rise": float(rise.sum())}
            for group in space.groups
            for (w, a, d), rise in zip(group.combinations, self.rises[group.name], strict=True)
        ]
        return pd.DataFrame(rows, columns=["group", "w_bits", "a_bits", "density", "rise"])


@dataclass(frozen=True, kw_only=True)
class Change:
    """One point to score: `combination` of `group`, all else most precise; the reference has no group."""

    group: str
    combination: tuple[AxisValue, ...]
    point: Mapping[str, AxisValue]

    @property
    def value(self) -> str | None:
        """As the file shows it."""
        return ", ".join(f"{value:g}" for value in self.combination) or None


def single_changes(space: Space) -> Iterator[Change]:
    """The reference, then each pair of bits and each density of each group."""
    reference = space.most_precise
    yield Change(group="", combination=(), point=reference)
    for group in space.groups:
        last = (group.w_bits[-1], group.a_bits[-1], group.density[-1])
        pairs = [(w, a, last[2]) for w, a in itertools.product(group.w_bits, group.a_bits)]
        densities = [(*last[:2], density) for density in group.density]
        for combination in dict.fromkeys([*pairs, *densities]):
            if combination != last:
                names = (f"{group.name}.{axis}" for axis in KINDS)
                own = {name: value for name, value in zip(names, combination, strict=True) if name in reference}
                yield Change(group=group.name, combination=combination, point={**reference, **own})


def measure_sensitivity(
    space: Space,
    score: Callable[[Sequence[CompressionConfig]], Iterator[Outcome]],
    cache: ScoreCache,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sensitivity:
    """Score every single change that the cache does not hold.

    Args:
        space: the candidates.
        score: the first fidelity; outcomes in the order of the configurations.
        cache: in the run folder.
        progress: called with (done, total).

    Raises:
        ConfigError: the most precise configuration cannot be scored, so nothing can.
    """
    changes = list(single_changes(space))
    configs = [space.config(change.point) for change in changes]
    missing = [index for index, config in enumerate(configs) if config.key not in cache]
    done = len(changes) - len(missing)
    progress(done, len(changes))
    try:
        for index, outcome in zip(missing, score([configs[index] for index in missing]), strict=True):
            if not index and outcome.accuracy is None:
                raise ConfigError(f"sensitivity: the most precise configuration cannot be scored: {outcome.error}")
            cache.put(configs[index].key, outcome, changes[index].group, changes[index].value)
            done += 1
            progress(done, len(changes))
    finally:
        cache.flush()
    return sensitivity_of(space, cache)


def sensitivity_of(space: Space, cache: ScoreCache) -> Sensitivity:
    """From scores that are there.

    Raises:
        ConfigError: one is missing.
    """
    found: dict[str, dict[tuple[AxisValue, ...], float]] = {group.name: {} for group in space.groups}
    reference = 0.0
    for change in single_changes(space):
        outcome = cache.get(space.config(change.point).key)
        if outcome is None:
            raise ConfigError(f"sensitivity: {change.group} {change.value} must be scored first. Resume the run.")
        if not change.group:
            reference = _logit(outcome)
        else:
            found[change.group][change.combination] = _logit(outcome) - reference
    rises = {group.name: _rises(group, found[group.name]) for group in space.groups}
    return Sensitivity(reference=reference, rises=rises)


def _logit(outcome: Outcome) -> float:
    """Of the error; a configuration that cannot be scored gets everything wrong."""
    total = outcome.accuracy.total if isinstance(outcome.accuracy, Accuracy) else 0
    return float(logit_error(outcome.value or 0.0, total))


def _rises(group: Group, found: Mapping[tuple[AxisValue, ...], float]) -> Floats:
    """(num_combinations, 3) of one group."""
    last = (group.w_bits[-1], group.a_bits[-1], group.density[-1])
    grid = np.array([[found.get((w, a, last[2]), 0.0) for a in group.a_bits] for w in group.w_bits])
    grid = _falling(grid)
    density = _falling(np.array([[found.get((*last[:2], d), 0.0)] for d in group.density]))[:, 0]
    rows = []
    for w, a, d in itertools.product(range(len(group.w_bits)), range(len(group.a_bits)), range(len(group.density))):
        alone_w, alone_a = grid[w, -1], grid[-1, a]
        share = (
            alone_w / (alone_w + alone_a) if alone_w + alone_a > 0 else float(group.w_bits[w] <= group.a_bits[a])
        )
        rows.append((grid[w, a] * share, grid[w, a] * (1 - share), density[d]))
    return np.array(rows, dtype=np.float64)


def _falling(grid: Floats) -> Floats:
    """The grid made to fall along both axes to 0 at its last entry, by regressions in turn; never below 0."""
    fitted = np.maximum(grid - grid[-1, -1], 0.0)
    for _ in range(8):
        fitted = np.apply_along_axis(_regressed, 0, fitted)
        fitted = np.apply_along_axis(_regressed, 1, fitted)
    fitted[-1, -1] = 0.0
    return np.asarray(fitted)


def _regressed(values: Floats) -> Floats:
    return np.asarray(isotonic_regression(values, increasing=False).x)
