"""How much each single decision costs: one group changed, all others at their most precise combination.

Measured is the accuracy without training (the first fidelity), on the validation split; what is kept is by how much
the logit of the error rises, which adds up over groups far better than the accuracy, whose drops saturate. The bits
of
weights and activations of a group are changed together, pair by pair: a narrow weight costs more under a narrow
activation. Densities are changed alone, and their rises added.

Where the evaluator tells images apart, a change is scored beside the reference on as many of them as its rise needs
(`search.propose.subsets`).

A rise is an estimate: along each axis it is made to fall as the value gets more precise (isotonic regression), and
never below 0, so that no noise is credited as a gain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from hwmodel.errors import ConfigError
from search.evaluating import Hits, IsEnough
from search.groups import AxisValue, Group
from search.propose.problem import Floats
from search.propose.scores import ScoreCache
from search.propose.subsets import Everything, SettledAgainst
from search.scoring import Outcome
from search.space import Space
from workloads.compress.config import CompressionConfig

if TYPE_CHECKING:
    import pandas as pd

#: Kinds of a rise, in the order of their columns.
KINDS = ("w_bits", "a_bits", "density")


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


#: Scores configurations at the first fidelity, in their order; the rule ends the scoring of each (None: never).
Score = Callable[[Sequence[CompressionConfig], IsEnough | None], Iterator[Outcome]]


def measure_sensitivity(
    space: Space,
    score: Score,
    cache: ScoreCache,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    subsets: bool = False,
) -> Sensitivity:
    """Score every single change that the cache does not hold.

    Args:
        space: the candidates.
        score: the first fidelity.
        cache: in the run folder.
        progress: called with (done, total).
        subsets: each on as many images as its rise needs; all of them for the reference.

    Raises:
        ConfigError: the most precise configuration cannot be scored, so nothing can.
    """
    changes = list(single_changes(space))
    configs = [space.config(change.point) for change in changes]
    missing = [index for index, config in enumerate(configs) if config.key not in cache]
    done = len(changes) - len(missing)
    progress(done, len(changes))

    def keep(rows: Sequence[int], is_enough: IsEnough | None, reference: Hits | None) -> None:
        nonlocal done
        for index, outcome in zip(rows, score([configs[row] for row in rows], is_enough), strict=True):
            if not index and outcome.accuracy is None:
                raise ConfigError(f"sensitivity: the most precise configuration cannot be scored: {outcome.error}")
            cache.put(configs[index].key, outcome, changes[index].group, changes[index].value, reference)
            done += 1
            progress(done, len(changes))

    try:
        if subsets:
            keep([index for index in missing if not index], Everything(), None)
            reference = cache.hits(configs[0].key)  # None where an earlier version measured it
            rule = None if reference is None else SettledAgainst.of(reference)
            keep([index for index in missing if index], rule, reference)
        else:
            keep(missing, None, None)
    finally:
        cache.flush()
    return sensitivity_of(space, cache)


def sensitivity_of(space: Space, cache: ScoreCache) -> Sensitivity:
    """From scores that are there.

    Raises:
        ConfigError: one is missing.
    """
    found: dict[str, dict[tuple[AxisValue, ...], float]] = {group.name: {} for group in space.groups}
    first = space.config(space.most_precise).key
    for change in single_changes(space):
        key = space.config(change.point).key
        if key not in cache:
            raise ConfigError(f"sensitivity: {change.group} {change.value} must be scored first. Resume the run.")
        if change.group:
            found[change.group][change.combination] = cache.rise(key, first)
    rises = {group.name: _rises(group, found[group.name]) for group in space.groups}
    return Sensitivity(reference=cache.logit(first), rises=rises)


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
