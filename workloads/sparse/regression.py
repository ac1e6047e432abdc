"""Sparse linear regression: min over x of scale |A x - y|^2 + gamma * penalty(x), by five methods (`solvers`).

The same penalties and proximal operators train a network (`workloads.sparse.regularize`); here their optimum is
known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.sparse.penalties import Penalty, penalty
from workloads.sparse.solvers import Method, Problem, steps_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class SparseSolution:
    """What a solver found.

    Attributes:
        x: (n,), float64; exact zeros except from `subgradient`. The last iterate; the best one from `subgradient`
            with its own steps.
        objective: of x, scale |A x - y|^2 + gamma * penalty(x); of `iht` without the penalty.
        history: objective after every iteration.
        losses: scale |A x - y|^2 after every iteration.
        converged: the last iterate was a fixed point, to the tolerance.
        iterates: x after every iteration, (iterations, n); None unless asked for.
    """

    x: Tensor
    objective: float
    history: tuple[float, ...]
    losses: tuple[float, ...]
    converged: bool
    iterates: Tensor | None = None

    @property
    def nonzeros(self) -> int:
        return int(self.x.ne(0).sum())

    def to_dataframe(self) -> pd.DataFrame:
        """One row per iteration, from 1: step, objective, loss, and x0, x1, ... where iterates were kept."""
        import pandas as pd

        rows = torch.empty(len(self.history), 0) if self.iterates is None else self.iterates
        columns: dict[str, Any] = {f"x{index}": rows[:, index].numpy() for index in range(rows.shape[1])}
        steps = range(1, len(self.history) + 1)
        return pd.DataFrame({"step": steps, "objective": self.history, "loss": self.losses, **columns})


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
    scale: float = 0.5,
    step: float | None = None,
    start: Any = None,
    iterations: int = 5000,
    tolerance: float = 1e-10,
    iterates: bool = False,
) -> SparseSolution:
    """Solve scale |A x - y|^2 + gamma * penalty(x).

    scikit-learn's Lasso is scale = 1 / (2 m), gamma = alpha. The textbook's run, weights and loss per step, is
    `method="subgradient", scale=1, step=0.02, start=0, iterations=200, tolerance=0, iterates=True`, then
    `to_dataframe()`; without gamma it is gradient descent.

    Args:
        A: (m, n), array or tensor.
        y: (m,).
        gamma: weight of the penalty, >= 0.
        penalty_name: one of `PENALTIES`; `iht` takes none.
        method: `ista` and `fista` (steps 1/L and the penalty's proximal operator), `admm`, `subgradient` (stages
            of constant steps from 1/L, halved where they no longer help, the best iterate is returned; the only
            one for the Hoyer penalties), `iht` (gradient step, then the `kept` largest stay).
        kept: of `iht`.
        largest: of `trimmed_l1`.
        groups: of the group penalties, so many consecutive entries of x belong together.
        rho: of `admm`.
        scale: of the squares: 1/2; 1 is their sum, 1/m their mean.
        step: of every iteration, constant; None takes the method's own. `admm` has none.
        start: first x, (n,) or one number for all; None is zero, and least squares for `subgradient`.
        iterations: at most.
        tolerance: stop when a step moves x, and for `admm` its two copies lie apart, by at most
            tolerance * max(1, |x|); 0 makes every iteration.
        iterates: keep every x.

    Raises:
        ConfigError: shapes that do not fit, an unknown name, a value out of its range, a penalty without the
            operator that the method needs, or a step that diverges.
    """
    matrix, target = _checked(A, y, groups)
    if not (gamma >= 0 and rho > 0 and iterations >= 1 and tolerance >= 0 and 0 < scale < math.inf):
        raise ConfigError(
            "`gamma >= 0`, `rho > 0`, `iterations >= 1`, `tolerance >= 0` and `scale > 0` must hold, but got "
            f"{gamma!r}, {rho!r}, {iterations!r}, {tolerance!r}, {scale!r}"
        )
    if step is not None and not 0 < step < math.inf:
        raise ConfigError(f"`step > 0` must hold, but got step={step!r}")
    problem = Problem(
        matrix=matrix,
        target=target,
        scale=scale,
        gamma=gamma,
        penalty=_in_groups(penalty(penalty_name, largest=largest), groups),
        length=step,
        origin=None if start is None else _first(start, matrix.shape[1]),
    )
    found = _run(problem, method, kept, rho, iterations, tolerance, iterates)
    if found.history and not math.isfinite(found.history[-1]):
        raise ConfigError(
            f"step={step!r} diverges after {len(found.history)} iterations. Below 2/L = {2 * problem.natural:.3g} "
            "the squares descend."
        )
    return found


def _run(
    problem: Problem, method: Method, kept: int | None, rho: float, iterations: int, tolerance: float, keep: bool
) -> SparseSolution:
    measured = replace(problem, gamma=0.0) if method == "iht" else problem
    history, losses, visited, converged = [], [], [], False
    best, x = (math.inf, problem.zero), problem.zero
    for x, gap in islice(steps_of(problem, method, kept, rho), iterations):
        losses.append(problem.loss(x))
        history.append(measured.objective(x))
        if keep:
            visited.append(x)
        best = min(best, (history[-1], x), key=lambda pair: pair[0])
        converged = gap <= tolerance * max(1.0, float(x.norm()))
        if not math.isfinite(history[-1]) or (converged and tolerance > 0):
            break
    if method == "subgradient" and problem.length is None:
        x = best[1]
    return SparseSolution(
        x=x,
        objective=measured.objective(x),
        history=tuple(history),
        losses=tuple(losses),
        converged=converged,
        iterates=torch.stack(visited) if keep else None,
    )


def regularization_path(A: Any, y: Any, gammas: Sequence[float], **options: Any) -> pd.DataFrame:
    """One row per gamma: gamma, objective, residual (scale |A x - y|^2), l1, nonzeros, converged.

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
            "residual": options.get("scale", 0.5) * float((matrix @ found.x - target).square().sum()),
            "l1": float(found.x.abs().sum()), "nonzeros": found.nonzeros, "converged": found.converged,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _checked(A: Any, y: Any, groups: int) -> tuple[Tensor, Tensor]:
    matrix, target = (torch.as_tensor(value).to(torch.float64) for value in (A, y))
    if matrix.dim() != 2 or target.shape != matrix.shape[:1] or not matrix.numel():
        raise ConfigError(
            f"A must be (m, n) and y (m,), but they are {tuple(matrix.shape)} and {tuple(target.shape)}"
        )
    if not (torch.isfinite(matrix).all() and torch.isfinite(target).all()):
        raise ConfigError("A and y must be finite, but hold NaN or infinity")
    if groups < 1 or matrix.shape[1] % groups:
        raise ConfigError(f"groups must divide the {matrix.shape[1]} columns of A, but got groups={groups}")
    return matrix, target


def _first(start: Any, columns: int) -> Tensor:
    given = torch.as_tensor(start).to(torch.float64)
    if given.shape not in ((), (columns,)):
        raise ConfigError(f"start must be one number or ({columns},), but is {tuple(given.shape)}")
    return given.expand(columns).clone()


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
