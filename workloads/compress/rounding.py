"""Rounding modes: nearest with ties to even, floor, and stochastic."""

from __future__ import annotations

import torch
from torch import Tensor


def round_in_place(v: Tensor, mode: str | Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Round every element to an integer of the same dtype. In place.

    Args:
        v: any shape, floating point.
        mode: `nearest` (ties to even), `floor`, or `stochastic`: up with the probability of the fraction,
            so that the mean over many draws is the value itself. A tensor of the shape of `v` is a draw that was
            made before, uniform in 0..1.
        generator: of the stochastic draws; None takes torch's own, which `torch.manual_seed` seeds.

    Returns:
        `v`.
    """
    if isinstance(mode, Tensor):
        below = v.floor()
        return below.add_(mode < v - below)
    if mode == "nearest":
        return v.round_()
    if mode == "floor":
        return v.floor_()
    below = v.floor()
    if generator is None:
        return below.add_(torch.rand_like(v) < v - below)
    return below.add_(torch.rand(v.shape, generator=generator, device=v.device, dtype=v.dtype) < v - below)
