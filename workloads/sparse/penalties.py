"""Penalties that make weights sparse, as numbers with gradients, and with their proximal operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hwmodel.errors import check_one_of
from workloads.sparse.proximal import (
    Prox,
    block_soft_threshold,
    hard_threshold,
    keep_largest,
    soft_threshold,
    trimmed_soft_threshold,
)


def l1(x: Tensor) -> Tensor:
    """sum |x|; the gradient at 0 is 0, one of its sub-gradients. 0-dim."""
    return x.abs().sum()


def trimmed_l1(x: Tensor, largest: int) -> Tensor:
    """sum |x| without the `largest` magnitudes (Yun et al., Trimming the l1 Regularizer, ICML 2019). 0-dim."""
    return x.abs().masked_fill(keep_largest(x, largest), 0.0).sum()


def group_lasso(x: Tensor, dim: int = 0) -> Tensor:
    """sum over the slices along a dim of sqrt(n) |x_g|_2, n elements each; the gradient of a zero slice is 0.

    Source: Yuan & Lin, JRSS B 2006; on filters and channels: Wen et al., Learning Structured
    Sparsity in Deep Neural Networks, NeurIPS 2016.
    """
    rows = x.movedim(dim, 0).flatten(1) if x.dim() > 1 else x[:, None]
    return _norms(rows).sum() * math.sqrt(rows.shape[1])


def hoyer(x: Tensor) -> Tensor:
    """|x|_1 / |x|_2: 1 for a single non-zero, sqrt(n) for equal magnitudes, whatever the scale; 0 of zeros.

    Source: Yang et al., DeepHoyer, ICLR 2020 (from Hoyer, JMLR 2004).
    """
    return x.abs().sum() / _safe(x.square().sum()).sqrt()


def hoyer_square(x: Tensor) -> Tensor:
    """|x|_1^2 / |x|_2^2: 1 .. n, about the number of non-zeros; 0 of zeros.

    Source: Yang et al., DeepHoyer, ICLR 2020.
    """
    return x.abs().sum().square() / _safe(x.square().sum())


def group_hoyer_square(x: Tensor, dim: int = 0) -> Tensor:
    """Hoyer-square of the norms of the slices along a dim: about the number of non-zero filters (0), channels (1).

    Source: Yang et al., DeepHoyer, ICLR 2020.
    """
    return hoyer_square(_norms(x.movedim(dim, 0).flatten(1) if x.dim() > 1 else x[:, None]))


def l0(x: Tensor) -> Tensor:
    """Number of non-zeros; no gradient. 0-dim."""
    return x.ne(0).sum().to(x.dtype)


def _norms(rows: Tensor) -> Tensor:
    """|row|_2 with gradient 0 where a row is zero."""
    squares = rows.square().sum(1)
    return _safe(squares).sqrt() * (squares > 0)


def _safe(squares: Tensor) -> Tensor:
    """1 in place of 0, so that a quotient by it is 0 with gradient 0."""
    return torch.where(squares > 0, squares, 1.0)


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """A penalty by name.

    Attributes:
        name: key of `penalty`.
        value: tensor -> 0-dim, with gradients.
        prox: its proximal operator; None where it has no closed form.
        has_gradient: `value` says which way is down.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    prox: Prox | None = None
    has_gradient: bool = True


PENALTIES = ("l0", "l1", "trimmed_l1", "group_lasso", "hoyer", "hoyer_square", "group_hoyer_square")


def penalty(name: str, *, largest: int = 0, dim: int = 0) -> Penalty:
    """A penalty with its proximal operator.

    Args:
        name: one of `PENALTIES`.
        largest: of `trimmed_l1`, magnitudes that are not penalised.
        dim: of the group penalties, its slices are the groups.

    Raises:
        ConfigError: an unknown name.
    """
    known = {
        "l0": Penalty(name="l0", value=l0, prox=hard_threshold, has_gradient=False),
        "l1": Penalty(name="l1", value=l1, prox=soft_threshold),
        "trimmed_l1": Penalty(
            name="trimmed_l1",
            value=partial(trimmed_l1, largest=largest),
            prox=partial(trimmed_soft_threshold, largest=largest),
        ),
        "group_lasso": Penalty(
            name="group_lasso", value=partial(group_lasso, dim=dim), prox=partial(block_soft_threshold, dim=dim)
        ),
        "hoyer": Penalty(name="hoyer", value=hoyer),
        "hoyer_square": Penalty(name="hoyer_square", value=hoyer_square),
        "group_hoyer_square": Penalty(name="group_hoyer_square", value=partial(group_hoyer_square, dim=dim)),
    }
    check_one_of("penalty", name, known)
    return known[name]
