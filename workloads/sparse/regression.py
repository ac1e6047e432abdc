"""Sparse linear regression: min over x of 1/2 |A x - y|^2 + gamma * penalty(x), by five methods.

The same penalties and proximal operators train a network (`workloads.sparse.regularize`); here their optimum is
known. ISTA and FISTA: Beck & Teboulle, A Fast Iterative Shrinkage-Thresholding Algorithm, SIAM J.
Imaging Sciences 2009. ADMM: Boyd et al., Distributed Optimization and Statistical Learning via ADMM, 2011,
section 6.4. Iterative hard thresholding: Blumensath & Davies, Applied and Computational Harmonic
Analysis 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from hwmodel.errors import ConfigError, check_one_of
from workloads.sparse.penalties import Penalty, penalty
from workloads.sparse.proximal import Prox, project_sparse

if TYPE_CHECKING:
    import pandas as pd

#: (x, how far it is from a fixed point)
Step = tuple[Tensor, float]
Method = Literal["subgradient", "ista", "fista", "admm", "iht"]


@dataclass(frozen=True, kw_only=True)
class SparseSolution:
    """What a solver found.

    Attributes:
        x: (n,), float64; exact zeros except from `subgradient`.
        history: objective after every iteration.
        converged: the last iterate was a fixed point, to the tolerance.
    """

    x: Tensor
    history: tuple[float, ...]
    converged: bool

    @property
    def objective(self) -> float:
        """1/2 |A x - y|^2 + gamma * penalty(x)."""
        return self.history[-1]

    @property
    def nonzeros(self) -> int:
        return int(self.x.ne(0).sum())


def sparse_regression(
    A: Any,
    y: Any,
    *,
    gamma: float = 0.0,
    penalty_name: str = "l1",
    method: Method = "fista",
    kept: int | None = None,
    largest: int = 0,
    groups: int = 1,
    rho: float = 1.0,
    iterations: int = 5000,
    tolerance: float = 1e-10,
) -> SparseSolution:
    """Solve 1/2 |A x - y|^2 + gamma * penalty(x).

    scikit-learn's Lasso divides the first term by the number of rows: alpha = gamma / m.

    Args:
        A: (m, n), array or tensor.
        y: (m,).
        gamma: weight of the penalty, >= 0.
        penalty_name: one of `PENALTIES`; `iht` takes none.
        method: `ista` and `fista` (steps 1/L and the penalty's proximal operator), `admm`, `subgradient` (steps
            falling as 1/sqrt(k) from 1/L, the best iterate is returned; the only one for the Hoyer
            penalties), `iht` (gradient step, then the `kept` largest stay).
        kept: of `iht`.
        largest: of `trimmed_l1`.
        groups: of the group penalties, so many consecutive entries of x belong together.
        rho: of `admm`.
        iterations: at most.
        tolerance: stop when a step moves x, and for `admm` its two copies lie apart, by at most
            tolerance * max(1, |x|).

    Raises:
        ConfigError: shapes that do not fit, an unknown name, a value out of its range, or a penalty
            without the operator that the method needs.
    """
    matrix, target = _checked(A, y, groups)
    if not gamma >= 0 or iterations < 1 or not rho > 0:
        raise ConfigError(
            f"`gamma >= 0`, `rho > 0` and `iterations >= 1` must hold, but got {gamma!r}, {rho!r}, {iterations!r}"
        )
    chosen = _in_groups(penalty(penalty_name, largest=largest), groups)
    problem = _Regression(matrix=matrix, target=target, gamma=gamma, penalty=chosen)
    steps = _steps(problem, method, kept, rho)

    def objective(x: Tensor) -> float:
        value = problem.residual(x).square().sum() / 2
        return float(value if method == "iht" else value + gamma * chosen.value(x))

    x, history, converged = torch.zeros(matrix.shape[1], dtype=torch.float64), [], False
    best = (objective(x), x)
    for x, gap in islice(steps, iterations):
        history.append(objective(x))
        best = min(best, (history[-1], x), key=lambda pair: pair[0])
        converged = gap <= tolerance * max(1.0, float(x.norm()))
        if converged:
            break
    if method == "subgradient":
        x = best[1]
        history.append(best[0])
    return SparseSolution(x=x, history=tuple(history), converged=converged)


def regularization_path(A: Any, y: Any, gammas: Sequence[float], **options: Any) -> pd.DataFrame:
    """One row per gamma: gamma, objective, residual (1/2 |A x - y|^2), l1, nonzeros, converged.

    Args:
        A, y: as for `sparse_regression`.
        gammas: weights of the penalty.
        options: of `sparse_regression`.
    """
    import pandas as pd

    rows = []
    for gamma in gammas:
        found = sparse_regression(A, y, gamma=gamma, **options)
        matrix, target = _checked(A, y, 1)
        rows.append({
            "gamma": gamma, "objective": found.objective,
            "residual": float((matrix @ found.x - target).square().sum()) / 2,
            "l1": float(found.x.abs().sum()), "nonzeros": found.nonzeros, "converged": found.converged,
        })  # fmt: skip
    return pd.DataFrame(rows)


@dataclass(frozen=True, kw_only=True)
class _Regression:
    matrix: Tensor
    target: Tensor
    gamma: float
    penalty: Penalty

    def residual(self, x: Tensor) -> Tensor:
        return self.matrix @ x - self.target

    def gradient(self, x: Tensor) -> Tensor:
        return self.matrix.T @ self.residual(x)

    @property
    def step(self) -> float:
        """1/L, L the largest eigenvalue of A'A."""
        return 1.0 / max(float(torch.linalg.matrix_norm(self.matrix, 2)) ** 2, 1e-300)

    @property
    def start(self) -> Tensor:
        return torch.zeros(self.matrix.shape[1], dtype=torch.float64)


def _checked(A: Any, y: Any, groups: int) -> tuple[Tensor, Tensor]:
    matrix, target = (torch.as_tensor(value).to(torch.float64) for value in (A, y))
    if matrix.dim() != 2 or target.shape != matrix.shape[:1] or not matrix.numel():
        raise ConfigError(
            f"A must be (m, n) and y (m,), but they are {tuple(matrix.shape)} and {tuple(target.shape)}"
        )
    if groups < 1 or matrix.shape[1] % groups:
        raise ConfigError(f"groups must divide the {matrix.shape[1]} columns of A, but got groups={groups}")
    return matrix, target


def _in_groups(chosen: Penalty, size: int) -> Penalty:
    """The penalty on x seen as (n / size, size): rows are groups."""
    if size == 1:
        return chosen
    prox = chosen.prox
    return Penalty(
        name=chosen.name,
        value=lambda x: chosen.value(x.reshape(-1, size)),
        prox=None if prox is None else lambda x, t: prox(x.reshape(-1, size), t).reshape(-1),
        has_gradient=chosen.has_gradient,
    )


def _steps(problem: _Regression, method: Method, kept: int | None, rho: float) -> Iterator[Step]:
    check_one_of("method", method, get_args(Method))
    if method == "iht":
        if kept is None or kept < 1:
            raise ConfigError(f"method 'iht' needs `kept >= 1`, the number of non-zeros, but got kept={kept!r}")
        return _proximal_gradient(problem, lambda x, _: project_sparse(x, kept), accelerate=False)
    if method == "subgradient":
        if not problem.penalty.has_gradient:
            raise ConfigError(f"penalty {problem.penalty.name!r} has no gradient. Use method='ista'.")
        return _subgradient(problem)
    if problem.penalty.prox is None:
        raise ConfigError(
            f"penalty {problem.penalty.name!r} has no proximal operator, which {method!r} needs. "
            "Use method='subgradient'."
        )
    if method == "admm":
        return _admm(problem, problem.penalty.prox, rho)
    return _proximal_gradient(problem, problem.penalty.prox, accelerate=method == "fista")


def _proximal_gradient(problem: _Regression, prox: Prox, *, accelerate: bool) -> Iterator[Step]:
    """x <- prox(z - gradient(z)/L), with z = x, or moved on along the last change (FISTA)."""
    x = z = problem.start
    step, momentum = problem.step, 1.0
    while True:
        new = prox(z - step * problem.gradient(z), step * problem.gamma)
        gap = float((new - z).norm())
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        z = new + (momentum - 1) / following * (new - x) if accelerate else new
        x, momentum = new, following
        yield x, gap


def _admm(problem: _Regression, prox: Prox, rho: float) -> Iterator[Step]:
    """x: least squares pulled to z - u; z: prox of x + u; u sums what is left between them. Gives z."""
    columns = problem.matrix.shape[1]
    gram = problem.matrix.T @ problem.matrix + rho * torch.eye(columns, dtype=torch.float64)
    factor, pull = torch.linalg.cholesky(gram), problem.matrix.T @ problem.target
    z = u = problem.start
    while True:
        x = torch.cholesky_solve((pull + rho * (z - u))[:, None], factor)[:, 0]
        old, z = z, prox(x + u, problem.gamma / rho)
        u = u + x - z
        yield z, max(float((x - z).norm()), float((z - old).norm()))


def _subgradient(problem: _Regression) -> Iterator[Step]:
    """From least squares: the Hoyer penalties know no way out of zero."""
    x = torch.linalg.pinv(problem.matrix) @ problem.target
    step, count = problem.step, 0
    while True:
        slope = problem.gradient(x) + problem.gamma * _gradient(problem.penalty.value, x)
        count += 1
        x = x - step / count**0.5 * slope
        yield x, float((step * slope).norm())


def _gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        free = x.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(function(free), free)
    return slope
