"""The problem that a study sets its proposer: groups as decisions, measured rises, exact costs, limits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwmodel.errors import ConfigError
from search.front.limits import Limits
from search.front.objective import ACCURACY, Objective
from search.front.results import Result, Stage
from search.groups import Group
from search.propose.accuracy_model import Observations
from search.propose.asking import distributions, point_of
from search.propose.front import FrontProposer
from search.propose.many import ManyCosts, layout_of
from search.propose.pricing import Pricer
from search.propose.problem import Floats, Prior, Problem, logit_error
from search.propose.sampler import FrontSampler, History, counting_variance
from search.propose.sensitivity import Sensitivity
from search.space import Space

#: Share of a rise that is expected to stay after finetuning, and without.
SLOPES: dict[Stage, float] = {"ptq": 1.0, "short": 0.5, "warm": 0.5, "qat": 0.5}
#: Where nothing was measured: the rise of a weight width b is this times 4^-b, of activations and densities alike.
GUESSED_RISE = 8.0


class StudyProblem:
    """Space, costs and sensitivities of a study as its proposer and its posterior see them.

    Args:
        space: the candidates.
        objectives: of the study.
        limits: hard ones.
        pricer: of costs; None where only the accuracy matters.
        sensitivity: of single changes; None guesses from the widths.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        limits: Limits,
        pricer: Pricer | None,
        sensitivity: Sensitivity | None,
    ) -> None:
        self.space, self.objectives, self.limits = space, tuple(objectives), limits
        self.layout = layout_of(space)
        self._pricer, self._sensitivity = pricer, sensitivity
        self._proposers: dict[Stage, FrontProposer] = {}

    def prior(self, stage: Stage) -> Prior:
        """Of the accuracy at one fidelity."""
        reference = None if self._sensitivity is None else self._sensitivity.reference
        return Prior(rises=self.rises, reference=reference, slope=SLOPES[stage])

    def problem(self, stage: Stage) -> Problem:
        """At one fidelity."""
        costs = [objective.key for objective in self.objectives if objective.key]
        limited = [limit.objective.key for limit in self.limits.costs]
        if self._pricer is None:
            raise ConfigError("problem: costs need a pricer.")
        keys = list(dict.fromkeys([*costs, *limited]))
        columns = [(keys.index(limit.objective.key), limit) for limit in self.limits.costs]

        def is_allowed(values: Floats) -> NDArray[np.bool_]:
            mask = np.ones(len(values), dtype=np.bool_)
            for column, limit in columns:
                mask &= limit.holds(values[:, column])
            return mask

        return Problem(
            prior=self.prior(stage),
            costs=ManyCosts(self._pricer, self.space, keys),
            num_costs=len(costs),
            is_allowed=is_allowed if columns else None,
            floor=self.limits.floor,
            precise=tuple(group.size - 1 for group in self.space.groups),
        )

    def sampler(self, stage: Stage, seed: int, history: History | None = None) -> FrontSampler:
        """Ours, over the space."""
        return FrontSampler(
            distributions=distributions(self.space),
            accuracy=self.objectives.index(ACCURACY),
            seed=seed,
            proposer=self.proposer(stage),
            layout=self.layout,
            history=history,
        )

    def proposer(self, stage: Stage) -> FrontProposer:
        """Ours at one fidelity, made once."""
        if stage not in self._proposers:
            self._proposers[stage] = FrontProposer(self.problem(stage))
        return self._proposers[stage]

    def observations(self, results: Sequence[Result]) -> Observations:
        """Of results that are done, in their order."""
        accuracy = np.array([result.accuracy for result in results])
        total = np.array([float(result.total) for result in results])
        return Observations(
            picks=self.layout.rows([point_of(self.space, result) for result in results]),
            y=logit_error(accuracy, total),
            variance=counting_variance(accuracy, total),
        )

    @cached_property
    def rises(self) -> tuple[Floats, ...]:
        """Per group (num_combinations, num_kinds); kinds that no group can change are left out."""
        if self._sensitivity is None:
            found = [_guessed(group, len(self.space.groups)) for group in self.space.groups]
        else:
            found = [self._sensitivity.rises[group.name] for group in self.space.groups]
        kept = np.array([any(rise[:, kind].any() for rise in found) for kind in range(3)])
        if not kept.any():
            kept[0] = True
        return tuple(np.asarray(rise[:, kept]) for rise in found)


def _guessed(group: Group, num_groups: int) -> Floats:
    """Rises (num_combinations, 3) from the widths alone: noise of rounding falls by four per bit, shared evenly."""
    rows = [(4.0**-w, 4.0**-a, 0.05 * (1 / density - 1)) for w, a, density in group.combinations]
    rises = np.array(rows, dtype=np.float64)
    return np.asarray(GUESSED_RISE * (rises - rises[-1]) / max(1.0, num_groups / 4))
