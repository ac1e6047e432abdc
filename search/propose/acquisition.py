"""Expected hypervolume improvement where the costs are known and only the accuracy is not.

The volume that a candidate of costs c and accuracy a adds to a front is the integral over cost vectors u between c
and the reference of max(0, a - A(u)), with A(u) the best accuracy on the front for u or less. A is a step function,
so

    E[improvement] = sum_j w_j(c) E[max(0, a - A_j)]

over the levels A_j of the front: w_j(c) is the measure of the costs above c where A = A_j. With one cost the w_j
are exact (lengths of intervals); with more they are estimated over a fixed scrambled Sobol sequence. The
expectation over a = 1 / (1 + exp(y)), y Gaussian, is a Gaussian quadrature.

Source: Emmerich, Single- and multi-objective evolutionary optimization assisted by Gaussian random field
metamodels, 2005 (expected hypervolume improvement); Daulton et al., Multi-objective Bayesian optimization over
high-dimensional search spaces, UAI 2022 (objectives that are known exactly need no model).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from search.propose.problem import Floats, accuracy_of

NODES = 8
#: So many deviations away a level is exceeded for sure, or for sure not (6e-5 of the draws differ).
SURE = 4.0
SAMPLES = 2**11


@dataclass(frozen=True, kw_only=True)
class Front:
    """What is reached so far, and the box in which volume counts.

    Attributes:
        costs: (n, num_costs).
        accuracy: (n,).
        ideal, reference: (num_costs,) least costs of any candidate, and costs at which one is worth nothing.
        floor: accuracy at which a candidate is worth nothing.
    """

    costs: Floats
    accuracy: Floats
    ideal: Floats
    reference: Floats
    floor: float

    def with_point(self, cost: Floats, accuracy: float) -> Front:
        """The front with one more candidate. `cost`: (num_costs,)."""
        return replace(self, costs=np.vstack((self.costs, cost)), accuracy=np.append(self.accuracy, accuracy))

    def improvement(self, costs: Floats, mean: Floats, deviation: Floats | None = None) -> Floats:
        """Expected volume that each candidate adds, in shares of the box. Shape (n,).

        Args:
            costs: (n, num_costs).
            mean: (n,) of the logit of the error.
            deviation: (n,) of it; None is certain.
        """
        levels, widths = self._widths(costs)
        if deviation is None:
            gains = np.maximum(accuracy_of(mean)[:, None] - levels, 0.0)
        else:
            gains = _expected_excess(mean, deviation, levels, widths > 0)
        return np.asarray((widths * gains).sum(axis=1))

    def _widths(self, costs: Floats) -> tuple[Floats, Floats]:
        """Levels (num_levels,), rising, and the share of the box above each candidate at each level."""
        extent = np.where(self.reference > self.ideal, self.reference - self.ideal, 1.0)
        scaled, known = (costs - self.ideal) / extent, (self.costs - self.ideal) / extent
        accuracy = np.maximum(self.accuracy, self.floor)
        if costs.shape[1] == 1:
            return _intervals(scaled[:, 0], known[:, 0], accuracy, self.floor)
        return _sampled(scaled, known, accuracy, self.floor)


def _intervals(costs: Floats, known: Floats, accuracy: Floats, floor: float) -> tuple[Floats, Floats]:
    order = np.lexsort((-accuracy, known))
    best = np.maximum.accumulate(np.concatenate(([floor], accuracy[order])))
    starts = np.concatenate(([-np.inf], known[order]))
    ends = np.concatenate((known[order], [1.0]))
    widths = np.minimum(ends, 1.0) - np.maximum(starts, costs[:, None])
    return best, np.maximum(widths, 0.0)


def _sampled(costs: Floats, known: Floats, accuracy: Floats, floor: float) -> tuple[Floats, Floats]:
    points = _sobol(costs.shape[1])
    below = (known[:, None, :] <= points[None, :, :]).all(axis=2)
    reached = np.where(below, accuracy[:, None], floor).max(axis=0, initial=floor)
    levels, index = np.unique(reached, return_inverse=True)
    above = np.ones((len(costs), len(points)), dtype=np.bool_)
    for column in range(costs.shape[1]):
        above &= costs[:, column, None] <= points[:, column]
    at_level = (index[:, None] == np.arange(len(levels))).astype(np.float32)
    return levels, np.asarray(above.astype(np.float32) @ at_level / len(points), dtype=np.float64)


@cache
def _sobol(dimensions: int) -> Floats:
    from scipy.stats import qmc  # slow to import

    return np.asarray(qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(0)).random(SAMPLES))


def _expected_excess(mean: Floats, deviation: Floats, levels: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """E[max(0, accuracy - level)] of candidates (n,) over levels (m,), where wanted (n, m); else 0. Shape (n, m).

    Where a level is nearly surely exceeded it is the mean accuracy less the level, where nearly surely not, 0.
    Between, the normal variable is cut at the level, and what is left of it integrated over its quantiles.
    """
    with np.errstate(divide="ignore"):
        cuts = np.log1p(-levels) - np.log(levels)
    reach = (cuts - mean[:, None]) / deviation[:, None]
    found = np.where(wanted & (reach >= SURE), _mean_accuracy(mean, deviation)[:, None] - levels, 0.0)
    rows, columns = np.nonzero(wanted & (np.abs(reach) < SURE))
    share = ndtr(reach[rows, columns])
    nodes, weights = _quantiles()
    total = np.zeros(len(rows))
    for node, weight in zip(nodes, weights, strict=True):
        y = mean[rows] + deviation[rows] * ndtri(share * node)
        total += weight * (accuracy_of(y) - levels[columns])
    found[rows, columns] = share * total
    return np.maximum(found, 0.0)


def _mean_accuracy(mean: Floats, deviation: Floats) -> Floats:
    found = np.zeros(len(mean))
    for node, weight in zip(*_nodes(), strict=True):
        found += weight * accuracy_of(mean + node * deviation)
    return found


@cache
def _quantiles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights for integrals over (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1) / 2, weights / 2


@cache
def _nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights for the expectation over a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()
