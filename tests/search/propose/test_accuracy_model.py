"""The Gaussian process of the proposer against scikit-learn's, and what it learns from invented runs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from search.propose.accuracy_model import AccuracyModel, Observations, Outlook, nearest_to_front, no_observations
from search.propose.problem import Floats, Picks, Prior, accuracy_of, logit_error

SIZES = (3, 4, 2, 3)


def make_prior(rng: np.random.Generator, kinds: int = 2) -> Prior:
    rises = []
    for size in SIZES:
        rise = np.sort(rng.uniform(0, 2, (size, kinds)), axis=0)[::-1].copy()
        rise[-1] = 0.0
        rises.append(rise)
    return Prior(rises=tuple(rises), reference=-2.0)


def draw(rng: np.random.Generator, count: int) -> Picks:
    return np.stack([rng.integers(size, size=count) for size in SIZES], axis=1)


class _Written(Kernel):  # type: ignore[misc]
    """The kernel as the docstring of the module states it, element by element."""

    def __init__(self, prior: Prior, scales: Floats) -> None:
        self.prior, self.scales = prior, scales

    def value(self, a: Floats, b: Floats) -> float:
        rises = self.prior.rises
        largest = sum(float(rise.sum(axis=1).max()) for rise in rises)
        za = sum(rise[int(o)] for rise, o in zip(rises, a, strict=True))
        zb = sum(rise[int(o)] for rise, o in zip(rises, b, strict=True))
        found = 0.5**2 + float((za * 0.25**2 * zb).sum())
        found += 0.3**2 * (za.sum() ** 2 / largest) * (zb.sum() ** 2 / largest)
        for rise, o, p in zip(rises, a, b, strict=True):
            whole = rise.sum(axis=1)
            near = np.exp(-abs(whole[int(o)] - whole[int(p)]) / (whole.max() - whole.min()))
            found += near * (self.scales[0] ** 2 * whole[int(o)] * whole[int(p)] + self.scales[1] ** 2)
        return float(found)

    def __call__(self, X: Floats, Y: Floats | None = None, eval_gradient: bool = False) -> Floats:
        return np.array([[self.value(a, b) for b in (X if Y is None else Y)] for a in X])

    def diag(self, X: Floats) -> Floats:
        return np.array([self.value(a, a) for a in X])

    def is_stationary(self) -> bool:
        return False


@pytest.mark.parametrize("seed", range(3))
def test_the_posterior_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prior, scales = make_prior(rng), np.array([0.3, 0.1, 0.08])
    picks, new = draw(rng, 15), draw(rng, 40)
    y, variance = rng.normal(-1, 0.5, 15), rng.uniform(0.001, 0.01, 15)

    def mean(rows: Picks) -> Floats:
        return np.asarray(-2.0 + 0.5 * prior.totals(rows).sum(axis=1))

    oracle = GaussianProcessRegressor(
        _Written(prior, scales), alpha=variance + scales[2] ** 2 + 1e-8, optimizer=None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        oracle.fit(picks.astype(float), y - mean(picks))
    expected, deviation = oracle.predict(new.astype(float), return_std=True)
    model = AccuracyModel(prior, Observations(picks=picks, y=y, variance=variance), scales)
    found, spread = model.predict(new)
    assert found == pytest.approx(expected + mean(new), abs=1e-8)
    assert spread == pytest.approx(deviation, abs=1e-6)
    assert model.mean(new) == pytest.approx(found)


def test_the_scales_are_those_of_largest_posterior_density() -> None:
    rng = np.random.default_rng(1)
    prior = make_prior(rng)
    picks = draw(rng, 32)
    y = -2 + 0.3 * prior.totals(picks).sum(axis=1) + rng.normal(0, 0.2, 32)
    seen = Observations(picks=picks, y=y, variance=np.full(32, 0.001))
    best = AccuracyModel(prior, seen).scales

    def density(scales: Floats) -> float:
        cover = _Written(prior, scales)(picks) + np.diag(seen.variance + scales[2] ** 2 + 1e-8)
        left = y - (-2.0 + 0.5 * prior.totals(picks).sum(axis=1))
        likelihood = -0.5 * left @ np.linalg.solve(cover, left) - 0.5 * np.linalg.slogdet(cover)[1]
        return float(likelihood - 0.5 * (np.log(scales / np.array([0.2, 0.05, 0.05])) ** 2).sum())

    for index in range(3):
        for factor in (0.8, 1.25):
            other = best.copy()
            other[index] *= factor
            assert density(other) < density(best)


def test_without_runs_the_prior_speaks() -> None:
    prior = make_prior(np.random.default_rng(0))
    model = AccuracyModel(prior, no_observations(len(SIZES)))
    top = np.array([[size - 1 for size in SIZES]])
    assert model.mean(top) == pytest.approx([-2.0])
    rows = draw(np.random.default_rng(2), 9)
    assert model.mean(rows) == pytest.approx(-2 + 0.5 * prior.totals(rows).sum(axis=1))
    assert model.predict(rows)[1] == pytest.approx(model.prior_deviation(rows))


def test_recovery_of_each_kind_is_learned_apart() -> None:
    """Finetuning wins back 80 % of what narrow weights cost, and 20 % of what narrow activations do."""
    rng = np.random.default_rng(5)
    prior = make_prior(rng)
    picks = draw(rng, 40)
    totals = prior.totals(picks)
    y = -2 + 0.2 * totals[:, 0] + 0.8 * totals[:, 1] + rng.normal(0, 0.02, 40)
    model = AccuracyModel(prior, Observations(picks=picks, y=y, variance=np.zeros(40)))
    new = draw(rng, 50)
    expected = -2 + prior.totals(new) @ np.array([0.2, 0.8])
    assert np.abs(model.mean(new) - expected).max() < 0.1
    summed = sum(effect[new[:, column]] for column, effect in enumerate(model.effects()))
    assert np.corrcoef(summed, expected)[0, 1] > 0.99


def test_believing_is_observing_what_is_expected() -> None:
    """A candidate that scores its mean moves no mean; the deviations are those of a model that has seen it."""
    rng = np.random.default_rng(3)
    prior, scales = make_prior(rng), np.array([0.3, 0.1, 0.08])
    seen = Observations(picks=draw(rng, 8), y=rng.normal(-1, 0.3, 8), variance=np.full(8, 0.002))
    model, new = AccuracyModel(prior, seen, scales), draw(rng, 20)
    outlook = Outlook(model, new)
    for index in (0, 7):
        outlook.believe(index)
    both = new[[0, 7]]
    after = Observations(
        picks=np.concatenate((seen.picks, both)),
        y=np.concatenate((seen.y, model.mean(both))),
        variance=np.full(10, 0.002),
    )
    mean, deviation = AccuracyModel(prior, after, scales).predict(new)
    assert outlook.mean == pytest.approx(mean, abs=1e-9)
    assert outlook.deviation == pytest.approx(deviation, abs=1e-7)
    assert (outlook.deviation <= model.predict(new)[1] + 1e-9).all()


def test_logits_are_finite_and_invert() -> None:
    assert np.isfinite(logit_error(np.array([0.0, 1.0, 0.5]), 100)).all()
    assert accuracy_of(logit_error(0.9, 10_000)) == pytest.approx(0.9, abs=1e-4)
    assert logit_error(1.0) == pytest.approx(np.log(0.5 / 5000.5)), "a share without a count: as of 5,000 images"


def test_the_nearest_to_a_front_are_its_members_first() -> None:
    costs = np.array([1.0, 2.0, 3.0, 2.5, 1.5])
    y = np.array([0.0, -1.0, -2.0, -0.9, 0.8])  # the last two are dominated, by 0.1 and by 0.8
    assert nearest_to_front(costs, y, 3).tolist() == [0, 1, 2]
    assert nearest_to_front(costs, y, 4).tolist() == [0, 1, 2, 3]
