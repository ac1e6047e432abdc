"""What a proposer sees of a search: decisions with numbered options, exact costs, and what each option may cost in
accuracy.

A candidate is a row of *picks*, one option per decision: `(num_candidates, num_decisions)` integers. For a `Space`
a decision is a group of layers and an option one combination of its axes; in somebody's own Optuna study a decision
is a parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError

Picks = NDArray[np.int64]
Floats = NDArray[np.float64]
#: Parameters of a candidate by name.
Params = Mapping[str, Any]

#: A share without a count is taken as one of so many images: an error below 1e-4 is not told from none.
NOMINAL_IMAGES = 5000


class Layout:
    """Which parameters decide together, and their options: candidates by name, and as picks.

    Args:
        decisions: per decision its options, each a value for every parameter of the decision; all options of a
            decision name the same parameters, or none.
    """

    def __init__(self, decisions: Sequence[Sequence[Params]]) -> None:
        self.decisions = [list(options) for options in decisions]
        self._names = [tuple(options[0]) for options in self.decisions]
        self._positions = [
            {tuple(option[name] for name in names): n for n, option in enumerate(options)}
            for names, options in zip(self._names, self.decisions, strict=True)
        ]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Options of each decision."""
        return tuple(len(options) for options in self.decisions)

    def row(self, params: Params) -> tuple[int, ...] | None:
        """The picks of one candidate; None where it lacks a parameter or has another value."""
        found = []
        for names, positions in zip(self._names, self._positions, strict=True):
            try:
                found.append(positions[tuple(params[name] for name in names)])
            except KeyError:
                return None
        return tuple(found)

    def rows(self, candidates: Sequence[Params]) -> Picks:
        """The picks of many. Shape (n, num_decisions).

        Raises:
            ConfigError: one is none of these.
        """
        found = [self.row(params) for params in candidates]
        if None in found:
            raise ConfigError(f"candidate: {dict(candidates[found.index(None)])} is not in the space.")
        return np.array(found, dtype=np.int64).reshape(len(found), len(self.decisions))

    def params(self, row: Sequence[int]) -> dict[str, Any]:
        """Inverse of `row`."""
        return {
            name: value
            for options, pick in zip(self.decisions, row, strict=True)
            for name, value in options[pick].items()
        }


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is known of the accuracy before a candidate was run.

    Attributes:
        rises: per decision (num_options, num_kinds): how much the logit of the error rises, without training, where
            this option alone replaces the most precise one; 0 for that one. The kinds add up to the whole rise;
            each (weights, activations, density) is recovered by training at a rate of its own.
        reference: logit of the error of the most precise candidate without training; None is not known.
        slope: share of a rise that is expected to stay: half after finetuning, all without.
    """

    rises: tuple[Floats, ...]
    reference: float | None = None
    slope: float = 0.5

    def __post_init__(self) -> None:
        if any(rise.ndim != 2 or not len(rise) for rise in self.rises):
            raise ConfigError(
                "rises: every decision must have the shape (options, kinds) with at least one option."
            )
        if len({rise.shape[1] for rise in self.rises}) > 1:
            raise ConfigError("rises: every decision must have the same kinds.")

    @property
    def num_kinds(self) -> int:
        return self.rises[0].shape[1] if self.rises else 0

    @cached_property
    def largest(self) -> float:
        """The largest sum of rises of any candidate."""
        return max(1e-9, float(sum(rise.sum(axis=1).max(initial=0) for rise in self.rises)))

    @cached_property
    def likeness(self) -> tuple[tuple[Floats, Floats], ...]:
        """Per decision: how alike its options are (num_options, num_options), in (0, 1], and their whole rises."""
        found = []
        for rise in self.rises:
            whole = rise.sum(axis=1)
            spread = max(float(np.ptp(whole)), 1e-9)
            near = np.exp(-np.abs(whole[:, None] - whole[None, :]) / spread)
            found.append((near, np.abs(rise).sum(axis=1)))
        return tuple(found)

    def totals(self, picks: Picks) -> Floats:
        """Summed rises of candidates. Shape (n, num_kinds)."""
        found = np.zeros((len(picks), self.num_kinds))
        for column, rise in enumerate(self.rises):
            found += rise[picks[:, column]]
        return found


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A search as its proposer sees it.

    Attributes:
        prior: of the accuracy; its decisions are those of the picks.
        costs: picks (n, num_decisions) -> exact costs, less is better: (n, num_costs) objectives, then any that are
            only limited.
        num_costs: of the objectives.
        is_allowed: all those costs -> (n,) mask of candidates within all limits; None allows all.
        floor: accuracy below which a candidate is worth nothing.
        precise: the most precise candidate; () is not known.
    """

    prior: Prior
    costs: Callable[[Picks], Floats]
    num_costs: int = 1
    is_allowed: Callable[[Floats], NDArray[np.bool_]] | None = None
    floor: float = 0.0
    precise: tuple[int, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Options of each decision."""
        return tuple(len(rise) for rise in self.prior.rises)

    @property
    def size(self) -> int:
        """Number of candidates."""
        return math.prod(self.sizes)

    def allowed(self, costs: Floats) -> NDArray[np.bool_]:
        """Which candidates of these costs are within all limits. Shape (n,)."""
        return np.ones(len(costs), dtype=np.bool_) if self.is_allowed is None else self.is_allowed(costs)


def logit_error(accuracy: Floats | float, total: Floats | float = 0) -> Floats:
    """log(error / accuracy), finite at both ends: half an image is added to each side.

    Args:
        accuracy: share of right answers.
        total: images; 0 where the count is not known.
    """
    count = np.where(np.asarray(total) > 0, total, NOMINAL_IMAGES)
    right = np.asarray(accuracy, dtype=np.float64) * count
    return np.asarray(np.log((count - right + 0.5) / (right + 0.5)))


def accuracy_of(logit: Floats | float) -> Floats:
    """Inverse of `logit_error` for many images."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(logit, -50, 50))))


def unique_rows(picks: Sequence[Sequence[int]] | Picks, width: int) -> Picks:
    """The rows, each once, in the order of their first appearance.

    Rows are told apart by a 64-bit hash: of a million rows one in 40 million is taken for another.
    """
    matrix = np.asarray(picks, dtype=np.int64).reshape(-1, width)
    factors = np.random.default_rng(0).integers(2**63, size=width, dtype=np.int64) | 1
    with np.errstate(over="ignore"):
        _, first = np.unique(matrix @ factors, return_index=True)
    return matrix[np.sort(first)]
