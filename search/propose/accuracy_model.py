"""Accuracy after finetuning, from few and noisy runs: a Gaussian process on the logit of the error.

y(x) = b_0 + sum_k b_k z_k(x) + q z(x)^2 / max z + sum_l d_l(x_l) + noise

z_k is the summed rise of kind k (`Prior.totals`): finetuning wins back a share 1 - b_k of it, about half; z is the
sum over the kinds. d_l(o) is what option o of decision l does beyond that, a priori of size
tau_r |rise_l(o)| + tau_a and alike for options of like rise. Everything is Gaussian, so the posterior is exact; the
scales (tau_r, tau_a, the noise of a training run) maximise the marginal likelihood times log-normal priors.

The kernel is that of a Gaussian process that is additive over the decisions (Duvenaud et al., Additive Gaussian
processes, NeurIPS 2011); explicit basis functions with Gaussian weights: Rasmussen and Williams, Gaussian Processes
for Machine Learning, 2006, section 2.7; the prediction is algorithm 2.1 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from search.propose.problem import Floats, Picks, Prior

#: Standard deviations of the priors: of the share of a rise that stays, and of the other coefficients.
SLOPE_SD = 0.25
INTERCEPT_SD = 0.5
CURVATURE_SD = 0.3
#: Medians of the log-normal priors of tau_r, tau_a and the noise (in logits), and the width of all three [log].
SCALES = (0.2, 0.05, 0.05)
SCALE_WIDTH = 1.0
#: More observations than this are not needed to fit three scales.
MAX_FITTED = 128


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Scored candidates.

    Attributes:
        picks: (n, num_decisions).
        y: (n,) logits of their errors.
        variance: (n,) of the counting of images, in logits squared; 0 where it is not known.
    """

    picks: Picks
    y: Floats
    variance: Floats

    def __len__(self) -> int:
        return len(self.y)

    def at(self, rows: NDArray[np.int64]) -> Observations:
        """Those of some rows."""
        return Observations(picks=self.picks[rows], y=self.y[rows], variance=self.variance[rows])


def nearest_to_front(costs: Floats, y: Floats, count: int) -> NDArray[np.int64]:
    """The candidates whose y is least above the best of any that costs no more, in their order. Shape (count,)."""
    order = np.lexsort((y, costs))
    gap = np.empty(len(y))
    gap[order] = y[order] - np.minimum.accumulate(y[order])
    return np.asarray(np.sort(np.argsort(gap, kind="stable")[:count]))


def no_observations(num_decisions: int) -> Observations:
    return Observations(picks=np.zeros((0, num_decisions), np.int64), y=np.zeros(0), variance=np.zeros(0))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


class AccuracyModel:
    """Posterior over y given observations.

    Args:
        prior: what is known without any.
        seen: the observations.
        scales: (tau_r, tau_a, noise); None fits them.
    """

    def __init__(self, prior: Prior, seen: Observations, scales: Floats | None = None) -> None:
        self._prior = prior
        self._seen = seen
        self._largest = max(1e-9, float(sum(rise.sum(axis=1).max(initial=0) for rise in prior.rises)))
        self._basis = self._features(seen.picks)
        self._left = seen.y - self._basis @ self._means
        self.scales = self._fitted() if scales is None else scales
        if len(seen):
            self._factor = cho_factor(self._covariance(self.scales, np.arange(len(seen))), lower=True)
            self._weights = cho_solve(self._factor, self._left)

    @property
    def noise(self) -> float:
        """Standard deviation of y between training runs, and of what no sum over decisions explains."""
        return float(self.scales[2])

    def believing(self, picks: Picks) -> AccuracyModel:
        """The model as it would be if candidates scored what it expects of them. `picks`: (n, num_decisions)."""
        mean = self.mean(picks)
        seen = Observations(
            picks=np.concatenate((self._seen.picks, picks)),
            y=np.concatenate((self._seen.y, mean)),
            variance=np.concatenate((self._seen.variance, np.full(len(picks), _mean(self._seen.variance)))),
        )
        return AccuracyModel(self._prior, seen, self.scales)

    def predict(self, picks: Picks) -> tuple[Floats, Floats]:
        """Mean and standard deviation of y without the noise of a run. Shapes (n,)."""
        basis = self._features(picks)
        mean = basis @ self._means
        variance = (basis**2) @ self._variances + self._own_variance(picks)
        if len(self._seen):
            cross = self._between(picks, self._seen.picks, basis, self._basis, self.scales)
            mean = mean + cross @ self._weights
            solved = solve_triangular(self._factor[0], cross.T, lower=True)
            variance = variance - (solved**2).sum(axis=0)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def mean(self, picks: Picks) -> Floats:
        """Mean of y. Shape (n,)."""
        basis = self._features(picks)
        mean = basis @ self._means
        if len(self._seen):
            mean = mean + self._between(picks, self._seen.picks, basis, self._basis, self.scales) @ self._weights
        return np.asarray(mean)

    def effects(self, rng: np.random.Generator | None = None) -> list[Floats]:
        """What each option adds to y, per decision (num_options,): expected, or drawn (options apart) from the
        posterior.

        The curvature is left out: it does not add up.
        """
        slopes = self._means[1:-1].copy()
        spread = np.sqrt(self._variances[1:-1])
        parts = self._kernels(self.scales)
        own = [np.zeros(len(kernel)) for kernel in parts]
        if len(self._seen):
            slopes += self._variances[1:-1] * (self._basis[:, 1:-1].T @ self._weights)
            own = [kernel[:, self._seen.picks[:, column]] @ self._weights for column, kernel in enumerate(parts)]
            solved = solve_triangular(self._factor[0], self._basis[:, 1:-1] * self._variances[1:-1], lower=True)
            spread = np.sqrt(np.maximum(self._variances[1:-1] - (solved**2).sum(axis=0), 0.0))
        if rng is not None:
            slopes = np.maximum(slopes + spread * rng.standard_normal(len(slopes)), 0.05)
            own = [part + np.sqrt(np.diag(kernel)) * rng.standard_normal(len(part))
                   for part, kernel in zip(own, parts, strict=True)]  # fmt: skip
        return [rise @ slopes + part for rise, part in zip(self._prior.rises, own, strict=True)]

    def prior_deviation(self, picks: Picks) -> Floats:
        """Standard deviation of y before any observation: an upper bound of that of `predict`. Shape (n,)."""
        return np.asarray(np.sqrt((self._features(picks) ** 2) @ self._variances + self._own_variance(picks)))

    # ---- prior ---------------------------------------------------------------------------------

    @cached_property
    def _means(self) -> Floats:
        start = self._prior.reference
        if start is None:
            start = float(np.median(self._seen.y)) if len(self._seen) else 0.0
        return np.array([start, *[self._prior.slope] * self._prior.num_kinds, 0.0])

    @cached_property
    def _variances(self) -> Floats:
        intercept = INTERCEPT_SD if self._prior.reference is not None else 2.0
        return np.array([intercept, *[SLOPE_SD] * self._prior.num_kinds, CURVATURE_SD]) ** 2

    def _features(self, picks: Picks) -> Floats:
        totals = self._prior.totals(picks)
        square = totals.sum(axis=1) ** 2 / self._largest
        return np.concatenate((np.ones((len(picks), 1)), totals, square[:, None]), axis=1)

    @cached_property
    def _options(self) -> tuple[tuple[Floats, Floats], ...]:
        """Per decision: covariance of its options' own parts for tau_r = 1 and for tau_a = 1."""
        found = []
        for rise in self._prior.rises:
            whole = rise.sum(axis=1)
            size = np.abs(rise).sum(axis=1)
            spread = max(float(np.ptp(whole)), 1e-9)
            near = np.exp(-np.abs(whole[:, None] - whole[None, :]) / spread)
            found.append((near * np.outer(size, size), near * 1.0))
        return tuple(found)

    def _kernels(self, scales: Floats) -> list[Floats]:
        return [scales[0] ** 2 * first + scales[1] ** 2 * second for first, second in self._options]

    def _own_variance(self, picks: Picks) -> Floats:
        found = np.zeros(len(picks))
        for column, kernel in enumerate(self._kernels(self.scales)):
            found += np.diag(kernel)[picks[:, column]]
        return found

    def _between(self, a: Picks, b: Picks, basis_a: Floats, basis_b: Floats, scales: Floats) -> Floats:
        found = (basis_a * self._variances) @ basis_b.T
        for column, kernel in enumerate(self._kernels(scales)):
            found += kernel[a[:, column]][:, b[:, column]]
        return np.asarray(found)

    # ---- scales --------------------------------------------------------------------------------

    def _covariance(self, scales: Floats, rows: Picks) -> Floats:
        picks, basis = self._seen.picks[rows], self._basis[rows]
        found = self._between(picks, picks, basis, basis, scales)
        found[np.diag_indices(len(rows))] += self._seen.variance[rows] + scales[2] ** 2 + 1e-8
        return found

    def _fitted(self) -> Floats:
        """The scales of largest posterior density."""
        start = np.log(SCALES)
        if len(self._seen) < 2:
            return np.exp(start)
        rows = np.unique(np.linspace(0, len(self._seen) - 1, min(len(self._seen), MAX_FITTED)).round().astype(int))
        picks, basis, left = self._seen.picks[rows], self._basis[rows], self._left[rows]
        fixed = (basis * self._variances) @ basis.T
        fixed[np.diag_indices(len(rows))] += self._seen.variance[rows] + 1e-8
        parts = [np.zeros_like(fixed), np.zeros_like(fixed)]
        for column, pair in enumerate(self._options):
            chosen = np.ix_(picks[:, column], picks[:, column])
            parts = [part + kernel[chosen] for part, kernel in zip(parts, pair, strict=True)]
        parts.append(np.eye(len(rows)))

        def loss(logs: Floats) -> tuple[float, Floats]:
            scales = np.exp(2 * logs)
            factor = cho_factor(fixed + sum(s * part for s, part in zip(scales, parts, strict=True)), lower=True)
            solved = cho_solve(factor, left)
            inverse = cho_solve(factor, np.eye(len(rows)))
            value = 0.5 * left @ solved + np.log(np.diag(factor[0])).sum()
            value += 0.5 * (((logs - start) / SCALE_WIDTH) ** 2).sum()
            slope = np.array([s * ((inverse * part).sum() - solved @ part @ solved)
                              for s, part in zip(scales, parts, strict=True)])  # fmt: skip
            return float(value), slope + (logs - start) / SCALE_WIDTH**2

        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-7, 2)] * 3, options={"maxiter": 40})
        return np.asarray(np.exp(found.x))
