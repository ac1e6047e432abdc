"""The methods of `sparse_regression`, each an endless sequence of iterates.

ISTA and FISTA: Beck & Teboulle, A Fast Iterative Shrinkage-Thresholding Algorithm, SIAM J. Imaging Sciences
2009. ADMM: Boyd et al., Distributed Optimization and Statistical Learning via ADMM, 2011, section 6.4. Iterative
hard thresholding: Blumensath & Davies, Applied and Computational Harmonic Analysis 2009. Sub-gradients in stages
of constant steps, averaged and halved: Hazan & Kale, Beyond the Regret Minimization Barrier, JMLR 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from hwmodel.errors import ConfigError, check_one_of
from workloads.sparse.penalties import Penalty
from workloads.sparse.proximal import Prox, project_sparse

#: (x, how far it is from a fixed point; infinite where that is not looked at)
Step = tuple[Tensor, float]
Method = Literal["subgradient", "ista", "fista", "admm", "iht"]
#: Steps of one length before it is judged, and the share of one step's descent that a stage must win to keep it.
STAGE, ENOUGH = 100, 0.05


@dataclass(frozen=True, kw_only=True)
class Problem:
    """scale |A x - y|^2 + gamma penalty(x).

    Attributes:
        matrix, target: A (m, n) and y (m,), float64.
        scale: of the first term.
        gamma, penalty: of the second.
        length: step of every iteration, or None for the method's own.
        origin: first x (n,), or None for the method's own.
    """

    matrix: Tensor
    target: Tensor
    scale: float
    gamma: float
    penalty: Penalty
    length: float | None
    origin: Tensor | None

    def loss(self, x: Tensor) -> float:
        """scale |A x - y|^2."""
        return self.scale * float((self.matrix @ x - self.target).square().sum())

    def objective(self, x: Tensor) -> float:
        """The loss and the penalty."""
        return self.loss(x) + self.gamma * float(self.penalty.value(x))

    def gradient(self, x: Tensor) -> Tensor:
        """Of the loss."""
        return 2 * self.scale * (self.matrix.T @ (self.matrix @ x - self.target))

    def slope(self, x: Tensor) -> Tensor:
        """A sub-gradient of the objective."""
        return self.gradient(x) + self.gamma * _gradient(self.penalty.value, x)

    @property
    def natural(self) -> float:
        """1/L, L the largest eigenvalue of the loss's second derivative, 2 scale A'A."""
        return 1.0 / max(2 * self.scale * float(torch.linalg.matrix_norm(self.matrix, 2)) ** 2, 1e-300)

    @property
    def step(self) -> float:
        return self.natural if self.length is None else self.length

    @property
    def start(self) -> Tensor:
        return self.zero if self.origin is None else self.origin

    @property
    def zero(self) -> Tensor:
        return torch.zeros(self.matrix.shape[1], dtype=torch.float64)


def steps_of(problem: Problem, method: Method, kept: int | None, rho: float) -> Iterator[Step]:
    """The iterates of a method.

    Raises:
        ConfigError: an unknown method, an option that it needs or does not have, or a penalty without the operator
            that it needs.
    """
    check_one_of("method", method, get_args(Method))
    if method == "iht":
        if kept is None or kept < 1:
            raise ConfigError(f"method 'iht' needs `kept >= 1`, the number of non-zeros, but got kept={kept!r}")
        return _proximal_gradient(problem, lambda x, _: project_sparse(x, kept), accelerate=False)
    if method == "subgradient":
        if not problem.penalty.has_gradient:
            raise ConfigError(f"penalty {problem.penalty.name!r} has no gradient. Use method='ista'.")
        return _in_stages(problem) if problem.length is None else _constant(problem, problem.length)
    if problem.penalty.prox is None:
        raise ConfigError(
            f"penalty {problem.penalty.name!r} has no proximal operator, which {method!r} needs. "
            "Use method='subgradient'."
        )
    if method == "admm":
        if problem.length is not None:
            raise ConfigError("method 'admm' has no step: its parameter is rho. Leave step out.")
        return _admm(problem, problem.penalty.prox, rho)
    return _proximal_gradient(problem, problem.penalty.prox, accelerate=method == "fista")


def _proximal_gradient(problem: Problem, prox: Prox, *, accelerate: bool) -> Iterator[Step]:
    """x <- prox(z - step gradient(z)), with z = x, or moved on along the last change (FISTA)."""
    x = z = problem.start
    step, momentum = problem.step, 1.0
    while True:
        new = prox(z - step * problem.gradient(z), step * problem.gamma)
        gap = float((new - z).norm())
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        z = new + (momentum - 1) / following * (new - x) if accelerate else new
        x, momentum = new, following
        yield x, gap


def _admm(problem: Problem, prox: Prox, rho: float) -> Iterator[Step]:
    """x: least squares pulled to z - u; z: prox of x + u; u sums what is left between them. Gives z."""
    columns, weight = problem.matrix.shape[1], 2 * problem.scale
    gram = weight * (problem.matrix.T @ problem.matrix) + rho * torch.eye(columns, dtype=torch.float64)
    factor, pull = torch.linalg.cholesky(gram), weight * (problem.matrix.T @ problem.target)
    z, u = problem.start, problem.zero
    while True:
        x = torch.cholesky_solve((pull + rho * (z - u))[:, None], factor)[:, 0]
        old, z = z, prox(x + u, problem.gamma / rho)
        u = u + x - z
        yield z, max(float((x - z).norm()), float((z - old).norm()))


def _constant(problem: Problem, step: float) -> Iterator[Step]:
    """The textbook's: the same step for ever; around a kink it stays as far away as a step is long."""
    x = problem.start
    while True:
        move = step * problem.slope(x)
        x = x - move
        yield x, float(move.norm())


def _in_stages(problem: Problem) -> Iterator[Step]:
    """Stages of constant steps; each ends at its mean, which the zigzag around a kink leaves alone.

    A stage that wins less than `ENOUGH` of what one step promises circles a kink: its step is halved. Starts at
    least squares: the Hoyer penalties know no way out of zero.
    """
    x = torch.linalg.pinv(problem.matrix) @ problem.target if problem.origin is None else problem.origin
    step, best = problem.natural, problem.objective(x)
    while True:
        before, total = best, torch.zeros_like(x)
        for _ in range(STAGE):
            x = x - step * problem.slope(x)
            total += x
            best = min(best, problem.objective(x))
            yield x, math.inf
        x = total / STAGE
        slope = problem.slope(x)
        best = min(best, problem.objective(x))
        yield x, _distance(problem, x, step * slope)
        if before - best <= ENOUGH * step * float(slope.square().sum()):
            step /= 2


def _distance(problem: Problem, x: Tensor, move: Tensor) -> float:
    """How far a proximal step moves x; without the operator, how far the sub-gradient does."""
    prox, step = problem.penalty.prox, problem.natural
    if prox is None:
        return float(move.norm())
    return float((prox(x - step * problem.gradient(x), step * problem.gamma) - x).norm())


def _gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        free = x.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(function(free), free)
    return slope
