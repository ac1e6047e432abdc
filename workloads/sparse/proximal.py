"""Proximal operators: prox_t(x) = argmin_z 1/2 |z - x|^2 + t * penalty(z).

Each works on any shape and keeps it. Source of the notation: Parikh & Boyd, Proximal Algorithms,
Foundations and Trends in Optimization, 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from hwmodel.errors import ConfigError

#: (x, t) -> the shape of x.
Prox = Callable[[Tensor, float], Tensor]


def soft_threshold(x: Tensor, t: float) -> Tensor:
    """Of t * sum |x|: towards zero by t, and to exactly zero within t."""
    _check_step(t)
    return x.sign() * (x.abs() - t).clamp_min(0)


def trimmed_soft_threshold(x: Tensor, t: float, largest: int) -> Tensor:
    """Of the trimmed L1 norm, which leaves the `largest` magnitudes free: the others are soft-thresholded.

    Source: Yun et al., Trimming the l1 Regularizer, ICML 2019.
    """
    return torch.where(keep_largest(x, largest), x, soft_threshold(x, t))


def hard_threshold(x: Tensor, t: float) -> Tensor:
    """Of t * (number of non-zeros): magnitudes up to sqrt(2 t) become zero."""
    _check_step(t)
    return torch.where(x.square() > 2 * t, x, 0.0)


def project_sparse(x: Tensor, kept: int) -> Tensor:
    """The nearest tensor with at most `kept` non-zeros: the largest magnitudes stay, ties at the lower index."""
    return torch.where(keep_largest(x, kept), x, 0.0)


def block_soft_threshold(x: Tensor, t: float, dim: int = 0) -> Tensor:
    """Of t * sum over groups of sqrt(n) |x_g|_2: a group shrinks as a whole, or goes.

    Args:
        x: (..., G, ...).
        t: >= 0.
        dim: its slices are the groups: 0 is the filters of a weight, 1 its input channels.

    Source: Yuan & Lin, Model selection and estimation in regression with grouped variables, JRSS B 2006.
    """
    _check_step(t)
    rows = x.movedim(dim, 0).flatten(1) if x.dim() > 1 else x[:, None]
    norms = rows.norm(dim=1, keepdim=True)
    scale = (1 - t * math.sqrt(rows.shape[1]) / norms.clamp_min(torch.finfo(x.dtype).tiny)).clamp_min(0)
    shape = [1] * x.dim()
    shape[dim] = -1
    return x.mul(scale.reshape(shape))


def keep_largest(x: Tensor, count: int) -> Tensor:
    """True at the `count` largest magnitudes (all, if there are fewer); ties go to the lower index.

    Raises:
        ConfigError: a negative count.
    """
    if count < 0:
        raise ConfigError(f"the number of entries kept must be >= 0, but got {count}")
    order = torch.argsort(x.detach().abs().reshape(-1), descending=True, stable=True)[:count]
    mask = torch.zeros(x.numel(), dtype=torch.bool, device=x.device)
    mask[order] = True
    return mask.reshape(x.shape)


def _check_step(t: float) -> None:
    if not t >= 0:
        raise ConfigError(f"`t >= 0` must hold for a proximal step, but got t={t!r}")
