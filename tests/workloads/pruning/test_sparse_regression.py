from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.sparse.penalties import group_lasso
from workloads.training import regularization_path, sparse_regression

M, N, K = 60, 30, 5


def problem(seed: int = 0, noise: float = 0.05, rows: int = M) -> tuple[Tensor, Tensor, Tensor]:
    """Normal columns, K large entries among N: (A, y, x)."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(rows, N, generator=generator, dtype=torch.float64) / rows**0.5
    x = torch.zeros(N, dtype=torch.float64)
    places = torch.randperm(N, generator=generator)[:K]
    x[places] = torch.randn(K, generator=generator, dtype=torch.float64).sign() * (
        1 + torch.rand(K, generator=generator)
    )
    return A, A @ x + noise * torch.randn(rows, generator=generator, dtype=torch.float64), x


@pytest.mark.parametrize("method", ["ista", "fista", "admm"])
@pytest.mark.parametrize("gamma", [0.01, 0.1, 0.5])
def test_lasso_is_scikit_learns_and_optimal(method: str, gamma: float) -> None:
    A, y, _ = problem()
    found = sparse_regression(A.numpy(), y.numpy(), gamma=gamma, method=method)
    oracle = Lasso(alpha=gamma / M, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(A.numpy(), y.numpy())
    assert found.converged
    np.testing.assert_allclose(found.x.numpy(), oracle.coef_, atol=1e-6)
    assert torch.equal(found.x == 0, torch.as_tensor(oracle.coef_ == 0)), "zeros are exact"
    slope = A.T @ (y - A @ found.x)  # KKT: gamma * sign(x) where x is not zero, else within gamma
    alive = found.x != 0
    assert torch.allclose(slope[alive], gamma * found.x[alive].sign(), atol=1e-7)
    assert (slope[~alive].abs() <= gamma + 1e-7).all()


def test_no_penalty_is_least_squares_and_a_large_one_zero() -> None:
    A, y, _ = problem()
    free = sparse_regression(A, y, gamma=0.0)
    assert torch.allclose(free.x, torch.linalg.lstsq(A, y[:, None]).solution[:, 0], atol=1e-7)
    edge = float((A.T @ y).abs().max())
    assert sparse_regression(A, y, gamma=edge * 1.0001).nonzeros == 0
    assert sparse_regression(A, y, gamma=edge * 0.99).nonzeros == 1


def test_admm_does_not_stop_at_its_first_zero() -> None:
    A, y, _ = problem()
    found = sparse_regression(A, y, gamma=0.1, method="admm", rho=0.05, iterations=20_000)
    assert torch.allclose(found.x, sparse_regression(A, y, gamma=0.1).x, atol=1e-6)


def test_ista_never_climbs_and_fista_is_faster() -> None:
    A, y, _ = problem(rows=32)
    slow = sparse_regression(A, y, gamma=0.02, method="ista", iterations=20_000)
    fast = sparse_regression(A, y, gamma=0.02, method="fista", iterations=20_000)
    assert (np.diff(slow.history) <= 1e-12).all()
    target = min(slow.objective, fast.objective) + 1e-6

    def until(history: tuple[float, ...]) -> int:
        return next(index for index, value in enumerate(history) if value <= target)

    assert until(fast.history) < until(slow.history)


@pytest.mark.parametrize("seed", range(5))
def test_iht_recovers_a_sparse_vector(seed: int) -> None:
    A, y, x = problem(seed, noise=0.0, rows=200)
    found = sparse_regression(A, y, method="iht", kept=K)
    assert found.nonzeros == K
    assert torch.allclose(found.x, x, atol=1e-8)


def test_trimming_removes_the_bias_on_the_large_entries() -> None:
    A, y, x = problem(noise=0.0)
    lasso = sparse_regression(A, y, gamma=0.2)
    trimmed = sparse_regression(A, y, gamma=0.2, penalty_name="trimmed_l1", largest=K, method="ista")
    assert torch.allclose(trimmed.x, x, atol=1e-6)
    assert (lasso.x - x).norm() > 0.1
    assert torch.allclose(
        sparse_regression(A, y, gamma=0.2, penalty_name="trimmed_l1", largest=0, method="ista").x,
        lasso.x,
        atol=1e-6,
    )


def test_group_lasso_satisfies_its_optimality_condition() -> None:
    A, y, _ = problem()
    size, gamma = 3, 0.1
    found = sparse_regression(A, y, gamma=gamma, penalty_name="group_lasso", groups=size)
    other = sparse_regression(A, y, gamma=gamma, penalty_name="group_lasso", groups=size, method="admm")
    assert torch.allclose(found.x, other.x, atol=1e-6)
    blocks, slopes = found.x.reshape(-1, size), (A.T @ (y - A @ found.x)).reshape(-1, size)
    weight = gamma * size**0.5
    alive = blocks.norm(dim=1) > 0
    assert 0 < int(alive.sum()) < len(blocks)
    assert torch.allclose(
        slopes[alive], weight * blocks[alive] / blocks[alive].norm(dim=1, keepdim=True), atol=1e-6
    )
    assert (slopes[~alive].norm(dim=1) <= weight + 1e-7).all()
    residual = float((A @ found.x - y).square().sum()) / 2
    assert found.objective == pytest.approx(residual + gamma * float(group_lasso(blocks)))


def test_l0_is_hard_thresholding_where_columns_are_orthonormal() -> None:
    A = torch.linalg.qr(torch.randn(M, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    y = problem()[1]
    found = sparse_regression(A, y, gamma=0.02, penalty_name="l0", method="ista")
    plain = A.T @ y
    assert torch.allclose(found.x, torch.where(plain.square() > 0.04, plain, 0.0))


#: Two large entries explain three measurements exactly: A (0, 3, 0, 0, -1) = y, and their columns are orthogonal.
BOOK_A = torch.tensor([[1, -2, -1, -1, 1], [2, -1, 2, 0, -2], [-1, 0, 2, 2, 1]], dtype=torch.float64)
BOOK_Y = torch.tensor([-7, -1, -1], dtype=torch.float64)
BOOK_X = torch.tensor([0, 3, 0, 0, -1], dtype=torch.float64)
#: The textbook's run: the sum of the squares, a constant step, from zero, 200 steps.
BOOK = {"scale": 1.0, "step": 0.02, "start": 0, "iterations": 200, "tolerance": 0.0, "iterates": True}


def test_the_textbooks_descent_step_by_step() -> None:
    found = sparse_regression(BOOK_A, BOOK_Y, method="subgradient", **BOOK)
    x, steps, losses = torch.zeros(5, dtype=torch.float64), [], []
    for _ in range(200):  # x <- x - rate * 2 A'(A x - y)
        x = x - 0.02 * 2 * BOOK_A.T @ (BOOK_A @ x - BOOK_Y)
        steps.append(x)
        losses.append(float((BOOK_A @ x - BOOK_Y).square().sum()))
    assert found.iterates is not None
    assert torch.allclose(found.iterates, torch.stack(steps), atol=1e-12)
    np.testing.assert_allclose(found.losses, losses, atol=1e-12)
    end = torch.linalg.pinv(BOOK_A) @ BOOK_Y  # from zero, descent stays in the span of the rows
    assert torch.allclose(found.x, end, atol=1e-4)
    np.testing.assert_allclose(found.x, [-0.7476, 2.3894, -0.1226, 0.0313, -1.5649], atol=5e-5)  # as published
    frame = found.to_dataframe()
    assert list(frame.columns) == ["step", "objective", "loss", "x0", "x1", "x2", "x3", "x4"]
    assert frame.step.tolist() == list(range(1, 201))
    assert frame.x4.iloc[0] == pytest.approx(0.02 * 2 * float(BOOK_A[:, 4] @ BOOK_Y))


@pytest.mark.parametrize("options", [
    {"method": "iht", "kept": 2},
    *({"method": "ista", "penalty_name": "trimmed_l1", "largest": 2, "gamma": g} for g in (1.0, 2.0, 5.0, 10.0)),
])  # fmt: skip
def test_pruning_and_trimming_find_the_two_entries(options: dict[str, object]) -> None:
    found = sparse_regression(BOOK_A, BOOK_Y, **{**BOOK, **options})  # type: ignore[arg-type]
    assert torch.allclose(found.x, BOOK_X, atol=1e-9)
    assert len(found.history) == 200


@pytest.mark.parametrize("threshold", [0.01, 0.02, 0.04])
def test_the_proximal_run_shrinks_each_entry_by_its_curvature(threshold: float) -> None:
    gamma = threshold / 0.02  # the operator of a step cuts step * gamma
    found = sparse_regression(BOOK_A, BOOK_Y, method="ista", gamma=gamma, **BOOK)
    curvature = 2 * BOOK_A.square().sum(0)  # of an entry alone: 10 and 12
    assert torch.allclose(found.x, BOOK_X - gamma * BOOK_X.sign() / curvature, atol=1e-6)


@pytest.mark.parametrize("gamma", [0.2, 0.5, 1.0, 2.0])
def test_subgradients_reach_the_optimum_that_the_constant_step_only_circles(gamma: float) -> None:
    optimum = 4 * gamma - gamma**2 * (1 / 20 + 1 / 24)  # gamma |x|_1 less the two parabolas; 0.79633 for 0.2
    own = sparse_regression(BOOK_A, BOOK_Y, method="subgradient", gamma=gamma, scale=1)
    assert own.objective == pytest.approx(optimum, rel=1e-5)
    assert own.objective >= optimum * (1 - 1e-9)
    long = sparse_regression(
        BOOK_A, BOOK_Y, method="subgradient", gamma=gamma, scale=1, step=0.02, start=0, iterations=5000
    )
    assert not long.converged
    assert long.objective == long.history[-1] > optimum * (1 + 1e-5)
    for method in ("ista", "fista", "admm"):
        exact = sparse_regression(BOOK_A, BOOK_Y, method=method, gamma=gamma, scale=1)
        assert exact.objective == pytest.approx(optimum, rel=1e-9)


def test_start_and_scale() -> None:
    A, y, x = problem()
    first = sparse_regression(A, y, method="ista", gamma=0.1, start=x, step=1e-9, iterations=1)
    assert torch.allclose(first.x, x, atol=1e-6)
    ridge = 0.1 / M  # scikit-learn's alpha, as its own objective has it
    assert torch.allclose(
        sparse_regression(A, y, gamma=ridge, scale=0.5 / M).x, sparse_regression(A, y, gamma=0.1).x, atol=1e-6
    )


@pytest.mark.parametrize("name", ["l1", "hoyer", "hoyer_square"])
def test_subgradients_descend(name: str) -> None:
    A, y, x = problem()
    found = sparse_regression(A, y, gamma=0.05, penalty_name=name, method="subgradient", iterations=4000)
    free = sparse_regression(A, y)
    assert found.objective == min(found.history)
    quiet = x == 0
    assert found.x[quiet].abs().sum() < free.x[quiet].abs().sum()
    assert (found.x[~quiet].abs() > 0.5).all(), "the right entries are left"
    if name == "l1":
        assert found.objective == pytest.approx(sparse_regression(A, y, gamma=0.05).objective, rel=1e-3)


def test_the_path_grows_sparse() -> None:
    A, y, _ = problem()
    path = regularization_path(A, y, [0.0, 0.05, 0.2, 10.0])
    assert list(path.columns) == ["gamma", "objective", "residual", "l1", "nonzeros", "converged"]
    assert path.nonzeros.iloc[0] == N
    assert path.nonzeros.iloc[-1] == 0
    assert path.l1.is_monotonic_decreasing
    assert path.residual.is_monotonic_increasing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "fsta"}, "Did you mean 'fista'"),
        ({"method": "iht"}, "needs `kept >= 1`"),
        ({"penalty_name": "hoyer"}, "has no proximal operator, which 'fista' needs. Use method='subgradient'"),
        ({"penalty_name": "l0", "method": "subgradient"}, "has no gradient. Use method='ista'"),
        ({"gamma": -1.0}, "`gamma >= 0`"),
        ({"groups": 7}, "groups must divide the 30 columns"),
        ({"step": 0.0}, "`step > 0` must hold"),
        ({"step": 10.0, "method": "ista"}, r"step=10.0 diverges after \d+ iterations. Below 2/L = "),
        ({"step": 0.1, "method": "admm"}, "method 'admm' has no step: its parameter is rho"),
        ({"start": [0.0, 1.0]}, r"start must be one number or \(30,\), but is \(2,\)"),
    ],
)
def test_bad_requests_are_named(options: dict[str, object], message: str) -> None:
    A, y, _ = problem()
    with pytest.raises(ConfigError, match=message):
        sparse_regression(A, y, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"A must be \(m, n\) and y \(m,\)"):
        sparse_regression(A, y[:-1])
