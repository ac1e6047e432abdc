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

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from search.propose.problem import Floats, Picks, Prior

#: Standard deviations of the priors: of the share of a rise that stays, and of the other coefficients.
SLOPE_SD = 0.25
INTERCEPT_SD = 0.5
#: Where the accuracy of the most precise candidate without training is not known.
UNKNOWN_INTERCEPT_SD = 2.0
CURVATURE_SD = 0.3
#: Medians of the log-normal priors of tau_r, tau_a and the noise (in logits), and the width of all three [log].
SCALES = (0.2, 0.05, 0.05)
SCALE_WIDTH = 1.0
#: Numbers of observations at which the scales are fitted anew.
FITTED_OVER = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)
#: Added to every observation's variance, for the numerics.
JITTER = 1e-8


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


class AccuracyModel:
    """Posterior over y given observations.

    Args:
        prior: what is known without any.
        seen: the observations.
        scales: (tau_r, tau_a, noise); None fits them (`fitted_scales`).
    """

    def __init__(self, prior: Prior, seen: Observations, scales: Floats | None = None) -> None:
        self._prior = prior
        self._seen = seen
        self._basis = _features(prior, seen.picks)
        self._means, self._variances = _coefficients(prior, seen)
        self.scales = fitted_scales(prior, seen) if scales is None else scales
        self._kernels = _kernels(prior, self.scales)
        self._coefficients = self._means
        self._own = [np.zeros(len(kernel)) for kernel in self._kernels]
        if len(seen):
            cover = self._between(seen.picks, self._basis, seen.picks, self._basis)
            cover[np.diag_indices(len(seen))] += seen.variance + self.scales[2] ** 2 + JITTER
            self._factor = cho_factor(cover, lower=True)
            weights = cho_solve(self._factor, seen.y - self._basis @ self._means)
            self._coefficients = self._means + self._variances * (self._basis.T @ weights)
            self._own = [kernel[:, seen.picks[:, column]] @ weights for column, kernel in enumerate(self._kernels)]

    @property
    def noise(self) -> float:
        """Standard deviation of y between training runs, and of what no sum over decisions explains."""
        return float(self.scales[2])

    def mean(self, picks: Picks) -> Floats:
        """Mean of y. Shape (n,)."""
        found = _features(self._prior, picks) @ self._coefficients
        for column, own in enumerate(self._own):
            found += own[picks[:, column]]
        return np.asarray(found)

    def predict(self, picks: Picks) -> tuple[Floats, Floats]:
        """Mean and standard deviation of y without the noise of a run. Shapes (n,)."""
        outlook = Outlook(self, picks)
        return outlook.mean, outlook.deviation

    def prior_deviation(self, picks: Picks) -> Floats:
        """Standard deviation of y before any observation: an upper bound of that of `predict`. Shape (n,)."""
        return np.sqrt(self._prior_variance(picks, _features(self._prior, picks)))

    def effects(self, rng: np.random.Generator | None = None) -> list[Floats]:
        """What each option adds to y, per decision (num_options,): expected, or drawn, each option for itself.

        The curvature is left out: it does not add up.
        """
        slopes, own = self._coefficients[1:-1].copy(), self._own
        if rng is not None:
            spread = np.sqrt(self._variances[1:-1])
            if len(self._seen):
                solved = solve_triangular(self._factor[0], self._basis[:, 1:-1] * self._variances[1:-1], lower=True)
                spread = np.sqrt(np.maximum(self._variances[1:-1] - (solved**2).sum(axis=0), 0.0))
            slopes = np.maximum(slopes + spread * rng.standard_normal(len(slopes)), 0.05)
            own = [part + np.sqrt(np.diag(kernel)) * rng.standard_normal(len(part))
                   for part, kernel in zip(own, self._kernels, strict=True)]  # fmt: skip
        return [rise @ slopes + part for rise, part in zip(self._prior.rises, own, strict=True)]

    # ---- covariances ---------------------------------------------------------------------------

    def _between(self, a: Picks, basis_a: Floats, b: Picks, basis_b: Floats) -> Floats:
        """Prior covariances. Shape (len(a), len(b))."""
        found = (basis_a * self._variances) @ basis_b.T
        for column, kernel in enumerate(self._kernels):
            found += kernel[a[:, column]][:, b[:, column]]
        return np.asarray(found)

    def _prior_variance(self, picks: Picks, basis: Floats) -> Floats:
        found = (basis**2) @ self._variances
        for column, kernel in enumerate(self._kernels):
            found += np.diag(kernel)[picks[:, column]]
        return np.asarray(found)


class Outlook:
    """Mean and deviation of y for given candidates, while more and more of them are believed to be run.

    A candidate that scores what is expected of it moves no mean, and lowers the deviations of those like it.

    Attributes:
        mean: (n,).
    """

    def __init__(self, model: AccuracyModel, picks: Picks) -> None:
        self._model, self._picks = model, picks
        self._basis = _features(model._prior, picks)
        self.mean = model.mean(picks)
        self._variance = model._prior_variance(picks, self._basis)
        seen = model._seen
        self._counting = float(seen.variance.mean()) if len(seen) else 0.0
        self._solved = np.zeros((0, len(picks)))
        if len(seen):
            cross = model._between(seen.picks, model._basis, picks, self._basis)
            self._solved = solve_triangular(model._factor[0], cross, lower=True)
            self._variance = self._variance - (self._solved**2).sum(axis=0)

    @property
    def deviation(self) -> Floats:
        """Standard deviation (n,)."""
        return np.sqrt(np.maximum(self._variance, 1e-12))

    def believe(self, index: int) -> None:
        """One of the candidates is under way."""
        row = slice(index, index + 1)
        cross = self._model._between(self._picks[row], self._basis[row], self._picks, self._basis)[0]
        left = cross - self._solved[:, index] @ self._solved
        total = max(float(self._variance[index]), 0.0) + self._counting + self._model.noise**2 + JITTER
        added = left / np.sqrt(total)
        self._solved = np.concatenate((self._solved, added[None]))
        self._variance = self._variance - added**2


# ---- prior ---------------------------------------------------------------------------------------


def _coefficients(prior: Prior, seen: Observations) -> tuple[Floats, Floats]:
    """Prior means and variances of (b_0, b_1, ..., q)."""
    start, spread = prior.reference, INTERCEPT_SD
    if start is None:
        start, spread = (float(np.median(seen.y)) if len(seen) else 0.0), UNKNOWN_INTERCEPT_SD
    means = np.array([start, *[prior.slope] * prior.num_kinds, 0.0])
    return means, np.array([spread, *[SLOPE_SD] * prior.num_kinds, CURVATURE_SD]) ** 2


def _features(prior: Prior, picks: Picks) -> Floats:
    """(1, z_1, ..., z^2 / max z) of candidates. Shape (n, num_kinds + 2)."""
    totals = prior.totals(picks)
    square = totals.sum(axis=1) ** 2 / prior.largest
    return np.concatenate((np.ones((len(picks), 1)), totals, square[:, None]), axis=1)


def _kernels(prior: Prior, scales: Floats) -> list[Floats]:
    """Per decision: covariance of its options' own parts. Shapes (num_options, num_options)."""
    return [near * (scales[0] ** 2 * np.outer(size, size) + scales[1] ** 2) for near, size in prior.likeness]


# ---- scales --------------------------------------------------------------------------------------


def fitted_scales(prior: Prior, seen: Observations) -> Floats:
    """(tau_r, tau_a, noise) of largest posterior density, over the first observations.

    Over how many grows with their number, and not at every one: the scales change slowly.
    """
    start = np.log(SCALES)
    count = max((number for number in FITTED_OVER if number <= len(seen)), default=0)
    if not count:
        return np.exp(start)
    picks, basis = seen.picks[:count], _features(prior, seen.picks[:count])
    means, variances = _coefficients(prior, seen)
    left = seen.y[:count] - basis @ means
    fixed = (basis * variances) @ basis.T
    fixed[np.diag_indices(count)] += seen.variance[:count] + JITTER
    parts = [np.zeros_like(fixed), np.zeros_like(fixed), np.eye(count)]
    for column, (near, size) in enumerate(prior.likeness):
        chosen = np.ix_(picks[:, column], picks[:, column])
        parts[0] += (near * np.outer(size, size))[chosen]
        parts[1] += near[chosen]

    def loss(logs: Floats) -> tuple[float, Floats]:
        scales = np.exp(2 * logs)
        factor = cho_factor(fixed + sum(s * part for s, part in zip(scales, parts, strict=True)), lower=True)
        solved = cho_solve(factor, left)
        inverse = cho_solve(factor, np.eye(count))
        value = 0.5 * left @ solved + np.log(np.diag(factor[0])).sum()
        value += 0.5 * (((logs - start) / SCALE_WIDTH) ** 2).sum()
        slope = np.array([s * ((inverse * part).sum() - solved @ part @ solved)
                          for s, part in zip(scales, parts, strict=True)])  # fmt: skip
        return float(value), slope + (logs - start) / SCALE_WIDTH**2

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-7, 2)] * 3, options={"maxiter": 40})
    return np.asarray(np.exp(found.x))
